// Package chart renders what the chart installs, without a cluster.
package chart

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/engine"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/charts"
	"github.com/egress-governor/egress-governor/internal/config"
)

const (
	// own is the folder of the chart.
	own = "egress-governor"
	// cluster is the oldest Kubernetes that takes guards.
	cluster = "v1.31.0"
)

// elsewhere are the fields of a configuration that are not among the values config.
var elsewhere = []string{"apiVersion", "kind", "namespaceSelector", "observe", "baseline", "audit", "suspend"}

// Guards returns the ValidatingAdmissionPolicies and their bindings that the chart installs where the webhook has a configuration, in a
// namespace, with the enforcement that comes with the chart. The error is that of a configuration that it cannot install.
func Guards(of *config.Configuration, namespace string) ([]*unstructured.Unstructured, error) {
	namespace = cmp.Or(namespace, own)
	values, err := valuesOf(of, namespace)
	if err != nil {
		return nil, err
	}
	loaded, err := load()
	if err != nil {
		return nil, err
	}
	release := common.ReleaseOptions{Name: own, Namespace: namespace, Revision: 1, IsInstall: true}
	capabilities := common.DefaultCapabilities.Copy()
	version, err := common.ParseKubeVersion(cluster)
	if err != nil {
		return nil, fmt.Errorf("chart: %w", err)
	}
	capabilities.KubeVersion = *version
	// A configuration in force was held to its own schema, which is wider than that of values.
	all, err := util.ToRenderValuesWithSchemaValidation(loaded, values, release, capabilities, true)
	if err != nil {
		return nil, fmt.Errorf("chart: %w", err)
	}
	files, err := engine.Render(loaded, all)
	if err != nil {
		return nil, fmt.Errorf("chart: %w", err)
	}
	var out []*unstructured.Unstructured
	for _, name := range slices.Sorted(maps.Keys(files)) {
		for _, text := range strings.Split(files[name], "\n---\n") {
			object := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(text), &object.Object); err != nil {
				return nil, fmt.Errorf("chart: %s: %w", name, err)
			}
			// What a guard has beside it, such as a role, guards nothing.
			if strings.HasPrefix(object.GetKind(), "ValidatingAdmissionPolicy") {
				out = append(out, object)
			}
		}
	}
	return out, nil
}

// valuesOf returns the values by which the chart writes a configuration, in a namespace.
func valuesOf(of *config.Configuration, namespace string) (map[string]any, error) {
	selector, mode := of.NamespaceSelector.DeepCopy(), "Enforce"
	if slices.ContainsFunc(selector.MatchExpressions, func(each metav1.LabelSelectorRequirement) bool {
		return each.Key == config.ModeLabel && each.Operator == metav1.LabelSelectorOpIn
	}) {
		mode = "Observe"
	}
	selector.MatchExpressions = slices.DeleteFunc(selector.MatchExpressions, func(each metav1.LabelSelectorRequirement) bool {
		return each.Key == config.ModeLabel || written(of, namespace, each)
	})
	raw, err := json.Marshal(of)
	if err != nil {
		return nil, err
	}
	fields := map[string]any{}
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, err
	}
	for _, field := range elsewhere {
		delete(fields, field)
	}
	// An empty one selects all; the chart's own would be laid over it.
	governed := map[string]any{"matchLabels": nil, "matchExpressions": selector.MatchExpressions}
	if len(selector.MatchLabels) > 0 {
		governed["matchLabels"] = selector.MatchLabels
	}
	plain, err := json.Marshal(map[string]any{"mode": mode, "namespaceSelector": governed, "config": fields})
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	return out, json.Unmarshal(plain, &out)
}

// written says whether the chart writes an expression by itself, into every configuration: its own namespaces are not governed.
func written(of *config.Configuration, namespace string, expression metav1.LabelSelectorRequirement) bool {
	own := []string{"kube-system", namespace, cmp.Or(of.MeshConfig.Namespace, "istio-system")}
	for _, gateway := range of.Gateways {
		if _, after, is := strings.Cut(gateway.Service, "."); is {
			name, _, _ := strings.Cut(after, ".")
			own = append(own, name)
		}
	}
	slices.Sort(own)
	return expression.Key == "kubernetes.io/metadata.name" && expression.Operator == metav1.LabelSelectorOpNotIn &&
		slices.Equal(slices.Sorted(slices.Values(expression.Values)), slices.Compact(own))
}

// load returns the chart as far as guards are made of it.
func load() (*chart.Chart, error) {
	out := &chart.Chart{Metadata: &chart.Metadata{}}
	for name, into := range map[string]any{"Chart.yaml": out.Metadata, "values.yaml": &out.Values} {
		raw, err := charts.Folder.ReadFile(path.Join(own, name))
		if err != nil {
			return nil, err
		}
		if err := yaml.Unmarshal(raw, into); err != nil {
			return nil, fmt.Errorf("chart: %s: %w", name, err)
		}
	}
	templates, err := fs.Glob(charts.Folder, path.Join(own, "templates", "*"))
	if err != nil {
		return nil, err
	}
	for _, name := range templates {
		if base := path.Base(name); !strings.HasPrefix(base, "_") && !strings.HasPrefix(base, "guard-") {
			continue
		}
		raw, err := charts.Folder.ReadFile(name)
		if err != nil {
			return nil, err
		}
		out.Templates = append(out.Templates, &common.File{Name: strings.TrimPrefix(name, own+"/"), Data: raw})
	}
	return out, nil
}

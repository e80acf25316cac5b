package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/chart"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/loader"
	"helm.sh/helm/v4/pkg/engine"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"
)

// oldest is the first release that takes all that the chart has.
const oldest = "v1.31.0"

// Render renders the chart in a folder as helm install does, schema included. Objects come sorted by kind, definitions
// of kinds and namespaces first.
func Render(folder string, values map[string]any) ([]*unstructured.Unstructured, error) {
	return RenderFor(oldest, folder, values)
}

// RenderFor is Render for a cluster of another release.
func RenderFor(version, folder string, values map[string]any) ([]*unstructured.Unstructured, error) {
	all, err := render(version, folder, values)
	return slices.DeleteFunc(all, isHook), err
}

// RenderTests renders what helm test makes of the chart in a folder.
func RenderTests(folder string, values map[string]any) ([]*unstructured.Unstructured, error) {
	all, err := render(oldest, folder, values)
	return slices.DeleteFunc(all, func(object *unstructured.Unstructured) bool { return !isHook(object) }), err
}

// RenderAll renders both.
func RenderAll(folder string, values map[string]any) ([]*unstructured.Unstructured, error) {
	return render(oldest, folder, values)
}

// isHook says whether helm makes an object at some moment of a release, and not with it.
func isHook(object *unstructured.Unstructured) bool {
	return object.GetAnnotations()["helm.sh/hook"] != ""
}

func render(version, folder string, values map[string]any) ([]*unstructured.Unstructured, error) {
	return renderBy(engine.Render, version, folder, values)
}

// Notes renders what helm tells whoever has installed the chart in a folder.
func Notes(folder string, values map[string]any) (string, error) {
	files, err := filesBy(engine.Render, oldest, folder, values)
	for name, content := range files {
		if filepath.Base(name) == "NOTES.txt" {
			return content, err
		}
	}
	return "", err
}

// renderBy renders by a function of helm's.
func renderBy(templates func(chart.Charter, common.Values) (map[string]string, error), version, folder string, values map[string]any) ([]*unstructured.Unstructured, error) {
	files, err := filesBy(templates, version, folder, values)
	if err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	for name, content := range files {
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		objects, err := Decode(strings.NewReader(content))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, objects...)
	}
	slices.SortFunc(out, func(a, b *unstructured.Unstructured) int { return strings.Compare(order(a), order(b)) })
	return out, nil
}

// filesBy returns what each template of a chart comes to.
func filesBy(templates func(chart.Charter, common.Values) (map[string]string, error), version, folder string, values map[string]any) (map[string]string, error) {
	cluster, err := common.ParseKubeVersion(version)
	if err != nil {
		return nil, err
	}
	capabilities := common.DefaultCapabilities.Copy()
	capabilities.KubeVersion = *cluster
	loaded, err := loader.Load(folder)
	if err != nil {
		return nil, fmt.Errorf("load chart: %w", err)
	}
	release := common.ReleaseOptions{Name: Release, Namespace: Namespace, Revision: 1, IsInstall: true}
	rendered, err := util.ToRenderValues(loaded, values, release, capabilities)
	if err != nil {
		return nil, fmt.Errorf("values: %w", err)
	}
	files, err := templates(loaded, rendered)
	if err != nil {
		return nil, fmt.Errorf("render chart: %w", err)
	}
	return files, nil
}

func order(object *unstructured.Unstructured) string {
	rank := "1"
	if kind := object.GetKind(); kind == "CustomResourceDefinition" || kind == "Namespace" {
		rank = "0"
	}
	return rank + object.GetKind() + "/" + object.GetNamespace() + "/" + object.GetName()
}

// Decode reads the objects of a YAML stream.
func Decode(r io.Reader) ([]*unstructured.Unstructured, error) {
	decoder := utilyaml.NewYAMLOrJSONDecoder(r, 4096)
	var out []*unstructured.Unstructured
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if len(object.Object) > 0 {
			// Numbers as the API's own decoder gives them.
			raw, err := object.MarshalJSON()
			if err != nil {
				return nil, err
			}
			if err := object.UnmarshalJSON(bytes.TrimSpace(raw)); err != nil {
				return nil, err
			}
			out = append(out, object)
		}
	}
}

// install applies the rendered chart but for what needs nodes, or has the installer of the options apply all of it. kube-apiserver
// cannot reach a Service here, so the webhook configurations name the webhook by address; everything else in them is the chart's.
func (c *ControlPlane) install(ctx context.Context, port int) (config string, err error) {
	root, err := moduleFolder(ctx, "github.com/egress-governor/egress-governor")
	if err != nil {
		return "", err
	}
	objects, err := Render(filepath.Join(root, "charts", "egress-governor"), c.options.Values)
	if err != nil {
		return "", err
	}
	for _, object := range objects {
		switch object.GetKind() {
		case "Deployment":
			c.variables = variables(object)
		case "ConfigMap":
			config, _, _ = unstructured.NestedString(object.Object, "data", "config.yaml")
		case "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration":
			address(object, port)
		}
	}
	if c.options.Installer != nil {
		return config, c.options.Installer(ctx, c.Client, objects)
	}
	return config, c.apply(ctx, objects)
}

// apply applies as helm does.
func (c *ControlPlane) apply(ctx context.Context, objects []*unstructured.Unstructured) error {
	last := c.installed
	c.installed = map[string]*unstructured.Unstructured{}
	for _, object := range objects {
		if slices.Contains([]string{"Deployment", "PodDisruptionBudget", "Service"}, object.GetKind()) {
			continue
		}
		//nolint:staticcheck // the typed apply needs a generated configuration of each kind
		err := c.Client.Patch(ctx, object, client.Apply, client.FieldOwner("helm"), client.ForceOwnership)
		if err != nil {
			return fmt.Errorf("apply %s %s: %w", object.GetKind(), object.GetName(), err)
		}
		if object.GetKind() == "CustomResourceDefinition" {
			if err := c.established(object); err != nil {
				return err
			}
		}
		name := object.GetKind() + "/" + object.GetNamespace() + "/" + object.GetName()
		delete(last, name)
		c.installed[name] = object
	}
	// What values take out of the chart goes, as with helm.
	for _, object := range last {
		if err := c.Client.Delete(ctx, object); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	return nil
}

// Uninstall stops the webhook and deletes what the chart made last, as helm uninstall does: what is to be kept stays.
func (c *ControlPlane) Uninstall(ctx context.Context) error {
	err := c.StopWebhook()
	for _, object := range c.installed {
		if object.GetAnnotations()["helm.sh/resource-policy"] != "keep" {
			err = errors.Join(err, client.IgnoreNotFound(c.Client.Delete(ctx, object.DeepCopy())))
		}
	}
	c.installed = nil
	return err
}

// SaveConfiguration writes a file of the release's configuration, as kubectl get has it.
func (c *ControlPlane) SaveConfiguration(ctx context.Context, file string) error {
	config := &corev1.ConfigMap{}
	if err := c.Client.Get(ctx, client.ObjectKey{Namespace: Namespace, Name: Release}, config); err != nil {
		return err
	}
	config.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMap"))
	raw, err := yaml.Marshal(config)
	if err != nil {
		return err
	}
	return os.WriteFile(file, raw, 0o600)
}

// variables are those that the chart gives the webhook, but for what a pod has.
func variables(deployment *unstructured.Unstructured) (out []string) {
	containers, _, _ := unstructured.NestedSlice(deployment.Object, "spec", "template", "spec", "containers")
	for _, container := range containers {
		env, _, _ := unstructured.NestedSlice(container.(map[string]any), "env")
		for _, item := range env {
			of := item.(map[string]any)
			if value, given := of["value"].(string); given {
				out = append(out, fmt.Sprintf("%s=%s", of["name"], value))
			}
		}
	}
	return out
}

func (c *ControlPlane) established(object *unstructured.Unstructured) error {
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, crd); err != nil {
		return err
	}
	return envtest.WaitForCRDs(c.Config, []*apiextensionsv1.CustomResourceDefinition{crd}, envtest.CRDInstallOptions{MaxTime: 10 * time.Second, PollInterval: 50 * time.Millisecond})
}

func address(object *unstructured.Unstructured, port int) {
	webhooks, _, _ := unstructured.NestedSlice(object.Object, "webhooks")
	for _, item := range webhooks {
		if webhook, ok := item.(map[string]any); ok {
			path, _, _ := unstructured.NestedString(webhook, "clientConfig", "service", "path")
			webhook["clientConfig"] = map[string]any{"url": fmt.Sprintf("https://localhost:%d%s", port, path)}
		}
	}
	object.Object["webhooks"] = webhooks
}

package main

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/controller"
	"github.com/egress-governor/egress-governor/internal/manifest"
)

// chartName is the label that the objects of the chart have, configKey the key of its ConfigMap.
const (
	chartName = "egress-governor"
	configKey = "config.yaml"
)

// enforcements are those of a baseline.
var enforcements = []string{"Deny", "Warn", "Audit", "Off"}

// configuration is that of --config, of the cluster, or of a cluster of which nothing is known.
func (i *inputs) configuration(stored []manifest.Object) (out *config.Configuration, err error) {
	switch found := installed(stored); {
	case i.config != "":
		out, err = load(i.config)
	case len(found) == 1:
		out, err = config.Parse([]byte(found[0]))
	case len(found) > 1:
		err = errors.New("the cluster has several ConfigMaps of egress-governor; name the configuration that counts by --config")
	case i.isLive():
		err = errors.New("the cluster has no ConfigMap of egress-governor; name a configuration by --config")
	default:
		out, err = config.Installed()
	}
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if i.baseline == "" {
		return out, nil
	}
	if !slices.Contains(enforcements, i.baseline) {
		return nil, oneOf("baseline", i.baseline, enforcements)
	}
	out.Baseline.Enforcement = config.Switch(i.baseline)
	return out, nil
}

// installed returns the configurations that stored objects hold.
func installed(stored []manifest.Object) (out []string) {
	for _, object := range stored {
		if text, is := configured(object); is {
			out = append(out, text)
		}
	}
	return out
}

// configured returns the configuration that an object holds, false for none.
func configured(object manifest.Object) (string, bool) {
	text, is, _ := unstructured.NestedString(object.Object, "data", configKey)
	return text, is && object.GetKind() == "ConfigMap" && object.GetLabels()["app.kubernetes.io/name"] == chartName
}

// release returns the namespace of the webhook, empty where stored objects do not tell.
func release(stored []manifest.Object) string {
	for _, object := range stored {
		if _, is := configured(object); is {
			return object.GetNamespace()
		}
	}
	return ""
}

// load reads a configuration, alone or in its ConfigMap.
func load(path string) (*config.Configuration, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var in struct {
		Kind string
		Data map[string]string
	}
	if yaml.Unmarshal(raw, &in) == nil && in.Kind == "ConfigMap" {
		raw = []byte(in.Data[configKey])
	}
	out, err := config.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return out, nil
}

// captures says whether sidecars capture DNS: by the configuration, or by Istio's ConfigMap among what is stored.
func captures(configuration *config.Configuration, stored []manifest.Object) (bool, error) {
	text, _ := meshConfig(configuration, stored)
	found, err := controller.CapturesDNS(text)
	return configuration.Captures(found), err
}

// meshConfig returns Istio's configuration of the mesh among what is stored, false for none.
func meshConfig(configuration *config.Configuration, stored []manifest.Object) (text string, known bool) {
	name := configuration.MeshConfig
	for _, object := range stored {
		if object.GetKind() == "ConfigMap" && object.GetNamespace() == name.Namespace && object.GetName() == name.Name {
			text, _, _ := unstructured.NestedString(object.Object, "data", "mesh")
			return text, true
		}
	}
	return "", false
}

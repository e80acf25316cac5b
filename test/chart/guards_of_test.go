package chart

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/apiserver"
	installs "github.com/egress-governor/egress-governor/internal/chart"
	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/test/controlplane"
)

// TestTheCommandLineHasTheGuardsThatAreInstalled beside a configuration, whatever values wrote it.
func TestTheCommandLineHasTheGuardsThatAreInstalled(t *testing.T) {
	t.Parallel()
	gateway := func(more values) values {
		out := values{"name": "other", "service": "way-out.elsewhere.svc.mesh.local", "selector": values{"istio": "out"}, "ports": values{"http": 8080, "tls": 8443}, "transport": "MutualTLS"}
		for key, value := range more {
			out[key] = value
		}
		return out
	}
	for name, given := range map[string]values{
		"none":                nil,
		"another gateway":     {"config": values{"clusterDomain": "mesh.local", "meshCIDRs": []any{"10.7.0.0/16"}, "gateways": []any{gateway(nil)}}},
		"a waypoint":          {"config": values{"clusterDomain": "mesh.local", "gateways": []any{gateway(values{"transport": "Plain", "waypoint": values{"name": "waypoint", "namespace": "ways"}})}}},
		"some clients":        {"config": values{"clusterDomain": "mesh.local", "gateways": []any{gateway(values{"namespaceSelector": values{"matchLabels": values{"a": "b"}}})}}},
		"entries are left":    {"config": values{"serviceEntries": "Leave", "unregistered": "Block"}},
		"another mesh":        {"config": values{"meshConfig": values{"namespace": "mesh", "name": "mesh"}}},
		"a selector":          {"namespaceSelector": values{"matchLabels": values{"governed": "yes"}}},
		"no further selector": {"namespaceSelector": values{"matchExpressions": []any{}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects := rendered(t, given)
			configuration, err := config.Parse([]byte(only[corev1.ConfigMap](t, objects, "ConfigMap").Data["config.yaml"]))
			require.NoError(t, err)
			guards, err := installs.Guards(configuration, controlplane.Namespace)
			require.NoError(t, err)
			want := byName(objects)
			require.NotEmpty(t, want)
			assert.Equal(t, want, byName(guards))
		})
	}
}

// byName returns the guards among objects, as far as they decide.
func byName(objects []*unstructured.Unstructured) map[string]any {
	out := map[string]any{}
	for _, object := range objects {
		if apiserver.Guards(object) {
			out[object.GetKind()+" "+object.GetName()] = object.Object["spec"]
		}
	}
	return out
}

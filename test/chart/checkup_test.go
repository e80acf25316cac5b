package chart

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/egress-governor/egress-governor/internal/apiserver"
	installs "github.com/egress-governor/egress-governor/internal/chart"
	"github.com/egress-governor/egress-governor/internal/checkup"
	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/test/controlplane"
)

// TestWhatValuesSayOfGuardsIsSound: egressctl check knows the guards of any values from those that somebody changed.
func TestWhatValuesSayOfGuardsIsSound(t *testing.T) {
	t.Parallel()
	some := values{"allowedUsers": []any{"jane doe", "ci"}, "allowedGroups": []any{"admins"}}
	for name, given := range map[string]values{
		"none":          nil,
		"another name":  {"fullnameOverride": "governor"},
		"mode Observe":  {"mode": "Observe"},
		"users":         {"guards": values{"exemptUsers": []any{"root", `CN="a, b"`}, "exemptGroups": []any{}, "exitSets": some, "namespaceLabels": some, "proxyExec": some, "entryAddresses": some}},
		"every pod":     {"guards": values{"pods": values{"namespaces": "All", "ofControllers": "Judge"}}},
		"images":        {"guards": values{"pods": values{"proxyImages": []any{"registry.example.com/istio/", "other/"}}}},
		"all of pods":   {"guards": values{"pods": values{"namespaces": "All", "proxyImages": []any{"registry.example.com/istio/"}}}},
		"ranges":        {"guards": values{"endpoints": values{"clusterCIDRs": []any{"10.0.0.0/8"}}}},
		"no ranges":     {"guards": values{"endpoints": values{"clusterCIDRs": []any{}}}},
		"what pods may": {"guards": values{"injection": values{"allowedServiceAccounts": []any{"a/b"}}, "nameResolution": values{"allowedNameservers": []any{"169.254.20.10"}, "allowedSearches": []any{"corp.example.com"}}}},
		"networks":      {"guards": values{"networks": values{"allowedNamespaces": []any{"east-west"}}}},
		"proxy config":  {"guards": values{"traffic": values{"allowedProxyConfig": []any{"zipkin", "address"}}}},
		"variables":     {"guards": values{"injection": values{"allowedVariables": []any{"XDS_ROOT_CA", "A"}, "controlPlane": []any{}, "telemetryAddresses": []any{"zipkin.tracing:9411"}}}},
		"a waypoint":    {"config": values{"gateways": []any{values{"name": "other", "service": "way-out.elsewhere.svc.cluster.local", "selector": values{"istio": "out"}, "ports": values{"http": 8080}, "waypoint": values{"name": "waypoint"}}}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects := rendered(t, given)
			stored := only[corev1.ConfigMap](t, objects, "ConfigMap")
			configuration, err := config.Parse([]byte(stored.Data["config.yaml"]))
			require.NoError(t, err)
			mesh, err := configuration.Mesh()
			require.NoError(t, err)
			guards, err := installs.Guards(configuration, controlplane.Namespace)
			require.NoError(t, err)
			snapshot := &checkup.Snapshot{
				Version: "v1.34.1", Release: checkup.Release{Namespace: controlplane.Namespace, Name: stored.Name}, Configuration: configuration, Mesh: mesh,
				Guards: guards, Objects: map[schema.GroupResource][]*unstructured.Unstructured{},
			}
			for _, object := range objects {
				if apiserver.Guards(object) {
					resource := schema.GroupResource{Group: "admissionregistration.k8s.io", Resource: "validatingadmissionpolicies"}
					if object.GetKind() != "ValidatingAdmissionPolicy" {
						resource.Resource = "validatingadmissionpolicybindings"
					}
					snapshot.Objects[resource] = append(snapshot.Objects[resource], object)
				}
			}
			require.NotEmpty(t, snapshot.Objects)
			for _, result := range checkup.Run(snapshot, nil).Checks {
				if result.Name == "guards" {
					assert.Equal(t, checkup.Sound, result.Status, "%v %v", result.Findings, result.NotLookedAt)
				}
			}
		})
	}
}

package chart

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/egress-governor/egress-governor/internal/config"
)

// filterVerbs are what the webhook may do with EnvoyFilters, by namespace; elsewhere it may list them, for the audit.
func filterVerbs(t *testing.T, objects []*unstructured.Unstructured) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, object := range objects {
		if !strings.HasSuffix(object.GetKind(), "Role") {
			continue
		}
		role := &rbacv1.Role{}
		require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, role))
		for _, rule := range role.Rules {
			for _, resource := range rule.Resources {
				switch {
				case resource == "envoyfilters" && object.GetKind() == "ClusterRole":
					require.Equal(t, []string{"list"}, rule.Verbs)
				case resource == "envoyfilters":
					out[role.Namespace] = append(out[role.Namespace], rule.Verbs...)
				}
			}
		}
	}
	return out
}

// TestEnvoyFiltersAreWrittenWhereTheyAreNeeded, where wildcards are resolved or calls come by mutual TLS, and elsewhere only taken away.
func TestEnvoyFiltersAreWrittenWhereTheyAreNeeded(t *testing.T) {
	t.Parallel()
	away, written := []string{"get", "list", "watch", "delete"}, []string{"get", "list", "watch", "create", "update", "delete"}
	assert.Equal(t, map[string][]string{"istio-system": away}, filterVerbs(t, rendered(t, nil)))
	gateway := func(name, namespace, wildcards string) values {
		out := values{"name": name, "service": name + "." + namespace + ".svc.cluster.local", "selector": values{"app": name}, "ports": values{"http": 80, "tls": 443}}
		if wildcards != "" {
			out["wildcards"] = wildcards
		}
		return out
	}
	byMutualTLS := gateway("d", "mutual", "")
	byMutualTLS["transport"] = "MutualTLS"
	objects := rendered(t, values{"config": values{"clusterCIDRs": []any{"10.96.0.0/12"}, "gateways": []any{
		gateway("a", "ways", ""), gateway("b", "ways", "Resolve"), gateway("c", "others", "Refuse"), byMutualTLS,
	}}, "gateway": values{"create": true, "wildcards": "Resolve"}})
	assert.Equal(t, map[string][]string{"ways": written, "others": away, "mutual": written, gatewayNamespace: written}, filterVerbs(t, objects))
	configuration, err := config.Parse([]byte(only[corev1.ConfigMap](t, objects, "ConfigMap").Data["config.yaml"]))
	require.NoError(t, err)
	mesh, err := configuration.Mesh()
	require.NoError(t, err)
	var resolving []string
	for _, gw := range mesh.Gateways {
		if gw.Wildcards {
			resolving = append(resolving, gw.Name)
		}
	}
	assert.Equal(t, []string{"b", "own"}, resolving)
	assert.Len(t, mesh.ClusterCIDRs, 1)
}

// TestExitSetsAreGuardedWhole: every kind that the webhook may write beside a gateway is guarded against others.
func TestExitSetsAreGuardedWhole(t *testing.T) {
	t.Parallel()
	objects := rendered(t, values{"config": values{"clusterCIDRs": []any{"10.96.0.0/12"}}, "gateway": values{"create": true, "wildcards": "Resolve"}})
	policies, _ := guards(t, objects)
	guarded := map[string]bool{}
	for _, rule := range policies["exit-sets"].Spec.MatchConstraints.ResourceRules {
		assert.Equal(t, []admissionv1.OperationType{"CREATE", "UPDATE", "DELETE"}, rule.Operations, rule.Resources)
		for _, resource := range rule.Resources {
			guarded[resource] = true
		}
	}
	written := 0
	for _, object := range objects {
		if object.GetKind() != "Role" || !strings.HasSuffix(object.GetName(), "-exits") {
			continue
		}
		role := &rbacv1.Role{}
		require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, role))
		for _, rule := range role.Rules {
			for _, resource := range rule.Resources {
				if slices.Contains(rule.Verbs, "create") {
					assert.True(t, guarded[resource], resource)
					written++
				}
			}
		}
	}
	assert.Equal(t, 5, written)
}

package chart

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// withWaypoint are values with a gateway that has a waypoint.
func withWaypoint(waypoint values) values {
	return values{"config": values{"gateways": []any{values{
		"name": "a", "service": "out.ways.svc.cluster.local", "selector": values{"app": "out"}, "ports": values{"http": 80}, "waypoint": waypoint,
	}}}}
}

// TestRightsForWaypoints: AuthorizationPolicies are nobody's business of ours without one.
func TestRightsForWaypoints(t *testing.T) {
	t.Parallel()
	verbs := func(objects []*unstructured.Unstructured) map[string][]string {
		out := map[string][]string{}
		for _, rule := range only[rbacv1.ClusterRole](t, objects, "ClusterRole").Rules {
			for _, resource := range rule.Resources {
				if resource == "authorizationpolicies" || resource == "gateways" && slices.Contains(rule.APIGroups, "gateway.networking.k8s.io") {
					out[resource] = rule.Verbs
				}
			}
		}
		return out
	}
	assert.Empty(t, verbs(rendered(t, nil)))
	assert.Equal(t, map[string][]string{"authorizationpolicies": {"get", "list", "watch", "create", "update", "delete"}, "gateways": {"get"}},
		verbs(rendered(t, withWaypoint(values{"name": "waypoint"}))))
}

// TestAWaypointIsConfigured as the values have it, and no name that stands for none.
func TestAWaypointIsConfigured(t *testing.T) {
	t.Parallel()
	assert.Equal(t, map[string]any{"name": "waypoint", "namespace": "egress"}, configured(t, rendered(t, withWaypoint(values{"name": "waypoint", "namespace": "egress"})))[0]["waypoint"])
	for _, bad := range []values{{"name": "none"}, {"namespace": "egress"}, {"name": "waypoint", "for": "all"}} {
		_, err := controlplane.Render(chart, withWaypoint(bad))
		require.ErrorContains(t, err, "waypoint", bad)
	}
	policies, _ := guards(t, rendered(t, withWaypoint(values{"name": "waypoint"})))
	validations := policies["entries"].Spec.Validations
	assert.Contains(t, validations[len(validations)-1].Expression, `== ["waypoint", request.namespace, "", ""]`, "that of each namespace's own")
}

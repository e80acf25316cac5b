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

	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/test/controlplane"
)

// granted returns the verbs for a resource in the whole cluster, and those for objects of our name alone.
func granted(t *testing.T, objects []*unstructured.Unstructured, resource string) (all, ours []string) {
	t.Helper()
	for _, rule := range only[rbacv1.ClusterRole](t, objects, "ClusterRole").Rules {
		if !slices.Contains(rule.Resources, resource) {
			continue
		}
		if len(rule.ResourceNames) == 0 {
			all = append(all, rule.Verbs...)
			continue
		}
		assert.Equal(t, []string{hop.ClosingName}, rule.ResourceNames)
		ours = append(ours, rule.Verbs...)
	}
	return all, ours
}

// TestRightsToCloseNamespaces are there when they are to be closed; what was kept can be taken away in any case.
func TestRightsToCloseNamespaces(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		config         values
		sidecars       []string
		policies, ours []string
		asked          bool
	}{
		"left":    {values{}, []string{"list"}, nil, []string{"list", "delete"}, false},
		"blocked": {values{"unregistered": "Block"}, []string{"list", "get", "list", "watch", "create", "update"}, nil, []string{"list", "delete"}, true},
		"managed": {values{"networkPolicies": "Manage"}, []string{"list"}, []string{"create"}, []string{"get", "list", "watch", "update", "delete"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects := rendered(t, values{"config": tc.config})
			sidecars, ours := granted(t, objects, "sidecars")
			assert.Equal(t, tc.sidecars, sidecars)
			assert.Equal(t, []string{"list", "delete"}, ours)
			policies, ours := granted(t, objects, "networkpolicies")
			assert.Equal(t, tc.policies, policies)
			assert.ElementsMatch(t, tc.ours, ours)
			mutate := only[admissionv1.MutatingWebhookConfiguration](t, objects, "MutatingWebhookConfiguration").Webhooks[0]
			validate := only[admissionv1.ValidatingWebhookConfiguration](t, objects, "ValidatingWebhookConfiguration").Webhooks[0]
			assert.Equal(t, tc.asked, slices.Contains(mutate.Rules[0].Resources, "sidecars"))
			assert.Equal(t, mutate.Rules, validate.Rules[:1])
		})
	}
}

// TestPeersAreTheWebhooksOwn: the chart's defaults are those of the configuration, and what is given replaces them.
func TestPeersAreTheWebhooksOwn(t *testing.T) {
	t.Parallel()
	read := func(given values) *config.Configuration {
		objects := rendered(t, given)
		out, err := config.Parse([]byte(only[corev1.ConfigMap](t, objects, "ConfigMap").Data["config.yaml"]))
		require.NoError(t, err)
		return out
	}
	left := read(nil)
	bare, err := config.Parse([]byte("apiVersion: config.egress-governor.io/v1alpha1\nkind: Configuration\ngateways: [{name: a, service: a.b.svc.cluster.local, selector: {a: b}, ports: {http: 80, tls: 443}}]"))
	require.NoError(t, err)
	assert.Equal(t, bare.NetworkPolicy.Mesh, left.NetworkPolicy.Mesh)
	assert.Equal(t, bare.NetworkPolicy.DNS, left.NetworkPolicy.DNS)
	assert.Empty(t, left.NetworkPolicy.APIServer)
	assert.Equal(t, []string{bare.Unregistered, bare.NetworkPolicies}, []string{left.Unregistered, left.NetworkPolicies})
	given := read(values{"config": values{"unregistered": "Block", "networkPolicies": "Manage", "networkPolicy": values{
		"mesh": []any{}, "apiServer": []any{values{"ipBlock": values{"cidr": "192.0.2.1/32"}}},
	}}})
	assert.Empty(t, given.NetworkPolicy.Mesh)
	assert.Equal(t, "192.0.2.1/32", given.NetworkPolicy.APIServer[0].IPBlock.CIDR)
	assert.Equal(t, []string{"Block", "Manage"}, []string{given.Unregistered, given.NetworkPolicies})
}

// TestPodsThatWouldNotReachTheAPIServerAreTold: the default of config.networkPolicy.apiServer is nowhere.
func TestPodsThatWouldNotReachTheAPIServerAreTold(t *testing.T) {
	t.Parallel()
	for peers, told := range map[string]bool{"none": true, "one": false} {
		given := values{"networkPolicies": "Manage"}
		if peers == "one" {
			given["networkPolicy"] = values{"apiServer": aPeer}
		}
		notes, err := controlplane.Notes(chart, values{"config": given})
		require.NoError(t, err)
		assert.Equal(t, told, strings.Contains(notes, "WARNING: config.networkPolicy.apiServer is empty"), peers)
	}
	notes, err := controlplane.Notes(chart, nil)
	require.NoError(t, err)
	assert.NotContains(t, notes, "WARNING")
}

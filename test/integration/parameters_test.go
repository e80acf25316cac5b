package integration

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// TestPoliciesShareParameters of a ConfigMap in the release's namespace: they are kept current, and nothing fails open while
// they are not there or do not fit.
func TestPoliciesShareParameters(t *testing.T) {
	t.Parallel()
	c, heard := warned(t)
	policy := object(t, "", `{apiVersion: egress-governor.io/v1alpha1, kind: EgressPolicy, metadata: {name: sharing}, spec: {
		match: {kinds: [ServiceEntry], namespaces: ["sharing-*"]}, policy: allowed-hosts, parametersFrom: {configMap: shared-hosts, key: hosts.yaml}}}`)
	require.NoError(t, c.Create(t.Context(), policy))
	t.Cleanup(func() {
		// The test's own context is over here.
		_ = shared.Client.Delete(context.Background(), policy)
	})
	assert.Contains(t, strings.Join(heard.texts, "\n"), "spec.parametersFrom: there is no ConfigMap egress-governor/shared-hosts")
	ready := func(reason string) {
		t.Helper()
		eventually(t, func() bool {
			conditions, _, _ := unstructured.NestedSlice(get(t, policy).Object, "status", "conditions")
			return len(conditions) == 1 && conditions[0].(map[string]any)["reason"] == reason
		}, reason)
	}
	require.NoError(t, shared.Client.Create(t.Context(), &corev1.Namespace{ObjectMeta: named("", "sharing-a")}))
	answers := func(want int32) {
		t.Helper()
		eventually(t, func() bool {
			return code(shared.Client.Create(t.Context(), entryOf(t, "sharing-a", "api", "api.sharing.test"), client.DryRunAll)) == want
		}, "the answer")
	}
	ready("ParametersMissing")
	answers(500)

	// One of the same name elsewhere is nobody's.
	elsewhere := &corev1.ConfigMap{ObjectMeta: named("sharing-a", "shared-hosts"), Data: map[string]string{"hosts.yaml": `hosts: ["*"]`}}
	require.NoError(t, shared.Client.Create(t.Context(), elsewhere))
	of := &corev1.ConfigMap{ObjectMeta: named(controlplane.Namespace, "shared-hosts"), Data: map[string]string{"hosts.yaml": "hosts: [api.sharing.test]\n"}}
	require.NoError(t, shared.Client.Create(t.Context(), of))
	t.Cleanup(func() {
		// The test's own context is over here.
		_ = shared.Client.Delete(context.Background(), of)
	})
	ready("InForce")
	answers(0)
	set := func(text string) {
		t.Helper()
		of.Data["hosts.yaml"] = text
		require.NoError(t, shared.Client.Update(t.Context(), of))
	}
	set("hosts: []")
	answers(403)
	set("host: [api.sharing.test]")
	ready("Invalid")
	answers(403)
	err := c.Create(t.Context(), object(t, "", `{apiVersion: egress-governor.io/v1alpha1, kind: EgressPolicy, metadata: {name: sharing-too}, spec: {
		policy: allowed-hosts, parametersFrom: {configMap: shared-hosts, key: hosts.yaml}}}`))
	require.ErrorContains(t, err, "with the parameters of ConfigMap egress-governor/shared-hosts, key hosts.yaml: spec.parameters: ")
	set("hosts: [api.sharing.test]")
	ready("InForce")
	answers(0)
	require.NoError(t, shared.Client.Delete(t.Context(), of))
	ready("ParametersMissing")
	answers(0)
}

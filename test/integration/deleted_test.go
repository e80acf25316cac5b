package integration

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestARuleThatStoodBeforeAnotherStays while the exit is shared: what its deletion, or another host in it, would bring into force is
// not what others agreed to. Once the namespace has no entry of the host, it goes.
func TestARuleThatStoodBeforeAnotherStays(t *testing.T) {
	t.Parallel()
	const host = "api.stood-before.test"
	evil, other := namespace(t, nil), namespace(t, nil)
	rule := func(in, name, spec string) *unstructured.Unstructured {
		out := object(t, in, "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: "+name+"}\nspec: "+spec)
		require.NoError(t, shared.Client.Create(t.Context(), out))
		return out
	}
	const secure = `{host: ` + host + `, trafficPolicy: {tls: {mode: SIMPLE}}}`
	const spec = `{hosts: [` + host + `], exportTo: ["."], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP, targetPort: 443}]}`
	rule(evil, "behind", `{host: "*.stood-before.test", trafficPolicy: {tls: {mode: SIMPLE, insecureSkipVerify: true}}}`)
	front := rule(evil, "front", secure)
	own := entry(t, "v1", evil, "api", spec)
	require.NoError(t, shared.Client.Create(t.Context(), own))
	eventually(t, func() bool { return ready(get(t, own), "True") }, "ExitReady")
	require.NoError(t, shared.Client.Delete(t.Context(), front), "nobody else is reached so")
	front = rule(evil, "front", secure)
	rule(other, "theirs", secure)
	theirs := entry(t, "v1", other, "api", spec)
	require.NoError(t, shared.Client.Create(t.Context(), theirs))
	eventually(t, func() bool { return ready(get(t, theirs), "True") }, "ExitReady")

	refused := func(err error) {
		t.Helper()
		require.Error(t, err)
		assert.True(t, apierrors.IsInvalid(err), err)
		assert.Contains(t, err.Error(), "spec.host: DestinationRule "+evil+"/behind would come into force in its place")
	}
	refused(shared.Client.Delete(t.Context(), front))
	collector, _ := as(t, "system:serviceaccount:kube-system:namespace-controller")
	require.NoError(t, collector.Delete(t.Context(), front.DeepCopy(), client.DryRunAll), "what goes with its namespace")
	shares, _ := as(t, "system:kube-controller-manager")
	refused(shares.Delete(t.Context(), front.DeepCopy(), client.DryRunAll))
	all := front.DeepCopy()
	require.NoError(t, shares.DeleteAllOf(t.Context(), front.DeepCopy(), client.InNamespace(evil), client.MatchingFields{"metadata.name": "front"}, client.DryRunAll), "as a namespace is emptied")
	require.Error(t, shared.Client.DeleteAllOf(t.Context(), all, client.InNamespace(evil), client.MatchingFields{"metadata.name": "front"}))
	moved := get(t, front)
	require.NoError(t, unstructured.SetNestedField(moved.Object, "elsewhere.stood-before.test", "spec", "host"))
	refused(shared.Client.Update(t.Context(), moved))
	assert.True(t, ready(get(t, theirs), "True"))

	require.NoError(t, shared.Client.Delete(t.Context(), own))
	eventually(t, func() bool { return shared.Client.Delete(t.Context(), front.DeepCopy()) == nil }, "the rule goes")
	assert.True(t, ready(get(t, theirs), "True"))
}

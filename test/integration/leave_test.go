package integration

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/test/controlplane"
)

// onePlainGateway are values by which routes alone lead to the one gateway of istio-system.
func onePlainGateway() map[string]any {
	last := gateways()["config"].(map[string]any)["gateways"].([]any)
	return map[string]any{"serviceEntries": "Leave", "gateways": last[len(last)-1:]}
}

// ours returns the client routes of a namespace.
func ours(t *testing.T, ns string) (out []unstructured.Unstructured) {
	t.Helper()
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion("networking.istio.io/v1")
	list.SetKind("VirtualServiceList")
	require.NoError(t, shared.Client.List(t.Context(), list, client.InNamespace(ns)))
	for _, routes := range list.Items {
		if hop.IsClientRoute(&routes) {
			out = append(out, routes)
		}
	}
	return out
}

// TestEntriesAreLedByRoutesAlone: they are stored as they are written, and beside them is a route for what their authors do not
// lead themselves. It is not parallel: the webhook runs under other values.
func TestEntriesAreLedByRoutesAlone(t *testing.T) {
	ns := namespace(t, nil)
	const host = "led.example.com"
	written := entry(t, "v1", ns, "api", `{hosts: [led.example.com], ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}`)
	configured(t, onePlainGateway())

	in := written.DeepCopy()
	require.NoError(t, shared.Client.Create(t.Context(), in))
	assert.Equal(t, written.Object["spec"], get(t, in).Object["spec"], "as it is written")
	eventually(t, func() bool { return ready(get(t, in), "True") && len(ours(t, ns)) == 1 }, "ExitReady")
	exit, err := controlplane.ExitSet(t.Context(), shared.Client, controlplane.GatewayNamespace, host)
	require.NoError(t, err)
	assert.Len(t, exit, 2)

	route := ours(t, ns)[0]
	t.Run("kept", func(t *testing.T) {
		require.NoError(t, shared.Client.Delete(t.Context(), route.DeepCopy()))
		eventually(t, func() bool { return len(ours(t, ns)) == 1 }, "deleted by hand")
		bent := get(t, &route)
		require.NoError(t, unstructured.SetNestedStringSlice(bent.Object, []string{"bent.example.com"}, "spec", "hosts"))
		require.NoError(t, shared.Client.Update(t.Context(), bent))
		assert.Equal(t, route.Object["spec"], get(t, &route).Object["spec"], "whoever writes it, there is one form")
	})
	t.Run("guarded", func(t *testing.T) {
		tenant, _ := author(t)
		err := tenant.Delete(t.Context(), route.DeepCopy())
		require.ErrorContains(t, err, "egress-governor alone writes and deletes what carries the calls of a host")
	})
	t.Run("authors", func(t *testing.T) {
		vs := virtualService(t, "v1", ns, `{hosts: [led.example.com], http: [{timeout: 3s, route: [{destination: {host: led.example.com, port: {number: 80}}}]}]}`)
		require.NoError(t, shared.Client.Create(t.Context(), vs))
		assert.Equal(t, []string{controlplane.GatewayService + "." + controlplane.GatewayNamespace + ".svc.cluster.local"}, destinations(get(t, vs)))
		eventually(t, func() bool {
			left := ours(t, ns)
			return len(left) == 1 && left[0].Object["spec"].(map[string]any)["http"] == nil && left[0].Object["spec"].(map[string]any)["tls"] != nil
		}, "ours gives way")
		straight := vs.DeepCopy()
		straight.Object["spec"] = object(t, ns, "kind: VirtualService\nmetadata: {name: x}\nspec: {hosts: [led.example.com], http: [{route: [{destination: {host: led.example.com, subset: a}}]}]}").Object["spec"]
		straight.SetResourceVersion(get(t, vs).GetResourceVersion())
		require.ErrorContains(t, shared.Client.Update(t.Context(), straight), "straight-route")
		require.NoError(t, shared.Client.Delete(t.Context(), vs))
		eventually(t, func() bool {
			return len(ours(t, ns)) == 1 && ours(t, ns)[0].Object["spec"].(map[string]any)["http"] != nil
		}, "and is back")
	})
	t.Run("refused", func(t *testing.T) {
		require.ErrorContains(t, shared.Client.Create(t.Context(), entry(t, "v1", ns, "tcp", `{hosts: [db.example.com], resolution: DNS, ports: [{number: 5432, name: pg, protocol: TCP}]}`)), "raw-protocol")
	})
	require.NoError(t, shared.Client.Delete(t.Context(), in))
	eventually(t, func() bool {
		exit, err := controlplane.ExitSet(t.Context(), shared.Client, controlplane.GatewayNamespace, host)
		return err == nil && len(exit)+len(ours(t, ns)) == 0
	}, "all goes with the entry")
}

// TestRoutesAreLeftAsTheyAreWritten under sealed entries, or refused where only injection would have made them right.
func TestRoutesAreLeftAsTheyAreWritten(t *testing.T) {
	ns := namespace(t, nil)
	configured(t, map[string]any{"virtualServices": "Leave"})
	in := entry(t, "v1", ns, "api", `{hosts: [left.example.com, other-left.example.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}`)
	require.NoError(t, shared.Client.Create(t.Context(), in))
	eventually(t, func() bool { return ready(get(t, in), "True") }, "ExitReady")
	vs := virtualService(t, "v1", ns, `{hosts: [left.example.com], exportTo: ["."], http: [{route: [{destination: {host: left.example.com, port: {number: 80}}}]}]}`)
	written := vs.DeepCopy()
	eventually(t, func() bool { return shared.Client.Create(t.Context(), vs) == nil }, "the entry is known")
	stored := get(t, vs)
	assert.Equal(t, written.Object["spec"], stored.Object["spec"])
	assert.Empty(t, stored.GetAnnotations())
	pair := virtualService(t, "v1", ns, `{hosts: [left.example.com], exportTo: ["."], http: [{route: [{destination: {host: other-left.example.com, port: {number: 80}}}]}]}`)
	pair.SetName("pair")
	require.ErrorContains(t, shared.Client.Create(t.Context(), pair), "set headers.request.set.host: other-left.example.com beside this destination")
	for _, object := range []client.Object{vs, in} {
		require.NoError(t, shared.Client.Delete(t.Context(), object))
	}
	eventually(t, func() bool {
		exit, err := controlplane.ExitSet(t.Context(), shared.Client, controlplane.GatewayNamespace, "left.example.com")
		return err == nil && len(exit) == 0
	}, "other tests look at all that is there")
}

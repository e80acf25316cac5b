package integration

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestLargeObjectsFitTheGuards: the API server ends an expression that costs too much, and refuses the object.
func TestLargeObjectsFitTheGuards(t *testing.T) {
	guarded(t)
	ns := namespace(t, injected)
	c, _ := author(t)
	repeat := func(n int, item func(i int) string) string {
		var out []string
		for i := range n {
			out = append(out, item(i))
		}
		return strings.Join(out, ", ")
	}
	row := podRow{
		metadata: "annotations: {proxy.istio.io/config: '{" + strings.Repeat("concurrency: 2, ", 500) + "}', sidecar.istio.io/userVolume: '{" +
			repeat(500, func(i int) string { return fmt.Sprintf("\"v%d\": {\"emptyDir\": {}}", i) }) + "}', k8s.v1.cni.cncf.io/networks: '" + strings.Repeat("macvlan,", 10000) + "', " + repeat(1000, func(i int) string { return fmt.Sprintf("ambient.istio.io.a%d: a", i) }) +
			"}, labels: {" + repeat(1000, func(i int) string { return fmt.Sprintf("ambient.istio.io.a%d: a", i) }) + "}",
		spec: "containers: [" + repeat(200, func(i int) string {
			return fmt.Sprintf("{name: c%d, image: app, securityContext: {runAsUser: 1, capabilities: {add: [%s]}}, env: [%s], volumeMounts: [%s], livenessProbe: {httpGet: {port: 80}}, readinessProbe: {httpGet: {port: 80}}, startupProbe: {tcpSocket: {port: 80}}, lifecycle: {preStop: {httpGet: {port: 80}}}}", i,
				repeat(30, func(i int) string { return fmt.Sprintf("CAP_%d", i) }), repeat(30, func(i int) string { return fmt.Sprintf("{name: N%d, value: v}", i) }),
				repeat(30, func(i int) string { return fmt.Sprintf("{name: v%d, mountPath: /v%d}", i, i) }))
		}) + "], volumes: [" + repeat(300, func(i int) string { return fmt.Sprintf("{name: v%d, nfs: {server: 192.168.1.2, path: /}}", i) }) + "]",
	}
	require.NoError(t, c.Create(t.Context(), row.pod(t, ns), client.DryRunAll))
	deployment := row.workloads(t, ns)["Deployment"]
	require.NoError(t, c.Create(t.Context(), deployment))
	require.NoError(t, c.Patch(t.Context(), deployment, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"template":{"metadata":{"labels":{"b":"c"}}}}}`))))
	template, _, err := unstructured.NestedMap(deployment.Object, "spec", "template")
	require.NoError(t, err)
	containers, _, err := unstructured.NestedSlice(template, "spec", "containers")
	require.NoError(t, err)
	// Every name of a revision is looked at.
	require.NoError(t, unstructured.SetNestedSlice(template, containers[:50], "spec", "containers"))
	revision := object(t, ns, "apiVersion: apps/v1\nkind: ControllerRevision\nmetadata: {name: large}\nrevision: 1")
	revision.Object["data"] = map[string]any{"spec": map[string]any{"template": template}}
	require.NoError(t, c.Create(t.Context(), revision, client.DryRunAll))
	slice := object(t, ns, "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: large}\naddressType: IPv6\nendpoints: ["+
		repeat(1000, func(i int) string { return fmt.Sprintf("{addresses: ['fd00:1111:2222:3333:4444:5555:6666:%x']}", i) })+"]")
	require.NoError(t, c.Create(t.Context(), slice))
	require.NoError(t, c.Patch(t.Context(), slice, client.RawPatch(types.JSONPatchType, []byte(`[{"op":"replace","path":"/endpoints/999/addresses/0","value":"fd00::1"}]`))))
	endpoints := object(t, ns, "apiVersion: v1\nkind: Endpoints\nmetadata: {name: large}\nsubsets: [{addresses: ["+
		repeat(1000, func(i int) string { return fmt.Sprintf("{ip: 192.168.%d.%d}", i/250, i%250) })+"]}]")
	require.NoError(t, c.Create(t.Context(), endpoints))
	internal := entry(t, "v1", ns, "large", "{hosts: [large.example.com], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: ["+
		repeat(1000, func(i int) string { return fmt.Sprintf("{address: 10.77.%d.%d}", i/250, i%250) })+"]}")
	require.NoError(t, c.Create(t.Context(), internal))
	require.NoError(t, c.Delete(t.Context(), internal))
}

package integration

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestATerminatingObjectIsDecidedOn: whoever holds a deleted object by a finalizer still writes what Istio goes by. It
// may lose its finalizers, even where policy has come to forbid it, and nothing else.
func TestATerminatingObjectIsDecidedOn(t *testing.T) {
	t.Parallel()
	const label = "terminating"
	policy, err := policyFor(t, label, "  policy: allowed-hosts\n  parameters: {hosts: [good.example.com]}\n")
	require.NoError(t, err)
	in := entry(t, "v1", namespace(t, map[string]string{"test": label}), "held", `{hosts: [good.example.com], exportTo: ["."], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}`)
	in.SetFinalizers([]string{"tenant.example/hold"})
	require.NoError(t, shared.Client.Create(t.Context(), in))
	require.NoError(t, shared.Client.Delete(t.Context(), in))
	for name, patch := range map[string]string{
		"another host":        `{"spec":{"hosts":["evil.test"],"endpoints":null},"metadata":{"annotations":{"egress-governor.io/intent":null}}}`,
		"the same, by seal":   `{"spec":{"hosts":["evil.test"]}}`,
		"out of the mesh":     `{"spec":{"hosts":["evil.test"],"location":"MESH_INTERNAL","endpoints":null}}`,
		"with finalizers too": `{"spec":{"hosts":["evil.test"]},"metadata":{"finalizers":null}}`,
	} {
		err := shared.Client.Patch(t.Context(), in.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch)))
		assert.Equal(t, int32(403), code(err), "%s: %v", name, err)
	}
	require.NoError(t, shared.Client.Patch(t.Context(), policy,
		client.RawPatch(types.MergePatchType, []byte(`{"spec":{"parameters":{"hosts":["other.example.com"]}}}`))))
	tries := 0
	eventually(t, func() bool {
		// Another value each time: what changes nothing is nothing to decide on.
		tries++
		patch := fmt.Sprintf(`{"metadata":{"labels":{"a":"%d"}}}`, tries)
		err := shared.Client.Patch(t.Context(), in.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch)))
		return code(err) == 403
	}, "the policy forbids what is stored")
	require.NoError(t, shared.Client.Patch(t.Context(), in.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))))
	assert.True(t, apierrors.IsNotFound(shared.Client.Get(t.Context(), client.ObjectKeyFromObject(in), in)))
}

// TestInternalNeedsProof: MESH_INTERNAL takes hosts past the gateway, so it is stored only where it is shown, with no
// policy in force.
func TestInternalNeedsProof(t *testing.T) {
	t.Parallel()
	ns := namespace(t, nil)
	const ports = "ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]"
	for name, spec := range map[string]string{
		"every name below a domain": `{hosts: ["*.internal-a.test"], resolution: DYNAMIC_DNS, workloadSelector: {labels: {app: nothing}}`,
		"original destination":      `{hosts: [internal-b.test], resolution: NONE, workloadSelector: {labels: {}}`,
		"a pod's DNS name":          `{hosts: [internal-c.test], resolution: DNS, endpoints: [{address: 203-0-113-9.default.pod.cluster.local}]`,
		"nothing but the word":      `{hosts: [internal-d.test], resolution: DNS`,
		"the gateway, twice":        `{hosts: [internal-e.test], resolution: DNS, endpoints: [{address: ` + gatewayHost + `}, {address: ` + gatewayHost + `}]`,
	} {
		err := shared.Client.Create(t.Context(), entry(t, "v1", ns, "claims", spec+`, exportTo: ["."], location: MESH_INTERNAL, `+ports+"}"))
		assert.Equal(t, int32(422), code(err), "%s: %v", name, err)
		require.ErrorContains(t, err, "not-internal", name)
	}
	shown := entry(t, "v1", ns, "shown", `{hosts: [internal-f.test], exportTo: ["."], location: MESH_INTERNAL, resolution: DNS,
		endpoints: [{address: kubernetes.default.svc.cluster.local}], `+ports+`}`)
	require.NoError(t, shared.Client.Create(t.Context(), shown))
	err := shared.Client.Patch(t.Context(), shown, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"endpoints":null}}`)))
	assert.Equal(t, int32(422), code(err), "%v", err)
}

// TestAGatewayIsNotLedAstray: neither to itself nor to what it alone may ask, by endpoint, host or port.
func TestAGatewayIsNotLedAstray(t *testing.T) {
	t.Parallel()
	ns := namespace(t, nil)
	for spec, want := range map[string]string{
		`resolution: STATIC, endpoints: [{address: 127.0.0.1, ports: {http: 15000}}]`: "spec.endpoints[0].address",
		`resolution: STATIC, endpoints: [{address: "::ffff:169.254.169.254"}]`:        "spec.endpoints[0].address",
		`resolution: DNS, endpoints: [{address: x.localhost}]`:                        "spec.endpoints[0].address",
		`resolution: DNS, endpoints: [{address: istio-egressgateway.istio-system}]`:   "spec.endpoints[0].address",
		`resolution: DNS, endpoints: [{address: kubernetes.default}]`:                 "spec.endpoints[0].address",
	} {
		err := shared.Client.Create(t.Context(), entry(t, "v1", ns, "astray", `{hosts: [astray.example.com], `+spec+`, ports: [{number: 80, name: http, protocol: HTTP}]}`))
		assert.Equal(t, int32(422), code(err), "%s: %v", spec, err)
		require.ErrorContains(t, err, want)
	}
	for host, port := range map[string]string{"metadata.google.internal": "80", "kubernetes.default": "80", "astray.example.com": "15000"} {
		err := shared.Client.Create(t.Context(), entry(t, "v1", ns, "astray", `{hosts: [`+host+`], resolution: DNS, ports: [{number: `+port+`, name: http, protocol: HTTP}]}`))
		assert.Equal(t, int32(422), code(err), "%s: %v", host, err)
	}
}

// TestAManifestOfLongListsIsRefused: what 100 KB cost is refused before anything is looked at, a dry run too.
func TestAManifestOfLongListsIsRefused(t *testing.T) {
	t.Parallel()
	hosts, routes := make([]any, 1000), make([]any, 1000)
	for i := range hosts {
		hosts[i] = fmt.Sprintf("h%d.test", i)
		routes[i] = map[string]any{"route": []any{map[string]any{"destination": map[string]any{"host": gatewayHost}}}}
	}
	in := virtualService(t, "v1", namespace(t, nil), "{}")
	require.NoError(t, unstructured.SetNestedMap(in.Object, map[string]any{"hosts": hosts, "http": routes}, "spec"))
	err := shared.Client.Create(t.Context(), in, client.DryRunAll)
	assert.Equal(t, int32(422), code(err), "%v", err)
	require.ErrorContains(t, err, "too-large")

	// An ingress has as many.
	for _, route := range routes {
		require.NoError(t, unstructured.SetNestedField(route.(map[string]any)["route"].([]any)[0].(map[string]any), "web", "destination", "host"))
	}
	require.NoError(t, unstructured.SetNestedMap(in.Object, map[string]any{"hosts": append(hosts, "last.test"), "gateways": []any{"ingress"}, "http": routes}, "spec"))
	require.NoError(t, shared.Client.Create(t.Context(), in, client.DryRunAll))
}

// TestNobodyTakesThePortsOfTheGateway, nor decides on its pods over the calls of others, by Gateways and routes of his own.
func TestNobodyTakesThePortsOfTheGateway(t *testing.T) {
	t.Parallel()
	owner, tenant := namespace(t, nil), namespace(t, nil)
	const host = "taken-ports.example.com"
	theirs := entry(t, "v1", owner, "theirs", "{hosts: ["+host+"], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}")
	require.NoError(t, shared.Client.Create(t.Context(), theirs))
	eventually(t, func() bool { return ready(get(t, theirs), "True") }, "ExitReady")
	for name, server := range map[string]string{
		"TLS that ends here":   "{port: {number: 443, name: tls, protocol: TLS}, hosts: [" + host + "], tls: {mode: ISTIO_MUTUAL}}",
		"TLS on the HTTP port": "{port: {number: 80, name: tls, protocol: HTTPS}, hosts: ['*'], tls: {mode: ISTIO_MUTUAL}}",
	} {
		err := shared.Client.Create(t.Context(), object(t, tenant, "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: taker}\nspec: {selector: {istio: egressgateway}, servers: ["+server+"]}"))
		assert.Equal(t, int32(422), code(err), "%s: %v", name, err)
		require.ErrorContains(t, err, "spec.servers[0].port", name)
	}
	require.NoError(t, shared.Client.Create(t.Context(), object(t, tenant,
		"apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: harmless}\nspec: {selector: {istio: egressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [nobodys-ports.example.com]}]}")))
	routes := func(spec string) error {
		return shared.Client.Create(t.Context(), object(t, tenant, "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {generateName: taker-}\nspec: "+spec))
	}
	eventually(t, func() bool {
		return strings.Contains(fmt.Sprint(routes("{hosts: ["+host+"], gateways: [harmless], http: [{match: [{uri: {prefix: /}}], route: [{destination: {host: collector}}]}]}")), "on the pods of the egress gateway")
	}, "a route that takes the calls of others")
	err := routes("{hosts: [" + host + "], gateways: [not-there], http: [{route: [{destination: {host: collector}}]}]}")
	assert.Equal(t, int32(422), code(err), "%v", err)
	hop := func(of string) error {
		return routes("{hosts: [" + of + "], gateways: [harmless], http: [{route: [{destination: {host: " + of + ", port: {number: 80}}}]}]}")
	}
	require.ErrorContains(t, hop(host), "(gateway-binding)", "a host that he does not call")
	const own = "own-ports.example.com"
	require.NoError(t, shared.Client.Create(t.Context(), entry(t, "v1", tenant, "own", "{hosts: ["+own+"], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}")))
	eventually(t, func() bool { return hop(own) == nil }, "the hop of the guides")
}

// TestEncryptionIsAgreed: nobody has calls of others encrypted, or sent in clear, by a rule of his own.
func TestEncryptionIsAgreed(t *testing.T) {
	t.Parallel()
	const host = "agreed.example.com"
	first, second := namespace(t, nil), namespace(t, nil)
	rule := func(ns, tls string) error {
		return shared.Client.Create(t.Context(), object(t, ns, "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {generateName: r-}\nspec: {host: "+host+", trafficPolicy: {tls: "+tls+"}}"))
	}
	for _, ns := range []string{first, second} {
		in := entry(t, "v1", ns, "e", "{hosts: ["+host+"], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}")
		require.NoError(t, shared.Client.Create(t.Context(), in))
		eventually(t, func() bool { return ready(get(t, in), "True") }, "ExitReady")
	}
	err := rule(first, "{mode: SIMPLE}")
	assert.Equal(t, int32(422), code(err), "%v", err)
	require.ErrorContains(t, err, "ServiceEntry "+second+"/e")
	for tls, want := range map[string]string{
		"{mode: MUTUAL, credentialName: 'kubernetes://somebody-elses'}": "is not the name of a Secret",
		"{mode: ISTIO_MUTUAL}": "the mesh's own TLS",
	} {
		require.ErrorContains(t, rule(second, tls), want)
	}
}

// TestNobodyRoutesTheCallsOfOthers to a host of theirs, whoever comes first: the routes are for his own calls.
func TestNobodyRoutesTheCallsOfOthers(t *testing.T) {
	t.Parallel()
	owner, tenant := namespace(t, nil), namespace(t, nil)
	routes := func(name, host string) *unstructured.Unstructured {
		return object(t, tenant, "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: "+name+"}\nspec: {hosts: ["+host+"], exportTo: ['.', "+owner+"], http: [{route: [{destination: {host: collector}}]}]}")
	}
	exportTo := func(of *unstructured.Unstructured) string {
		list, _, _ := unstructured.NestedStringSlice(get(t, of).Object, "spec", "exportTo")
		return strings.Join(list, " ")
	}
	theirs := entry(t, "v1", owner, "theirs", strings.ReplaceAll(hostSpec, "HOST", "routed.example.com"))
	require.NoError(t, shared.Client.Create(t.Context(), theirs))
	eventually(t, func() bool { return ready(get(t, theirs), "True") }, "ExitReady")
	for name, host := range map[string]string{"exact": "routed.example.com", "wildcard": "'*.example.com'", "early": "not-yet.example.com"} {
		vs := routes(name, host)
		require.NoError(t, shared.Client.Create(t.Context(), vs))
		assert.Equal(t, ".", exportTo(vs), name)
	}
	// Whoever turns out to be the first to name the host routes it for those who see the entry.
	require.NoError(t, shared.Client.Create(t.Context(), entry(t, "v1", tenant, "own", strings.ReplaceAll(hostSpec, "HOST", "not-yet.example.com"))))
	eventually(t, func() bool { return exportTo(routes("early", "not-yet.example.com")) == ". "+owner }, "the author's own exportTo")
}

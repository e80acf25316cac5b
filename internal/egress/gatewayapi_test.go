package egress_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

func parsed(t *testing.T, manifest string) *unstructured.Unstructured {
	t.Helper()
	out := &unstructured.Unstructured{}
	require.NoError(t, yaml.Unmarshal([]byte(manifest), &out.Object))
	return out
}

// apiFacts are the facts of a route of namespace payments.
func apiFacts(t *testing.T, kind, spec string) egress.Facts {
	t.Helper()
	route := parsed(t, "kind: "+kind+"\nmetadata: {namespace: payments}\nspec: "+spec)
	return egress.GatewayAPIFacts(egress.ReadAPIRoute(route, mesh(), cluster()), mesh().Gateways[0])
}

func TestGatewayAPIFacts(t *testing.T) {
	t.Parallel()
	for backend, want := range map[string]string{
		`{group: networking.istio.io, kind: Hostname, name: sealed.test, port: 80}`: "sealed.test 80 GRPC via gateway default leaves",
		`{group: networking.istio.io, kind: Hostname, name: bare.test}`:             "bare.test 0 GRPC via direct  leaves",
		`{group: networking.istio.io, kind: Hostname, name: nobody.test}`:           "nobody.test 0 GRPC via unregistered  leaves",
		`{group: networking.istio.io, kind: Hostname, name: internal.test}`:         "internal.test 0 GRPC via mesh  stays",
		`{name: local, port: 8080}`:                                                 "local.payments.svc.cluster.local 8080 GRPC via mesh  stays",
		`{kind: Service, group: "", name: local, namespace: shop}`:                  "local.shop.svc.cluster.local 0 GRPC via mesh  stays",
		`{group: example.com, kind: Bucket, name: x}`:                               "",
	} {
		for path, rule := range map[string]string{
			"spec.rules[0].backendRefs[0].name":                                     `{backendRefs: [` + backend + `]}`,
			"spec.rules[0].filters[1].requestMirror.backendRef.name":                `{filters: [{type: URLRewrite}, {requestMirror: {backendRef: ` + backend + `}}]}`,
			"spec.rules[0].backendRefs[0].filters[0].requestMirror.backendRef.name": `{backendRefs: [{kind: Other, filters: [{requestMirror: {backendRef: ` + backend + `}}]}]}`,
		} {
			got := apiFacts(t, "GRPCRoute", `{parentRefs: [{group: "", kind: Service, name: parent}], rules: [`+rule+`]}`)
			if want == "" {
				assert.Empty(t, got.Routes, backend)
				continue
			}
			require.Len(t, got.Routes, 1, backend)
			at := slices.IndexFunc(got.Hosts, func(host egress.HostFact) bool { return host.Path.String() == path })
			require.NotEqual(t, -1, at, "%s %v", path, got.Hosts)
			route, leaves := got.Routes[0], "stays"
			if got.Hosts[at].Leaves {
				leaves = "leaves"
			}
			assert.Equal(t, want, fmt.Sprintf("%s %d %s via %s %s %s", route.Host, route.Port, route.Protocol, route.Via, route.Gateway, leaves))
			assert.Equal(t, path, route.Path.String())
		}
	}
}

// TestGatewayAPIHosts: policies see the hosts whose calls a route decides over, and what its calls ask the gateway for.
func TestGatewayAPIHosts(t *testing.T) {
	t.Parallel()
	const rules = `rules: [{filters: [{urlRewrite: {hostname: evil.test}}], backendRefs: [{group: networking.istio.io, kind: Hostname, name: sealed.test, port: 80}]}]`
	for parent, want := range map[string][]string{
		`{group: networking.istio.io, kind: ServiceEntry, name: sealed.test}`: {
			"sealed.test spec.parentRefs[0].name true", "evil.test spec.rules[0].filters[0].urlRewrite.hostname true",
		},
		`{name: ingress}`: {"sealed.test spec.rules[0].backendRefs[0].name true", "evil.test spec.rules[0].filters[0].urlRewrite.hostname true"},
	} {
		var got []string
		facts := apiFacts(t, "HTTPRoute", `{parentRefs: [`+parent+`], `+rules+`}`)
		for _, host := range facts.Hosts {
			got = append(got, fmt.Sprint(host.Canonical, " ", host.Path, " ", host.Leaves))
		}
		assert.ElementsMatch(t, want, got, parent)
		require.Len(t, facts.Routes, 1)
		assert.Equal(t, egress.ViaGateway, facts.Routes[0].Via, "the proxies of a Gateway elsewhere know the sealed entry alone")
	}
	facts := apiFacts(t, "HTTPRoute", `{parentRefs: [{name: shared, namespace: istio-system}], `+rules+`}`)
	assert.Equal(t, egress.ViaDirect, facts.Routes[0].Via, "they may see the exit")
}

// TestTheClientsOfARoute are those whose sidecars apply it.
func TestTheClientsOfARoute(t *testing.T) {
	t.Parallel()
	const rules = `, rules: [{backendRefs: [{name: local, port: 80}]}]}`
	for _, tc := range []struct {
		kind, parent string
		all          bool
	}{
		{"HTTPRoute", `{group: networking.istio.io, kind: ServiceEntry, name: sealed.test}`, true},
		{"HTTPRoute", `{group: networking.istio.io, kind: ServiceEntry, name: private.test}`, false},
		{"HTTPRoute", `{group: networking.istio.io, kind: ServiceEntry, name: theirs.test, namespace: shop}`, false},
		{"TLSRoute", `{group: networking.istio.io, kind: ServiceEntry, name: private.test}`, true},
		{"HTTPRoute", `{group: "", kind: Service, name: local}`, true},
		{"HTTPRoute", `{group: "", kind: Service, name: local, namespace: shop}`, false},
		{"TCPRoute", `{group: "", kind: Service, name: local, namespace: shop}`, true},
		{"HTTPRoute", `{name: ingress}`, false},
	} {
		view := cluster()
		private, theirs := egresstest.Sealed("private.test"), egresstest.Sealed("theirs.test")
		private.ExportTo, theirs.Namespace = []string{"."}, "shop"
		view.Known = append(view.Known, private, theirs)
		route := parsed(t, "kind: "+tc.kind+"\nmetadata: {namespace: payments}\nspec: {parentRefs: ["+tc.parent+"]"+rules)
		facts := egress.GatewayAPIFacts(egress.ReadAPIRoute(route, mesh(), view), mesh().Gateways[0])
		assert.Equal(t, tc.all, facts.AllClients, "%s %s", tc.kind, tc.parent)
		assert.Equal(t, []string{"payments"}, facts.Clients)
	}
}

func TestWorkloadFacts(t *testing.T) {
	t.Parallel()
	with := mesh()
	with.CIDRs = []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}
	for address, leaves := range map[string]bool{"10.9.1.2": false, "203.0.113.7": true, "vm.example.com": true, "local.payments.svc.cluster.local": false} {
		got := egress.WorkloadFacts(parsed(t, "kind: WorkloadEntry\nmetadata: {namespace: payments}\nspec: {address: "+address+"}"), with.Gateways[0], with, cluster())
		require.Len(t, got.Hosts, 1)
		assert.True(t, got.Hosts[0].Endpoint)
		assert.Equal(t, leaves, got.Hosts[0].Leaves, address)
		assert.Equal(t, "spec.address", got.Hosts[0].Path.String())
	}
	assert.Empty(t, egress.WorkloadFacts(parsed(t, "kind: WorkloadEntry\nspec: {}"), with.Gateways[0], with, cluster()).Hosts)
}

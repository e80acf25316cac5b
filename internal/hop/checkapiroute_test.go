package hop_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// ofAPI is a route of namespace payments; the fields of its spec stand between commas.
func ofAPI(t *testing.T, kind, spec string) *unstructured.Unstructured {
	t.Helper()
	out := &unstructured.Unstructured{}
	spec = strings.NewReplacer(
		"ENTRY", "group: networking.istio.io, kind: ServiceEntry, name", "HOST", "group: networking.istio.io, kind: Hostname, name",
	).Replace(spec)
	require.NoError(t, yaml.Unmarshal([]byte("kind: "+kind+"\nmetadata: {namespace: payments}\nspec: {"+spec+"}"), &out.Object))
	return out
}

// meshed is a cluster with the entries of others, and with hosts of raw TCP.
func meshed(transport egress.Transport) *egresstest.Cluster {
	out := egresstest.NewCluster()
	if transport == egress.MutualTLS {
		out = egresstest.NewMutualCluster()
	}
	theirs := func(host, name string, exportTo ...string) *egress.Entry {
		entry := egresstest.Sealed(host, egress.Port{Number: 80, Name: "http", Protocol: "HTTP"}, egress.Port{Number: 443, Name: "tls", Protocol: "TLS"})
		entry.Namespace, entry.Name, entry.ExportTo, entry.Transport = "shop", name, exportTo, transport
		return entry
	}
	mine := func(host string, exportTo ...string) *egress.Entry {
		entry := theirs(host, "mine-"+host, exportTo...)
		entry.Namespace, entry.Created = egresstest.Namespace, entry.Created.Add(1)
		return entry
	}
	db := egresstest.Sealed("db.example.com", egress.Port{Number: 5432, Name: "tcp", Protocol: "TCP"}, egress.Port{Number: 80, Name: "http", Protocol: "HTTP"})
	db.Transport = transport
	pair := theirs("pair", "pair")
	pair.Namespace, pair.Hosts = egresstest.Namespace, []string{"one.pair.test", "two.pair.test"}
	first := mine("late.test")
	first.Name, first.Created = "api-too", first.Created.Add(-time.Hour)
	exempt := theirs("exempt.test", "exempt")
	exempt.Gateway = ""
	out.Known = append(out.Known, db, pair, exempt, theirs("shop.test", "shop"), theirs("secret.test", "secret", "."),
		theirs("shared.test", "shared"), mine("shared.test", "orders"), theirs("kept.test", "kept"), mine("kept.test", "."), mine("one.wild.test"), first, theirs("late.test", "late"))
	return out
}

// TestWhatARouteOfTheGatewayAPICannotExpress: each line is a kind, its spec and what is refused of it, "" for nothing.
func TestWhatARouteOfTheGatewayAPICannotExpress(t *testing.T) {
	t.Parallel()
	const backend = "parentRefs: [{ENTRY: api.example.com}], rules: [{backendRefs: [{HOST: api.example.com, port: 80"
	const rule = backend + "}"
	for _, tc := range []struct{ kind, spec, want string }{
		// What is carried.
		{"HTTPRoute", rule + "]}]", ""},
		{"HTTPRoute", rule + ", {name: local, port: 80, weight: 1}], timeouts: {request: 3s}, retry: {attempts: 2}}]", ""},
		{"HTTPRoute", rule + "], matches: [{headers: [{name: x, value: v1}]}], filters: [{requestHeaderModifier: {set: [{name: x, value: '%REQ(y)%'}]}}, {urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /x}}}, {requestRedirect: {hostname: evil.test}}]}]", ""},
		{"HTTPRoute", rule + "], filters: [{requestMirror: {backendRef: {name: local, port: 80}}}, {requestMirror: {backendRef: {HOST: api.example.com, port: 80}}}]}]", ""},
		{"HTTPRoute", "parentRefs: [{ENTRY: api.example.com}], rules: [{backendRefs: [{name: local, port: 80}]}, {}]", ""},
		{"HTTPRoute", "parentRefs: [{ENTRY: api.example.com}], rules: [{filters: [{urlRewrite: {hostname: shop.test}}], backendRefs: [{HOST: shop.test, port: 80}]}]", ""},
		{"HTTPRoute", "parentRefs: [{ENTRY: two.example.com, port: 8080}], rules: [{backendRefs: [{HOST: two.example.com, port: 8080}]}]", ""},
		{"HTTPRoute", "parentRefs: [{ENTRY: shop, namespace: shop}], rules: [{backendRefs: [{name: local, port: 80}]}]", ""},
		{"HTTPRoute", "parentRefs: [{ENTRY: mine-kept.test}], rules: [{backendRefs: [{name: local, port: 80}]}]", ""},
		{"HTTPRoute", "parentRefs: [{group: '', kind: Service, name: local}], rules: [{backendRefs: [{HOST: api.example.com, port: 80, filters: [{requestHeaderModifier: {set: [{name: Host, value: api.example.com}]}}]}]}]", ""},
		{"HTTPRoute", "parentRefs: [{name: ingress}], hostnames: [www.test], rules: [{filters: [{urlRewrite: {hostname: api.example.com}}], backendRefs: [{HOST: api.example.com, port: 80}]}]", ""},
		{"HTTPRoute", "parentRefs: [{name: shared, namespace: istio-system}], hostnames: [www.test], rules: [{backendRefs: [{name: local, port: 80}]}]", ""},
		{"HTTPRoute", "parentRefs: [{group: other.test, kind: Gateway, name: x, namespace: istio-system}], rules: [{backendRefs: [{name: local, port: 80}]}]", ""},
		{"GRPCRoute", "parentRefs: [{ENTRY: grpc.example.com}], rules: [{matches: [{method: {service: s}}], backendRefs: [{HOST: grpc.example.com, port: 50051}]}]", ""},
		{"TLSRoute", "parentRefs: [{ENTRY: api.example.com, port: 443}], rules: [{backendRefs: [{HOST: api.example.com, port: 443}]}]", ""},
		{"TLSRoute", "parentRefs: [{ENTRY: api.example.com}], rules: [{backendRefs: [{HOST: api.example.com, port: 443}]}]", "exported-route spec.parentRefs[0].name"},
		{"TLSRoute", "parentRefs: [{ENTRY: '*.wild.test', port: 443}], rules: [{backendRefs: [{HOST: '*.wild.test', port: 443}]}]", ""},
		{"TLSRoute", "parentRefs: [{group: '', kind: Service, name: local}], hostnames: [www.test], rules: [{backendRefs: [{name: local, port: 443}]}]", ""},

		// Where the gateway would go elsewhere than the route says.
		{"HTTPRoute", "parentRefs: [{ENTRY: api.example.com}], rules: [{backendRefs: [{HOST: shop.test, port: 80}]}]", "other-host spec.rules[0].backendRefs[0].name"},
		{"HTTPRoute", rule + ", {HOST: grpc.example.com, port: 50051}]}]", "other-host spec.rules[0].backendRefs[1].name"},
		{"HTTPRoute", rule + "], filters: [{}, {requestMirror: {backendRef: {HOST: shop.test, port: 80}}}]}]", "other-host spec.rules[0].filters[1].requestMirror.backendRef.name"},
		{"HTTPRoute", rule + "], filters: [{urlRewrite: {hostname: two.example.com}}]}]", "other-host spec.rules[0].backendRefs[0].name"},
		{"HTTPRoute", backend + ", filters: [{requestHeaderModifier: {add: [{name: hOST, value: two.example.com}]}}]}]}]", "other-host spec.rules[0].backendRefs[0].name"},
		{"HTTPRoute", backend + ", filters: [{requestHeaderModifier: {set: [{name: ':authority', value: two.example.com}, {name: ':AUTHORITY', value: api.example.com}]}}]}]}]", "other-host spec.rules[0].backendRefs[0].name"},
		{"HTTPRoute", "parentRefs: [{ENTRY: pair}], rules: [{backendRefs: [{HOST: one.pair.test, port: 80}]}]", "other-host spec.rules[0].backendRefs[0].name"},
		{"HTTPRoute", "parentRefs: [{ENTRY: api.example.com}, {ENTRY: grpc.example.com}], rules: [{backendRefs: [{HOST: api.example.com, port: 80}]}]", "other-host spec.rules[0].backendRefs[0].name"},
		{"HTTPRoute", "parentRefs: [{group: '', kind: Service, name: local}], rules: [{backendRefs: [{HOST: api.example.com, port: 80}]}]", "other-host spec.rules[0].backendRefs[0].name"},
		{"HTTPRoute", "parentRefs: [{name: ingress}], hostnames: [www.test, api.example.com], rules: [{backendRefs: [{HOST: api.example.com, port: 80}]}]", "other-host spec.rules[0].backendRefs[0].name"},
		{"HTTPRoute", "parentRefs: [{name: ingress}], rules: [{backendRefs: [{HOST: api.example.com, port: 80}]}]", "other-host spec.rules[0].backendRefs[0].name"},
		{"HTTPRoute", "parentRefs: [{ENTRY: two.example.com}], rules: [{}, {backendRefs: [{HOST: two.example.com, port: 8080}]}]", "port-mapping spec.rules[1].backendRefs[0].port"},
		{"HTTPRoute", "parentRefs: [{ENTRY: two.example.com, sectionName: alt}], rules: [{backendRefs: [{HOST: two.example.com, port: 8080}]}]", "port-mapping spec.rules[0].backendRefs[0].port"},
		{"HTTPRoute", "parentRefs: [{ENTRY: api.example.com}], rules: [{backendRefs: [{HOST: api.example.com, port: 443}]}]", "port-mapping spec.rules[0].backendRefs[0].port"},
		{"HTTPRoute", "parentRefs: [{ENTRY: api.example.com}], rules: [{filters: [{urlRewrite: {hostname: two.example.com}}], backendRefs: [{HOST: two.example.com, port: 8080}]}]",
			"port-mapping spec.rules[0].backendRefs[0].port, authority-port spec.rules[0].filters[0].urlRewrite.hostname"},

		// What is not there.
		{"HTTPRoute", "parentRefs: [{ENTRY: nobody}], rules: [{backendRefs: [{HOST: api.example.com, port: 80}]}]", "unknown-entry spec.parentRefs[0].name"},
		{"HTTPRoute", "parentRefs: [{ENTRY: api.example.com, namespace: shop}], rules: [{}]", "unknown-entry spec.parentRefs[0].name"},
		{"HTTPRoute", "parentRefs: [{ENTRY: ''}], rules: [{}]", "unknown-entry spec.parentRefs[0].name"},
		{"HTTPRoute", "parentRefs: [{ENTRY: api.example.com}], rules: [{backendRefs: [{HOST: nobody.test, port: 80}]}]", "unknown-host spec.rules[0].backendRefs[0].name"},
		{"HTTPRoute", "parentRefs: [{ENTRY: api.example.com}], rules: [{backendRefs: [{HOST: secret.test, port: 80}]}]", "unknown-host spec.rules[0].backendRefs[0].name"},
		{"HTTPRoute", "parentRefs: [{ENTRY: api.example.com}], rules: [{backendRefs: [{HOST: '*.example.com', port: 80}]}]", "unknown-host spec.rules[0].backendRefs[0].name"},
		{"HTTPRoute", "parentRefs: [{ENTRY: api.example.com}], rules: [{backendRefs: [{HOST: API.example.com., port: 80}]}]", "not-canonical spec.rules[0].backendRefs[0].name"},
		{"HTTPRoute", "parentRefs: [{ENTRY: api.example.com}], rules: [{backendRefs: [{HOST: local, port: 80}]}]", "not-canonical spec.rules[0].backendRefs[0].name"},

		// What would take others' calls, now or once they have an entry.
		{"TLSRoute", "parentRefs: [{ENTRY: api.example.com}], hostnames: [api.example.com], rules: [{backendRefs: [{HOST: api.example.com, port: 443}, {name: local, port: 443}]}]", "exported-route spec.parentRefs[0].name"},
		{"TLSRoute", "parentRefs: [{ENTRY: pair}], hostnames: [two.pair.test, one.pair.test], rules: [{backendRefs: [{name: local, port: 443}]}]", "exported-route spec.parentRefs[0].name, exported-route spec.parentRefs[0].name"},
		{"TCPRoute", "parentRefs: [{ENTRY: db.example.com}], rules: [{backendRefs: [{name: local, port: 80}]}]", "exported-route spec.parentRefs[0].name"},
		{"TLSRoute", "parentRefs: [{ENTRY: shop, namespace: shop}], rules: [{backendRefs: [{name: local, port: 443}]}]", "exported-route spec.parentRefs[0].name"},
		{"TLSRoute", "parentRefs: [{ENTRY: mine-kept.test}], rules: [{backendRefs: [{name: local, port: 443}]}]", "exported-route spec.parentRefs[0].name"},
		{"HTTPRoute", "parentRefs: [{ENTRY: mine-shared.test}], rules: [{backendRefs: [{name: local, port: 80}]}]", "exported-route spec.parentRefs[0].name"},
		{"HTTPRoute", "parentRefs: [{ENTRY: shared, namespace: shop}], rules: [{backendRefs: [{name: local, port: 80}]}]", "exported-route spec.parentRefs[0].name"},
		{"TLSRoute", "parentRefs: [{ENTRY: api.example.com}], hostnames: [tls.example.com], rules: [{backendRefs: [{name: local, port: 443}]}]", "exported-route spec.parentRefs[0].name, foreign-sni spec.hostnames"},
		{"TLSRoute", "parentRefs: [{ENTRY: api.example.com}], hostnames: [x.test, y.test], rules: [{backendRefs: [{name: local, port: 443}]}]", "exported-route spec.parentRefs[0].name, foreign-sni spec.hostnames"},
		{"TLSRoute", "parentRefs: [{ENTRY: api.example.com}], hostnames: ['*.example.com'], rules: [{backendRefs: [{name: local, port: 443}]}]", "exported-route spec.parentRefs[0].name, foreign-sni spec.hostnames"},
		{"TLSRoute", "parentRefs: [{ENTRY: api.example.com}], hostnames: [x.test, y.test], rules: [{backendRefs: [{group: other.test, kind: Bucket, name: x}]}]", "exported-route spec.parentRefs[0].name, foreign-sni spec.hostnames"},
		{"TLSRoute", "parentRefs: [{ENTRY: mine-one.wild.test}], hostnames: [one.wild.test], rules: [{backendRefs: [{name: local, port: 443}]}]", "exported-route spec.parentRefs[0].name, left-out spec.hostnames"},
		{"TLSRoute", "parentRefs: [{ENTRY: mine-one.wild.test}], hostnames: [one.wild.test], rules: [{backendRefs: [{group: other.test, kind: Bucket, name: x}]}]", "exported-route spec.parentRefs[0].name, left-out spec.hostnames"},
		{"TLSRoute", "parentRefs: [{ENTRY: api-too}], hostnames: [late.test], rules: [{backendRefs: [{name: local, port: 443}]}]", "exported-route spec.parentRefs[0].name"},
		{"TLSRoute", "parentRefs: [{ENTRY: pair}], hostnames: [two.pair.test], rules: [{backendRefs: [{name: local, port: 443}]}]", "exported-route spec.parentRefs[0].name, exported-route spec.parentRefs[0].name, foreign-sni spec.hostnames"},
		{"TLSRoute", "parentRefs: [{group: '', kind: Service, name: local}], hostnames: [api.example.com], rules: [{backendRefs: [{name: local, port: 443}]}]", "foreign-sni spec.hostnames"},
		{"HTTPRoute", "parentRefs: [{name: shared, namespace: istio-system}], hostnames: [api.example.com], rules: [{backendRefs: [{name: local, port: 80}]}]", "gateway-route spec.hostnames"},
		{"HTTPRoute", "parentRefs: [{name: shared, namespace: istio-system}], rules: [{backendRefs: [{name: local, port: 80}]}]", "gateway-route spec.hostnames"},
		{"HTTPRoute", "parentRefs: [{name: shared, namespace: istio-system}], hostnames: [www.test, de.wild.test], rules: [{backendRefs: [{name: local, port: 80}]}]", "gateway-route spec.hostnames"},
		{"TLSRoute", "parentRefs: [{name: shared, namespace: istio-system}], hostnames: ['*.de.wild.test'], rules: [{backendRefs: [{name: local, port: 443}]}]", "gateway-route spec.hostnames"},
		{"TCPRoute", "parentRefs: [{name: shared, namespace: istio-system}], rules: [{backendRefs: [{name: local, port: 80}]}]", ""},
		{"TLSRoute", "parentRefs: [{ENTRY: api.example.com}], hostnames: [api.example.com, '*.example.com'], rules: [{backendRefs: [{name: local, port: 443}]}]", "exported-route spec.parentRefs[0].name, foreign-sni spec.hostnames"},
		{"TLSRoute", "parentRefs: [{ENTRY: api.example.com}], hostnames: [x.test, '*.com'], rules: [{backendRefs: [{name: local, port: 443}]}]", "exported-route spec.parentRefs[0].name, foreign-sni spec.hostnames"},
		{"TLSRoute", "parentRefs: [{kind: ListenerSet, name: mine}], hostnames: ['*.com'], rules: [{backendRefs: [{name: local, port: 443}]}]", "gateway-route spec.hostnames"},
		{"HTTPRoute", "parentRefs: [{name: shared, namespace: istio-system}], hostnames: [www.test], rules: [{filters: [{urlRewrite: {hostname: api.example.com}}], backendRefs: [{HOST: api.example.com, port: 80}]}]", "beside-gateway spec.rules[0].backendRefs[0].name"},

		// What Istio would not do, and what Envoy would not take.
		{"HTTPRoute", "parentRefs: [{ENTRY: '*.wild.test'}], rules: [{backendRefs: [{name: local, port: 80}]}]", "wildcard-parent spec.parentRefs[0].name"},
		{"HTTPRoute", rule + "], filters: [{requestHeaderModifier: {set: [{name: x, value: '%NOT_A_COMMAND%'}]}}, {responseHeaderModifier: {add: [{name: y, value: '%'}]}}]}]",
			"header-format spec.rules[0].filters[0].requestHeaderModifier.set, header-format spec.rules[0].filters[1].responseHeaderModifier.add"},
		{"GRPCRoute", "parentRefs: [{ENTRY: grpc.example.com}], rules: [{backendRefs: [{HOST: grpc.example.com, port: 50051, filters: [{requestHeaderModifier: {add: [{name: x, value: '%X'}]}}]}]}]", "header-format spec.rules[0].backendRefs[0].filters[0].requestHeaderModifier.add"},
	} {
		for _, transport := range []egress.Transport{egress.Plain, egress.MutualTLS} {
			cluster := meshed(transport)
			mesh := egresstest.Mesh()
			if transport == egress.MutualTLS {
				mesh = egresstest.MutualTLS()
			}
			cluster.Mesh = mesh
			assert.Equal(t, tc.want, refusedAs(hop.CheckAPIRoute(egress.ReadAPIRoute(ofAPI(t, tc.kind, tc.spec), mesh, cluster))), "%s %s by %s", tc.kind, tc.spec, transport)
		}
	}
}

// TestRawTCPOfTheGatewayAPI ends at the host of the destination where the transport says which that is.
func TestRawTCPOfTheGatewayAPI(t *testing.T) {
	t.Parallel()
	for backend, want := range map[string][2]string{
		"{HOST: db.example.com, port: 5432}":                              {"raw-protocol spec.rules[0].backendRefs[0].name", ""},
		"{HOST: api.example.com, port: 443}":                              {"raw-protocol spec.rules[0].backendRefs[0].name", ""},
		"{HOST: db.example.com, port: 80}":                                {"raw-protocol spec.rules[0].backendRefs[0].name", "port-mapping spec.rules[0].backendRefs[0].port"},
		"{name: istio-egressgateway, namespace: istio-system, port: 443}": {"", "gateway-destination spec.rules[0].backendRefs[0].name"},
	} {
		for i, mesh := range []*egress.Mesh{egresstest.Mesh(), egresstest.MutualTLS()} {
			for _, parent := range []string{"{ENTRY: db.example.com, port: 5432}", "{group: '', kind: Service, name: local, port: 5432}"} {
				cluster := meshed(mesh.Gateways[0].Transport)
				cluster.Mesh = mesh
				spec := fmt.Sprintf("parentRefs: [%s], rules: [{backendRefs: [%s]}]", parent, backend)
				refused := want[i]
				if strings.Contains(parent, "ENTRY") && !strings.Contains(backend, "5432") && !strings.Contains(backend, "istio-egressgateway") {
					refused = strings.TrimSuffix("exported-route spec.parentRefs[0].name, "+refused, ", ")
				}
				assert.Equal(t, refused, refusedAs(hop.CheckAPIRoute(egress.ReadAPIRoute(ofAPI(t, "TCPRoute", spec), mesh, cluster))), spec)
			}
		}
	}
}

// TestTLSOfTheGatewayAPI under another name ends at the host of the destination where the transport says which that is, and the route is not everybody's.
func TestTLSOfTheGatewayAPI(t *testing.T) {
	t.Parallel()
	const (
		route     = ", rules: [{backendRefs: [{HOST: tls.example.com, port: 443}]}]"
		everybody = "exported-route spec.parentRefs[0].name"
		other     = "other-host spec.rules[0].backendRefs[0].name"
	)
	for parent, want := range map[string][2]string{
		"parentRefs: [{ENTRY: api.example.com}]":                                                  {everybody + ", " + other, everybody},
		"parentRefs: [{group: '', kind: Service, name: local, port: 443}], hostnames: [www.test]": {other, ""},
	} {
		for i, mesh := range []*egress.Mesh{egresstest.Mesh(), egresstest.MutualTLS()} {
			cluster := meshed(mesh.Gateways[0].Transport)
			cluster.Mesh = mesh
			assert.Equal(t, want[i], refusedAs(hop.CheckAPIRoute(egress.ReadAPIRoute(ofAPI(t, "TLSRoute", parent+route), mesh, cluster))), parent)
		}
	}
}

// refusedAs has the code and the field of each refusal.
func refusedAs(refusals hop.Refusals) string {
	var out []string
	for _, refusal := range refusals {
		out = append(out, refusal.Code+" "+refusal.Field)
	}
	return strings.Join(out, ", ")
}

// TestARouteOfTheGatewayAPILeadsNowhereByRoutesAlone: nothing is rewritten in it.
func TestARouteOfTheGatewayAPILeadsNowhereByRoutesAlone(t *testing.T) {
	t.Parallel()
	const spec = "parentRefs: [{ENTRY: api.example.com}], rules: [{backendRefs: [{HOST: api.example.com, port: 80}]}]"
	for want, view := range map[string]*egresstest.Cluster{"": egresstest.NewCluster(), "straight-route": egresstest.NewLedCluster()} {
		mesh := view.Mesh
		if mesh == nil {
			mesh = egresstest.Mesh()
		}
		var codes []string
		for _, refusal := range hop.CheckAPIRoute(egress.ReadAPIRoute(ofAPI(t, "HTTPRoute", spec), mesh, view)) {
			codes = append(codes, refusal.Code)
		}
		assert.Equal(t, want, strings.Join(codes, " "))
	}
}

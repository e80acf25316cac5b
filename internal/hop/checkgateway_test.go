package hop_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

func binding(t *testing.T, name, spec string) *egress.Binding {
	t.Helper()
	return egress.ReadBinding(object(t, "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: "+name+", namespace: payments}\nspec: "+spec))
}

// TestAGatewayTakesNoPortFromTheExits, neither by the Service's port nor by that of the pods behind it.
func TestAGatewayTakesNoPortFromTheExits(t *testing.T) {
	t.Parallel()
	service := egresstest.Carrier("HTTP2")
	service.Ports[0].Target, service.Ports[1].Target = 8080, 8443
	for server, want := range map[string]string{
		`{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.test]}`:                                            "",
		`{port: {number: 443, name: tls, protocol: TLS}, hosts: [a.test], tls: {mode: PASSTHROUGH}}`:                   "",
		`{port: {number: 15443, name: tls, protocol: TLS}, hosts: [a.test], tls: {mode: ISTIO_MUTUAL}}`:                "",
		`{port: {number: 443, name: tls, protocol: TLS}, hosts: [a.test], tls: {mode: ISTIO_MUTUAL}}`:                  "gateway-port spec.servers[0].port",
		`{port: {number: 8443, name: tls, protocol: HTTPS}, hosts: ["*"], tls: {mode: SIMPLE, credentialName: x}}`:     "gateway-port spec.servers[0].port",
		`{port: {number: 443, name: tls, protocol: TCP}, hosts: ["*"]}`:                                                "gateway-port spec.servers[0].port",
		`{port: {number: 443, name: tls, protocol: TLS}, hosts: ["*"], tls: {mode: AUTO_PASSTHROUGH}}`:                 "gateway-port spec.servers[0].port",
		`{port: {number: 80, name: https, protocol: HTTPS}, hosts: ["*"], tls: {mode: ISTIO_MUTUAL}}`:                  "gateway-port spec.servers[0].port",
		`{port: {number: 8080, name: tcp, protocol: TCP}, hosts: ["*"]}`:                                               "gateway-port spec.servers[0].port",
		`{port: {number: 443, name: tls, protocol: TLS}, hosts: [a.test, "istio-system/*"], tls: {mode: PASSTHROUGH}}`: "gateway-port spec.servers[0].port",
		`{port: {number: 443, name: tls, protocol: TLS}, hosts: ["payments/*", "*/a.test"], tls: {mode: PASSTHROUGH}}`: "",
		`{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"], tls: {httpsRedirect: true}}`:                   "gateway-port spec.servers[0].port",
	} {
		var got []string
		for _, refusal := range hop.CheckBinding(binding(t, "g", "{selector: {istio: egressgateway}, servers: ["+server+"]}"), mesh().Gateways[0], service) {
			got = append(got, refusal.Code+" "+refusal.Field)
		}
		assert.Equal(t, want, strings.Join(got, ", "), server)
	}
}

// TestWhoseProxiesAGatewayOpens: by the labels of the configuration, by those that the pods have besides, and by those that
// istiod alone gives them, of which any value may be the right one.
func TestWhoseProxiesAGatewayOpens(t *testing.T) {
	t.Parallel()
	view := cluster()
	view.InGatewayNamespaces = []map[string]string{
		{"istio": "egressgateway", "app": "istio-egressgateway"}, {"istio": "ingressgateway", "app": "istio-ingressgateway"},
	}
	for selector, want := range map[string]int{
		"{istio: egressgateway}": 1, "{app: istio-egressgateway}": 1, "{}": 1, "{istio: ingressgateway}": 0, "{app: other}": 0,
		"{topology.istio.io/cluster: Kubernetes}": 1, "{topology.istio.io/network: a, topology.istio.io/subzone: b}": 1, "{istio-locality: a/b}": 1,
		"{topology.kubernetes.io/region: a, topology.kubernetes.io/zone: b}": 1, "{kubernetes.io/hostname: a}": 1,
		"{kubernetes.io/hostname: a, app: istio-egressgateway}": 1, "{kubernetes.io/hostname: a, istio: ingressgateway}": 0, "{topology.istio.io/cluster: a, app: other}": 0,
	} {
		assert.Len(t, mesh().Opened(binding(t, "g", "{selector: "+selector+"}"), view), want, selector)
	}
}

// TestWhatAHopsGatewayLegSets goes to its other leg, as the fix says, and is lost by nobody who does as it says.
func TestWhatAHopsGatewayLegSets(t *testing.T) {
	t.Parallel()
	view := cluster()
	view.Bindings = []*egress.Binding{binding(t, "out", "{selector: {istio: egressgateway}}")}
	const hops = `{hosts: [api.example.com], gateways: [mesh, out], http: [` +
		`{match: [{gateways: [mesh], port: 80}], %s route: [{destination: {host: ` + egresstest.GatewayService + `, port: {number: 80}}%s}]}, ` +
		`{match: [{gateways: [out], port: 80}], %s route: [{destination: {host: %s, port: {number: 80}}%s}]}]}`
	found := func(of ...any) hop.Refusals {
		return hop.CheckRoutes(egress.Resolve(route(t, fmt.Sprintf(hops, of...)), mesh(), view))
	}
	for name, tc := range map[string]struct{ sets, beside, want string }{
		"headers":            {sets: "headers: {request: {add: {x-a: b}}},", want: "put headers into the route for mesh"},
		"time and retries":   {sets: "timeout: 3s, retries: {attempts: 3},", want: "put retries and timeout into the route for mesh"},
		"a path":             {sets: "rewrite: {uri: /x},", want: "put rewrite into the route for mesh"},
		"by its destination": {beside: ", headers: {request: {add: {x-a: b}}}", want: "put the headers of its destination into the route for mesh"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused := found("", "", tc.sets, "api.example.com", tc.beside)
			require.Len(t, refused, 1)
			assert.Equal(t, "gateway-route spec.http[1]", refused[0].Code+" "+refused[0].Field)
			assert.Contains(t, refused[0].Fix, tc.want)
			assert.Empty(t, found(tc.sets, tc.beside, "", "api.example.com", ""))
		})
	}
	for name, refused := range map[string]hop.Refusals{
		"another host is asked for": found("", "", "rewrite: {authority: two.example.com},", "api.example.com", ""),
		"it leads to another host":  found("", "", "timeout: 3s,", "local", ""),
	} {
		require.NotEmpty(t, refused, name)
		for _, refusal := range refused {
			assert.NotContains(t, refusal.Fix, "route for mesh", name)
		}
	}
}

// TestRoutesOnGateways: on the egress gateway's own pods only the hop of the guides stays, which leads a host to itself;
// beside it, where exits are seen, nothing leads to a host outside.
func TestRoutesOnGateways(t *testing.T) {
	t.Parallel()
	view := cluster()
	view.InGatewayNamespaces = []map[string]string{{"istio": "egressgateway"}, {"istio": "ingressgateway"}}
	view.Bindings = []*egress.Binding{
		binding(t, "out", "{selector: {istio: egressgateway}}"), binding(t, "in", "{selector: {istio: ingressgateway}}"),
		binding(t, "elsewhere", "{selector: {istio: other}}"), binding(t, "on-nodes", "{selector: {istio: ingressgateway, kubernetes.io/hostname: a}}"),
	}
	const api = "destination: {host: api.example.com, port: {number: 80}}"
	for spec, want := range map[string]string{
		`{hosts: [api.example.com], gateways: [out], http: [{match: [{gateways: [out], port: 80}], route: [{` + api + `, weight: 100}]}]}`:                                   "",
		`{hosts: [api.example.com], gateways: [out], tls: [{match: [{sniHosts: [api.example.com]}], route: [{destination: {host: api.example.com, port: {number: 443}}}]}]}`: "",
		`{hosts: [api.example.com], gateways: [out], http: [{route: [{destination: {host: local}}]}]}`:                                                                       "gateway-route spec.http[0]",
		`{hosts: ["*.example.com"], gateways: [payments/out], http: [{route: [{` + api + `}]}]}`:                                                                             "gateway-route spec.http[0]",
		`{hosts: [api.example.com], gateways: [out], http: [{redirect: {authority: evil.test}}]}`:                                                                            "gateway-route spec.http[0]",
		`{hosts: [api.example.com], gateways: [out], http: [{fault: {abort: {httpStatus: 500}}, route: [{` + api + `}]}]}`:                                                   "gateway-route spec.http[0]",
		`{hosts: [api.example.com], gateways: [out], http: [{route: [{destination: {host: api.example.com, port: {number: 443}}}]}]}`:                                        "gateway-route spec.http[0]",
		`{hosts: [api.example.com], gateways: [out], tcp: [{route: [{destination: {host: api.example.com, port: {number: 443}}}]}]}`:                                         "gateway-route spec.tcp[0]",
		`{hosts: [api.example.com], gateways: [later], http: [{route: [{destination: {host: local}}]}]}`:                                                                     "gateway-route spec.http[0]",
		`{hosts: [future.test], gateways: [out], http: [{route: [{destination: {host: future.test}}]}]}`:                                                                     "gateway-route spec.http[0]",
		`{hosts: [app.corp], gateways: [later], http: [{route: [{destination: {host: local}}]}]}`:                                                                            "",
		`{hosts: [app.corp], gateways: [in], http: [{rewrite: {authority: api.example.com}, route: [{` + api + `}]}]}`:                                                       "beside-gateway spec.http[0].route[0].destination.host",
		`{hosts: [app.corp], gateways: [on-nodes], http: [{rewrite: {authority: api.example.com}, route: [{` + api + `}]}]}`:                                                 "beside-gateway spec.http[0].route[0].destination.host",
		`{hosts: [app.corp], gateways: [elsewhere], http: [{rewrite: {authority: api.example.com}, route: [{` + api + `}]}]}`:                                                "",
		`{hosts: [app.corp], gateways: [elsewhere], http: [{route: [{` + api + `}]}]}`:                                                                                       "other-host spec.http[0].route[0].destination.host",
		`{hosts: [app.corp], gateways: [in], http: [{route: [{destination: {host: local}}]}]}`:                                                                               "",
	} {
		var got []string
		for _, refusal := range hop.CheckRoutes(egress.Resolve(route(t, spec), mesh(), view)) {
			got = append(got, refusal.Code+" "+refusal.Field)
			assert.NotEmpty(t, refusal.Fix)
		}
		assert.Equal(t, want, strings.Join(got, ", "), spec)
	}
}

// TestWhoDecidesOnAGateway: the Gateway object may come to the egress gateway's pods later than the routes that bind to it.
func TestWhoDecidesOnAGateway(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string][]string{
		`{hosts: [a.test], http: [{route: [{destination: {host: b.test}}]}]}`:                                                     nil,
		`{hosts: [a.test], gateways: [out], http: [{route: [{destination: {host: A.test.}}]}]}`:                                   nil,
		`{hosts: [a.test], gateways: [out, other/in, mesh], http: [{route: [{destination: {host: b.test}}]}]}`:                    {"other/in", "payments/out"},
		`{hosts: [a.test, b.test], gateways: [out], http: [{route: [{destination: {host: b.test}}]}]}`:                            {"payments/out"},
		`{hosts: [a.test], gateways: [out], http: [{redirect: {uri: /}}]}`:                                                        {"payments/out"},
		`{hosts: [a.test], gateways: [out, mesh], http: [{match: [{gateways: [mesh]}], route: [{destination: {host: b.test}}]}]}`: nil,
		`{hosts: [a.test], gateways: [out], tcp: [{route: [{destination: {host: a.test}}]}]}`:                                     {"payments/out"},
	} {
		assert.Equal(t, want, hop.Deciding(route(t, spec)), spec)
	}
}

//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// entry is a manifest of a ServiceEntry.
func entry(name, host, spec string) string {
	return fmt.Sprintf("---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: %s}\nspec: {hosts: ['%s'], %s}\n", name, host, spec)
}

func rule(name, spec string) string {
	return fmt.Sprintf("---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: %s}\nspec: %s\n", name, spec)
}

// simple encrypts; the servers' certificates are not what is tested.
const simple = `{tls: {mode: SIMPLE, insecureSkipVerify: true}}`

// inNamespace is a manifest in another namespace than the others.
func inNamespace(namespace, manifest string) string {
	return strings.Replace(manifest, "metadata: {", "metadata: {namespace: "+namespace+", ", 1)
}

func virtualService(name, spec string) string {
	return fmt.Sprintf("---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: %s}\nspec: %s\n", name, spec)
}

const (
	webPorts = `resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]`
	api      = "api.partner.test"
)

func web(host string) order  { return order{Protocol: "http", Host: host, Port: 80} }
func webs(host string) order { return order{Protocol: "tls", Host: host, Port: 443} }

// TestDetector: an entry that nobody governed is seen to go straight out. Without that the other tests say nothing.
func TestDetector(t *testing.T) {
	shared.applied(t, exempt, entry("direct", "direct.test", webPorts))
	for _, o := range []order{web("direct.test"), webs("direct.test")} {
		var got answer
		require.Eventually(t, func() bool {
			var err error
			got, err = shared.call(t.Context(), exempt, o)
			return err == nil && got.Error == ""
		}, startWithin, poll)
		gateways, err := shared.gateways(t.Context())
		require.NoError(t, err)
		assert.NotContains(t, gateways, got.Caller)
	}
}

// arrival is a call and the port it must arrive at.
type arrival struct {
	from string
	order
	port int
	// sni is the name in TLS that the app did not speak itself, empty for none.
	sni string
}

// encrypted is a call in clear that arrives by TLS.
func encrypted(from string, o order) arrival { return arrival{from, o, 443, o.Host} }

// TestShapes calls every shape of the main job: each call arrives from the gateway at the right port.
func TestShapes(t *testing.T) {
	ports := func(list string) string { return "resolution: DNS, ports: [" + list + "]" }
	rejected, err := shared.rejects(t.Context())
	require.NoError(t, err)
	both := []arrival{{appA, web(api), 80, ""}, {appA, webs(api), 443, ""}}
	for name, shape := range map[string]struct {
		manifests string
		arrivals  []arrival
	}{
		"http and tls, two namespaces": {entry("api", api, webPorts), append([]arrival{{appB, web(api), 80, ""}, {appB, webs(api), 443, ""}}, both...)},
		"two http ports": {
			entry("api", api, ports(`{number: 80, name: http, protocol: HTTP}, {number: 8080, name: alt, protocol: HTTP}`)),
			[]arrival{
				{appA, web(api), 80, ""}, {appA, order{Protocol: "http", Host: api, Port: 8080}, 8080, ""},
				{appA, order{Protocol: "http", Host: api, Port: 80, Headers: map[string]string{"Host": api + ":80"}}, 80, ""},
			},
		},
		"several hosts": {entry("several", api+"', 'two.partner.test", webPorts), append([]arrival{{appA, web("two.partner.test"), 80, ""}, {appA, webs("two.partner.test"), 443, ""}}, both...)},
		"http2 and grpc": {
			entry("h2", "h2.partner.test", ports("{number: 8081, name: h2, protocol: HTTP2}")) + entry("grpc", "grpc.partner.test", ports("{number: 50051, name: grpc, protocol: GRPC}")),
			[]arrival{{appA, order{Protocol: "h2c", Host: "h2.partner.test", Port: 8081}, 8081, ""}, {appA, order{Protocol: "grpc", Host: "grpc.partner.test", Port: 50051}, 50051, ""}},
		},
		"https": {entry("api", api, ports("{number: 443, name: https, protocol: HTTPS}")), both[1:]},
		"static": {
			entry("static", "static.partner.test", `resolution: STATIC, endpoints: [{address: OUTSIDE}], ports: [{number: 80, name: http, protocol: HTTP},
				{number: 443, name: tls, protocol: TLS}]`),
			[]arrival{{appA, web("static.partner.test"), 80, ""}, {appA, webs("static.partner.test"), 443, ""}},
		},
		"none":        {entry("none", "none.partner.test", "resolution: NONE, ports: [{number: 80, name: http, protocol: HTTP}]"), []arrival{{appA, web("none.partner.test"), 80, ""}}},
		"round robin": {entry("robin", "robin.partner.test", "resolution: DNS_ROUND_ROBIN, ports: [{number: 443, name: tls, protocol: TLS}]"), []arrival{{appA, webs("robin.partner.test"), 443, ""}}},
		"target port": {entry("api", api, `resolution: DNS, ports: [{number: 80, targetPort: 8080, name: http, protocol: HTTP}]`), []arrival{{appA, web(api), 8080, ""}}},
		"wildcard": {
			entry("wiki", "*.wiki.test", `resolution: DNS, endpoints: [{address: www.wiki.test}], ports: [{number: 80, name: http, protocol: HTTP},
				{number: 443, name: tls, protocol: TLS}]`),
			[]arrival{{appA, web("de.wiki.test"), 80, ""}, {appA, webs("de.wiki.test"), 443, ""}},
		},
		"weights": {
			entry("api", api, webPorts) + entry("canary", "canary.partner.test", webPorts) +
				virtualService("api", `{hosts: [api.partner.test],
					http: [{route: [{destination: {host: api.partner.test, port: {number: 80}}, weight: 50},
							{destination: {host: canary.partner.test, port: {number: 80}}, weight: 50,
								headers: {request: {set: {host: canary.partner.test}}}}]}]}`),
			append([]arrival{{appA, web(api), 80, ""}, {appA, web(api), 80, ""}, {appA, web(api), 80, ""}, {appA, web(api), 80, ""}}, both...),
		},
		"mirror": {
			entry("api", api, webPorts) +
				virtualService("api", `{hosts: [api.partner.test],
					http: [{route: [{destination: {host: api.partner.test, port: {number: 80}}}],
						mirrors: [{destination: {host: api.partner.test, port: {number: 80}},
							percentage: {value: 100}}]}]}`),
			both,
		},
		"header match": {
			entry("api", api, webPorts) + entry("canary", "canary.partner.test", webPorts) +
				virtualService("api", `{hosts: [api.partner.test],
					http: [{match: [{headers: {x-canary: {exact: 'yes'}}}],
						rewrite: {authority: canary.partner.test},
						route: [{destination: {host: canary.partner.test, port: {number: 80}}}]},
						{route: [{destination: {host: api.partner.test, port: {number: 80}}}]}]}`),
			append([]arrival{{appA, order{Protocol: "http", Host: api, Port: 80, Headers: map[string]string{"x-canary": "yes"}}, 80, ""}}, both...),
		},
		"another spelling": {entry("api", "API.Partner.test.", webPorts), both},
		"private":          {entry("api", api+"'], exportTo: ['.", webPorts), both},
		"route before entry": {
			virtualService("api", `{hosts: [api.partner.test],
				http: [{route: [{destination: {host: api.partner.test}}]}]}`) + entry("api", api, webPorts),
			both,
		},
		"tcp route": {
			entry("api", api, webPorts) + virtualService("api", `{hosts: [api.partner.test],
				tcp: [{match: [{port: 443}],
					route: [{destination: {host: api.partner.test, port: {number: 443}}}]}]}`),
			both,
		},
		"grpc route": {
			entry("grpc", "grpc.partner.test", ports("{number: 50051, name: grpc, protocol: GRPC}")) +
				virtualService("grpc", `{hosts: [grpc.partner.test],
					http: [{route: [{destination: {host: grpc.partner.test, port: {number: 50051}}}]}]}`),
			[]arrival{{appA, order{Protocol: "grpc", Host: "grpc.partner.test", Port: 50051}, 50051, ""}},
		},
		"sni": {
			entry("api", api, webPorts) + virtualService("api", `{hosts: [api.partner.test],
				tls: [{match: [{sniHosts: [api.partner.test], port: 443}],
					route: [{destination: {host: api.partner.test, port: {number: 443}}}]}]}`),
			both,
		},
		"union in two namespaces": {
			entry("api", api+"'], exportTo: ['.", ports(`{number: 443, name: https, protocol: HTTPS}, {number: 8080, name: alt, protocol: HTTP}`)) +
				inNamespace(appB, entry("api", api, webPorts)),
			[]arrival{both[1], {appA, order{Protocol: "http", Host: api, Port: 8080}, 8080, ""}, {appB, web(api), 80, ""}, {appB, webs(api), 443, ""}},
		},
		"union in one namespace": {
			entry("orders", api, ports(`{number: 443, name: tls, protocol: TLS}`)) + entry("billing", api, webPorts) +
				entry("admin", api, ports(`{number: 8080, name: alt, protocol: HTTP}`)),
			append([]arrival{{appA, order{Protocol: "http", Host: api, Port: 8080}, 8080, ""}}, both...),
		},
		"encrypted by target port": {
			entry("api", api, ports(`{number: 80, targetPort: 443, name: http, protocol: HTTP}`)) + rule("api", `{host: api.partner.test, trafficPolicy: `+simple+`}`),
			[]arrival{encrypted(appA, web(api)), encrypted(appB, web(api))},
		},
		"encrypted on 443, the rule first": {
			rule("api", `{host: api.partner.test, trafficPolicy: `+simple+`}`) + entry("api", api, ports(`{number: 443, name: http, protocol: HTTP}`)),
			[]arrival{encrypted(appA, order{Protocol: "http", Host: api, Port: 443})},
		},
		"encrypted by a route, beside an app that speaks TLS": {
			entry("api", api, webPorts) + inNamespace(appB, entry("api", api, webPorts)) +
				virtualService("api", `{hosts: [api.partner.test], exportTo: ['.'],
					http: [{match: [{port: 80}], route: [{destination: {host: api.partner.test, port: {number: 443}}}]}]}`) +
				rule("api", `{host: api.partner.test, trafficPolicy: {portLevelSettings: [{port: {number: 443}, tls: {mode: SIMPLE, insecureSkipVerify: true}}]}}`),
			[]arrival{encrypted(appA, web(api)), both[1], {appB, web(api), 80, ""}, {appB, webs(api), 443, ""}},
		},
		"exported to the gateway": {entry("api", api+"'], exportTo: ['.', 'istio-system", webPorts), both},
		"the guide's hop on top": {entry("guide", "guide.partner.test", webPorts) + guide, []arrival{
			{appA, web("guide.partner.test"), 80, ""}, {appA, webs("guide.partner.test"), 443, ""}, {appB, web("guide.partner.test"), 80, ""}, {appB, webs("guide.partner.test"), 443, ""},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(func() {
				for _, a := range shape.arrivals {
					shared.fails(t, a.from, a.order)
				}
			})
			shared.applied(t, appA, shape.manifests)
			for _, a := range shape.arrivals {
				as := ""
				if a.Headers["x-canary"] != "" {
					as = "canary.partner.test"
				}
				got := shared.arrives(t, a.from, a.order, a.port, as)
				if a.Protocol != "tls" {
					require.Equal(t, a.sni, got.SNI, a.order)
				}
			}
			direct, _, err := shared.direct(t.Context())
			require.NoError(t, err)
			require.Empty(t, direct)
			now, err := shared.rejects(t.Context())
			require.NoError(t, err)
			require.Equal(t, rejected, now, "a proxy rejected its configuration")
		})
	}
}

// guide is the hand-written hop of Istio's documentation, for port 80 alone, exported to everybody as it is there.
const guide = `---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: guide}
spec: {selector: {istio: egressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [guide.partner.test]}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: guide}
spec: {host: istio-egressgateway.istio-system.svc.cluster.local, subsets: [{name: guide}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: guide}
spec:
  hosts: [guide.partner.test]
  gateways: [guide, mesh]
  http:
  - match: [{gateways: [mesh], port: 80}]
    route: [{destination: {host: istio-egressgateway.istio-system.svc.cluster.local, subset: guide, port: {number: 80}}}]
  - match: [{gateways: [guide], port: 80}]
    route: [{destination: {host: guide.partner.test, port: {number: 80}}}]
`

// TestUnreachable: what was refused was never reachable, what was deleted is so no more.
func TestUnreachable(t *testing.T) {
	shared.applied(t, appA, "---\napiVersion: egress-governor.io/v1alpha1\nkind: EgressPolicy\nmetadata: {name: e2e-hosts}\n"+
		"spec: {match: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: app-a}}}, policy: allowed-hosts, parameters: {hosts: ['*.partner.test']}}\n")
	var denial error
	require.Eventually(t, func() bool {
		denial = shared.apply(t.Context(), shared.decoded(t, appA, entry("evil", "evil.test", webPorts))[0])
		return denial != nil
	}, startWithin, poll, "the policy is in force a moment after it is stored")
	require.ErrorContains(t, denial, `e2e-hosts: spec.hosts[0]: host "evil.test" is not allowed`)
	shared.deleted(t, shared.decoded(t, appA, entry("evil", "evil.test", webPorts))...)
	shared.fails(t, appA, web("evil.test"))
	shared.fails(t, appA, webs("evil.test"))
	// Raw TCP names no host that a gateway could go by.
	err := shared.apply(t.Context(), shared.decoded(t, appA, entry("db", "two.partner.test", "resolution: DNS, ports: [{number: 5432, name: db, protocol: TCP}]"))[0])
	require.ErrorContains(t, err, "spec.ports[0].protocol")
	shared.fails(t, appA, order{Protocol: "tcp", Host: "two.partner.test", Port: 5432})
	// The mere word takes no host past the gateway, and no host leads to what is the gateway's alone.
	for name, spec := range map[string]string{
		"internal": "location: MESH_INTERNAL, " + webPorts,
		"admin":    "resolution: STATIC, endpoints: [{address: 127.0.0.1, ports: {http: 15000}}], ports: [{number: 80, name: http, protocol: HTTP}]",
		"metadata": "resolution: STATIC, endpoints: [{address: '::ffff:169.254.169.254'}], ports: [{number: 80, name: http, protocol: HTTP}]",
	} {
		require.Error(t, shared.apply(t.Context(), shared.decoded(t, appB, entry(name, "two.partner.test", spec))[0]), name)
		shared.fails(t, appB, web("two.partner.test"))
	}
	gone := entry("gone", "gone.partner.test", webPorts)
	shared.applied(t, appA, gone)
	for _, o := range []order{web("gone.partner.test"), webs("gone.partner.test")} {
		shared.arrives(t, appA, o, o.Port, "")
	}
	shared.deleted(t, shared.decoded(t, appA, gone)...)
	for _, o := range []order{web("gone.partner.test"), webs("gone.partner.test")} {
		shared.fails(t, appA, o)
	}
}

// TestNothingIsRetriedAtTheGateway: what an author wrote for the client is all there is. A call that must not be made
// twice is made once.
func TestNothingIsRetriedAtTheGateway(t *testing.T) {
	shared.applied(t, appA, entry("api", api, webPorts)+virtualService("api", `{hosts: [api.partner.test],
		http: [{retries: {attempts: 0}, route: [{destination: {host: api.partner.test, port: {number: 80}}}]}]}`))
	shared.arrives(t, appA, web(api), 80, "")
	once := web(api)
	once.Headers = map[string]string{"x-id": "once", "x-fail": "yes"}
	got, err := shared.call(t.Context(), appA, once)
	require.NoError(t, err)
	require.Equal(t, 503, got.Status)
	delete(once.Headers, "x-fail")
	require.Equal(t, 2, shared.arrives(t, appA, once, 80, "").Count, "the call that failed, and this one")
}

// TestAGatewayOfATenantStopsNoExit: what would make the gateway reject its TLS port is refused, and exits that come
// later work.
func TestAGatewayOfATenantStopsNoExit(t *testing.T) {
	shared.applied(t, appA, entry("api", api, webPorts))
	taker := shared.decoded(t, appA, "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: taker}\n"+
		"spec: {selector: {istio: egressgateway}, servers: [{port: {number: 443, name: tls, protocol: TLS}, hosts: [api.partner.test], tls: {mode: ISTIO_MUTUAL}}]}\n")[0]
	require.ErrorContains(t, shared.apply(t.Context(), taker), "spec.servers[0].port")
	shared.applied(t, appB, entry("two", "two.partner.test", webPorts))
	shared.arrives(t, appB, webs("two.partner.test"), 443, "")
}

// TestNothingIsSentInClear that a route leads to a TLS port, while no rule encrypts it.
func TestNothingIsSentInClear(t *testing.T) {
	shared.applied(t, appA, entry("api", api, webPorts)+virtualService("api", `{hosts: [api.partner.test],
		http: [{match: [{port: 80}], route: [{destination: {host: api.partner.test, port: {number: 443}}}]}]}`))
	shared.arrives(t, appA, webs(api), 443, "")
	require.Eventually(t, func() bool {
		got, err := shared.call(t.Context(), appA, web(api))
		return err == nil && got.Status == 503 && strings.Contains(got.Error, "no DestinationRule sets tls")
	}, startWithin, poll)
}

// TestAPairEndsWhereItsRouteLeads: calls that are led to another host arrive there, under the name they were made by.
func TestAPairEndsWhereItsRouteLeads(t *testing.T) {
	shared.applied(t, appA, entry("both", api+"', 'canary.partner.test", webPorts)+virtualService("api", `{hosts: [api.partner.test],
		http: [{match: [{headers: {x-canary: {exact: 'yes'}}}], route: [{destination: {host: canary.partner.test, port: {number: 80}}}]},
			{route: [{destination: {host: api.partner.test, port: {number: 80}}}]}]}`))
	shared.arrives(t, appA, web(api), 80, "")
	canary := web(api)
	canary.Headers = map[string]string{"x-canary": "yes"}
	var got answer
	require.Eventually(t, func() bool {
		var err error
		got, err = shared.call(t.Context(), appA, canary)
		return err == nil && got.Error == ""
	}, startWithin, poll, "%+v", got)
	gateways, err := shared.gateways(t.Context())
	require.NoError(t, err)
	require.Contains(t, gateways, got.Caller)
	require.Equal(t, "elsewhere "+api, got.Server+" "+got.Host)
}

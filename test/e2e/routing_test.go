//go:build e2e

package e2e

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// entry is a manifest of a ServiceEntry.
func entry(name, host, spec string) string {
	return fmt.Sprintf("---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: %s}\nspec: {hosts: ['%s'], %s}\n", name, host, spec)
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
}

// TestShapes calls every shape of the main job: each call arrives from the gateway at the right port.
func TestShapes(t *testing.T) {
	ports := func(list string) string { return "resolution: DNS, ports: [" + list + "]" }
	both := []arrival{{appA, web(api), 80}, {appA, webs(api), 443}}
	for name, shape := range map[string]struct {
		manifests string
		arrivals  []arrival
	}{
		"http and tls, two namespaces": {entry("api", api, webPorts), append([]arrival{{appB, web(api), 80}, {appB, webs(api), 443}}, both...)},
		"two http ports": {
			entry("api", api, ports(`{number: 80, name: http, protocol: HTTP}, {number: 8080, name: alt, protocol: HTTP}`)),
			[]arrival{{appA, web(api), 80}, {appA, order{Protocol: "http", Host: api, Port: 8080}, 8080}},
		},
		"several hosts": {entry("several", api+"', 'two.partner.test", webPorts), append([]arrival{{appA, web("two.partner.test"), 80}, {appA, webs("two.partner.test"), 443}}, both...)},
		"http2 and grpc": {
			entry("h2", "h2.partner.test", ports("{number: 8081, name: h2, protocol: HTTP2}")) + entry("grpc", "grpc.partner.test", ports("{number: 50051, name: grpc, protocol: GRPC}")),
			[]arrival{{appA, order{Protocol: "h2c", Host: "h2.partner.test", Port: 8081}, 8081}, {appA, order{Protocol: "grpc", Host: "grpc.partner.test", Port: 50051}, 50051}},
		},
		"https": {entry("api", api, ports("{number: 443, name: https, protocol: HTTPS}")), both[1:]},
		"static": {
			entry("static", "static.partner.test", `resolution: STATIC, endpoints: [{address: OUTSIDE}], ports: [{number: 80, name: http, protocol: HTTP},
				{number: 443, name: tls, protocol: TLS}]`),
			[]arrival{{appA, web("static.partner.test"), 80}, {appA, webs("static.partner.test"), 443}},
		},
		"none":        {entry("none", "none.partner.test", "resolution: NONE, ports: [{number: 80, name: http, protocol: HTTP}]"), []arrival{{appA, web("none.partner.test"), 80}}},
		"round robin": {entry("robin", "robin.partner.test", "resolution: DNS_ROUND_ROBIN, ports: [{number: 443, name: tls, protocol: TLS}]"), []arrival{{appA, webs("robin.partner.test"), 443}}},
		"target port": {entry("api", api, `resolution: DNS, ports: [{number: 80, targetPort: 8080, name: http, protocol: HTTP}]`), []arrival{{appA, web(api), 8080}}},
		"wildcard": {
			entry("wiki", "*.wiki.test", `resolution: DNS, endpoints: [{address: www.wiki.test}], ports: [{number: 80, name: http, protocol: HTTP},
				{number: 443, name: tls, protocol: TLS}]`),
			[]arrival{{appA, web("de.wiki.test"), 80}, {appA, webs("de.wiki.test"), 443}},
		},
		"weights": {
			entry("api", api, webPorts) + entry("canary", "canary.partner.test", webPorts) +
				virtualService("api", `{hosts: [api.partner.test],
					http: [{route: [{destination: {host: api.partner.test, port: {number: 80}}, weight: 50},
							{destination: {host: canary.partner.test, port: {number: 80}}, weight: 50,
								headers: {request: {set: {host: canary.partner.test}}}}]}]}`),
			append([]arrival{{appA, web(api), 80}, {appA, web(api), 80}, {appA, web(api), 80}, {appA, web(api), 80}}, both...),
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
			append([]arrival{{appA, order{Protocol: "http", Host: api, Port: 80, Headers: map[string]string{"x-canary": "yes"}}, 80}}, both...),
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
			[]arrival{{appA, order{Protocol: "grpc", Host: "grpc.partner.test", Port: 50051}, 50051}},
		},
		"sni": {
			entry("api", api, webPorts) + virtualService("api", `{hosts: [api.partner.test],
				tls: [{match: [{sniHosts: [api.partner.test], port: 443}],
					route: [{destination: {host: api.partner.test, port: {number: 443}}}]}]}`),
			both,
		},
		"the guide's hop on top": {entry("guide", "guide.partner.test", webPorts) + guide, []arrival{
			{appA, web("guide.partner.test"), 80}, {appA, webs("guide.partner.test"), 443}, {appB, web("guide.partner.test"), 80}, {appB, webs("guide.partner.test"), 443},
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
				if a.Headers != nil {
					as = "canary.partner.test"
				}
				shared.arrives(t, a.from, a.order, a.port, as)
			}
			direct, _, err := shared.direct(t.Context())
			require.NoError(t, err)
			require.Empty(t, direct)
		})
	}
}

// guide is the hand-written hop of Istio's documentation, for port 80 alone, visible to its own namespace.
const guide = `---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: guide}
spec: {selector: {istio: egressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [guide.partner.test]}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: guide}
spec: {host: istio-egressgateway.istio-system.svc.cluster.local, exportTo: ['.'], subsets: [{name: guide}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: guide}
spec:
  hosts: [guide.partner.test]
  exportTo: ['.', istio-system]
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

//go:build e2e

package e2e

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

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

// shape is what authors write, and the calls that arrive then.
type shape struct {
	manifests string
	arrivals  []arrival
}

// refusedByMutualTLS are shapes that a gateway by MutualTLS does not take, with what is said.
var refusedByMutualTLS = map[string]string{
	"the guide's hop on top": `egress gateway "own" lets callers in by their identity, and a server of another's on its pods would let in everybody, or take port 80 from it`,
}

// onVault moves a shape to clients of the gateway by MutualTLS.
var onVault = strings.NewReplacer(appA, vaultA, appB, vaultB, plain.service(), own.service(), plain.namespace, own.namespace, "istio: egressgateway", "istio: "+own.name)

// TestShapes calls every shape of the main job: each call arrives from the gateway at the right port.
func TestShapes(t *testing.T) {
	for name, shape := range shapes() {
		t.Run("Plain/"+name, func(t *testing.T) { shared.shown(t, appA, shape) })
		t.Run("MutualTLS/"+name, func(t *testing.T) {
			shape.manifests = onVault.Replace(shape.manifests)
			if says := refusedByMutualTLS[name]; says != "" {
				shared.refuses(t, vaultA, shape, says)
				return
			}
			moved := slices.Clone(shape.arrivals)
			for i := range moved {
				moved[i].from = onVault.Replace(moved[i].from)
			}
			shape.arrivals = moved
			shared.shown(t, vaultA, shape)
		})
	}
}

// shown applies a shape and makes its calls.
func (c *cluster) shown(t *testing.T, namespace string, shape shape) {
	t.Helper()
	rejected, err := c.rejects(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() {
		for _, a := range shape.arrivals {
			c.fails(t, a.from, a.order)
		}
	})
	c.applied(t, namespace, shape.manifests)
	for _, a := range shape.arrivals {
		if strings.Count(shape.manifests, "kind: ") > 1 {
			// Several objects reach the proxies one after another, and what came first answers until then.
			require.NoError(t, until(t.Context(), time.Minute, func(ctx context.Context) (bool, error) {
				got, err := c.call(ctx, a.from, a.order)
				return err == nil && got.Port == a.port && got.Server == serverCalled(got, a.order), nil
			}), a.order)
		}
		as := ""
		if a.Headers["x-canary"] != "" {
			as = "canary.partner.test"
		}
		got := c.arrives(t, a.from, a.order, a.port, as)
		if a.Protocol != "tls" {
			require.Equal(t, a.sni, got.SNI, a.order)
		}
		require.Empty(t, got.Identity, "the host is not told who called within the mesh")
	}
	direct, _, err := c.direct(t.Context())
	require.NoError(t, err)
	require.Empty(t, direct)
	now, err := c.rejects(t.Context())
	require.NoError(t, err)
	require.Equal(t, rejected, now, "a proxy rejected its configuration")
}

// refuses requires that an object of the shape is refused, and what is said.
func (c *cluster) refuses(t *testing.T, namespace string, shape shape, says string) {
	t.Helper()
	var refusals error
	for _, object := range c.decoded(t, namespace, shape.manifests) {
		refusals = errors.Join(refusals, c.apply(t.Context(), object))
		t.Cleanup(func() { c.deleted(t, object) })
	}
	require.ErrorContains(t, refusals, says)
}

// toB has an entry's host seen by the other namespace too: with several egress gateways nobody else does.
func toB(host string) string { return host + "'], exportTo: ['.', '" + appB }

func shapes() map[string]shape {
	ports := func(list string) string { return "resolution: DNS, ports: [" + list + "]" }
	both := []arrival{{appA, web(api), 80, ""}, {appA, webs(api), 443, ""}}
	return map[string]shape{
		"http and tls, two namespaces": {entry("api", toB(api), webPorts), append([]arrival{{appB, web(api), 80, ""}, {appB, webs(api), 443, ""}}, both...)},
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
			entry("api", toB(api), ports(`{number: 80, targetPort: 443, name: http, protocol: HTTP}`)) + rule("api", `{host: api.partner.test, trafficPolicy: `+simple+`}`),
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
		"the guide's hop on top": {entry("guide", toB("guide.partner.test"), webPorts) + guide, []arrival{
			{appA, web("guide.partner.test"), 80, ""}, {appA, webs("guide.partner.test"), 443, ""}, {appB, web("guide.partner.test"), 80, ""}, {appB, webs("guide.partner.test"), 443, ""},
		}},
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

//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	wild      = "*.cloud.test"
	httpPorts = `{number: 8080, name: alt, protocol: HTTP}, {number: 50051, name: grpc, protocol: GRPC}, {number: 8081, name: h2, protocol: HTTP2}`
	// nameless is what the gateway answers to HTTP where DNS has no address that it may call.
	nameless = "503 Service Unavailable DNS resolution failure"
	// misnamed is what it answers to a name or port that the wildcard's entry does not have.
	misnamed = "404 Not Found|503 Service Unavailable egress-governor: port 443 of|" + nameless + "|" + closed
)

// everyPort calls a host on each port of the web, and those of httpPorts.
func everyPort(host string) []order {
	return []order{web(host), webs(host), {Protocol: "http", Host: host, Port: 8080}, {Protocol: "grpc", Host: host, Port: 50051}, {Protocol: "h2c", Host: host, Port: 8081}}
}

// past dials another address than the name's, as clients may: sidecars and gateways go by the name.
func (c *cluster) past(o order) order {
	o.Dial = net.JoinHostPort(c.outside, fmt.Sprint(o.Port))
	return o
}

func asArrivals(from string, orders ...order) (out []arrival) {
	for _, o := range orders {
		out = append(out, arrived(from, o))
	}
	return out
}

// TestWildcards: a wildcard that no endpoint serves leads each call to the very name that it is for, whatever its author says
// of the resolution, and never past an entry of that name.
func TestWildcards(t *testing.T) {
	for from, neighbour := range map[string]string{appA: appB, vaultA: vaultB} {
		shapes := map[string]shape{
			"every port": {entry("cloud", wild, withPorts(webOnly+", "+httpPorts)),
				asArrivals(from, append(append(everyPort("de.cloud.test"), everyPort("el.cloud.test")...), everyPort("deep.eu.cloud.test")...)...)},
			"beside names, of its own entry and of another": {
				entry("cloud", wild+"', 'api.partner.test", withPorts(webOnly)) + entry("special", special, "endpoints: [{address: two.partner.test}], "+withPorts(webOnly)),
				asArrivals(from, web(special), webs(special), web(api), webs(api), web("de.cloud.test"), webs("de.cloud.test")),
			},
			"in two namespaces": {
				entry("cloud", wild, withPorts(webOnly)) + inNamespace(neighbour, entry("cloud", wild, "ports: ["+webOnly+", "+httpPorts+"]")),
				append(asArrivals(from, web("de.cloud.test"), webs("de.cloud.test")), asArrivals(neighbour, everyPort("el.cloud.test")...)...),
			},
			"encrypted by the gateway": {
				entry("cloud", wild, withPorts(`{number: 8443, name: http, protocol: HTTP}`)) + rule("cloud", "{host: '"+wild+"', trafficPolicy: "+simple+"}"),
				[]arrival{{from, order{Protocol: "http", Host: "el.cloud.test", Port: 8443}, 8443, "el.cloud.test"}},
			},
			"one of two answers of DNS is none": {entry("cloud", wild, withPorts(webOnly)), asArrivals(from, web("both.cloud.test"), webs("both.cloud.test"))},
		}
		for name, resolution := range map[string]string{"left out": "", "NONE": "resolution: NONE, ", "DYNAMIC_DNS": "resolution: DYNAMIC_DNS, "} {
			shapes["resolution "+name] = shape{entry("cloud", wild, resolution+"ports: ["+webOnly+"]"),
				asArrivals(from, web("de.cloud.test"), webs("de.cloud.test"), web("el.cloud.test"), webs("el.cloud.test"))}
		}
		for name, shape := range shapes {
			t.Run(from+"/"+name, func(t *testing.T) { shared.shown(t, from, shape) })
		}
	}
}

// TestWildcardsLeadNowhereElse: not to addresses that are the gateway's alone or the cluster's, not to names and ports that
// the entry does not have, and not for others than its callers.
func TestWildcardsLeadNowhereElse(t *testing.T) {
	for from, caller := range map[string]string{appA: stranger, vaultA: thief} {
		t.Run(from, func(t *testing.T) {
			exportedTo := func(namespaces string) string {
				return entry("cloud", wild+"'], exportTo: ['"+namespaces, withPorts(webOnly))
			}
			shared.applied(t, from, exportedTo("."))
			for _, o := range []order{web("de.cloud.test"), webs("de.cloud.test")} {
				shared.arrives(t, from, shared.past(o), o.Port, "")
			}
			for _, host := range []string{"local.cloud.test", "metadata.cloud.test", "services.cloud.test", "nobody.cloud.test"} {
				shared.refusedSaying(t, from, shared.past(web(host)), nameless)
				shared.refusedSaying(t, from, shared.past(webs(host)), closed)
			}
			right, wrong := shared.byName(t, wayOf(from))
			if from == vaultA {
				for _, o := range append(right, wrong...) {
					shared.refusedSaying(t, caller, o, "403 Forbidden egress-governor|"+misnamed)
				}
				require.NoError(t, shared.apply(t.Context(), shared.decoded(t, from, exportedTo(".', 'vault-c"))[0]))
			}
			for _, o := range right {
				shared.arrives(t, caller, o, o.Port, "")
			}
			for _, o := range wrong {
				shared.refusedSaying(t, caller, o, misnamed)
			}
		})
	}
}

// byName returns calls straight to a gateway, round any sidecar, by names that the entry has, and by those that it has not.
func (c *cluster) byName(t *testing.T, gateway way) (right, wrong []order) {
	t.Helper()
	hops := map[int]string{}
	if gateway.name == own.name {
		hops = map[int]string{80: "outbound_.80_._.cloud.test", 443: "p443.cloud.test.wildcard-port.egress-governor.internal"}
	}
	called := func(o order) (out []order) {
		o.Host, o.Hop = "de.cloud.test", hops[o.Port]
		for _, o.Dial = range c.doorsOf(t, gateway, o.Port) {
			out = append(out, o)
		}
		return out
	}
	asking := func(name string) []order {
		return called(order{Protocol: "http", Port: 80, Headers: map[string]string{"Host": name}})
	}
	hello := func(name string) []order { return called(order{Protocol: "tls", Port: 443, SNI: name}) }
	for _, name := range []string{"de.cloud.test", "DE.Cloud.Test"} {
		right = append(append(right, asking(name)...), hello(name)...)
	}
	right = append(right, asking("de.cloud.test:80")...)
	for _, name := range []string{
		"evil.test", "de.cloud.test.evil.test", "cloud.test", ".cloud.test", "*.cloud.test", "127.0.0.1", c.outside, "evil.test/.cloud.test", "metadata.cloud.test",
	} {
		wrong = append(append(wrong, asking(name)...), hello(name)...)
	}
	for _, name := range []string{
		"de.cloud.test:8080", "de.cloud.test:443", "de.cloud.test:15000", "de.cloud.test:evil", "de.cloud.test:80:80", "de.cloud.test.", "127.0.0.1:15000", "[::1]:15000",
		"127.0.0.1:x.cloud.test:80", "evil.test:80.cloud.test", "evil.test@de.cloud.test:8080",
	} {
		wrong = append(wrong, asking(name)...)
	}
	return right, wrong
}

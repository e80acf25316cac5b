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
		gateways, err := shared.gateways(t.Context(), plain)
		require.NoError(t, err)
		assert.NotContains(t, gateways, got.Caller)
	}
}

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
	for _, namespace := range []string{appA, vaultA} {
		t.Run(namespace, func(t *testing.T) {
			shared.applied(t, namespace, entry("api", api, webPorts)+virtualService("api", `{hosts: [api.partner.test],
				http: [{retries: {attempts: 0}, route: [{destination: {host: api.partner.test, port: {number: 80}}}]}]}`))
			shared.arrives(t, namespace, web(api), 80, "")
			once := web(api)
			once.Headers = map[string]string{"x-id": "once from " + namespace, "x-fail": "yes"}
			got, err := shared.call(t.Context(), namespace, once)
			require.NoError(t, err)
			require.Equal(t, 503, got.Status)
			delete(once.Headers, "x-fail")
			require.Equal(t, 2, shared.arrives(t, namespace, once, 80, "").Count, "the call that failed, and this one")
		})
	}
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
	for _, namespace := range []string{appA, vaultA} {
		t.Run(namespace, func(t *testing.T) {
			shared.applied(t, namespace, entry("api", api, webPorts)+virtualService("api", `{hosts: [api.partner.test],
				http: [{match: [{port: 80}], route: [{destination: {host: api.partner.test, port: {number: 443}}}]}]}`))
			shared.arrives(t, namespace, webs(api), 443, "")
			require.Eventually(t, func() bool {
				got, err := shared.call(t.Context(), namespace, web(api))
				return err == nil && got.Status == 503 && strings.Contains(got.Error, "no DestinationRule sets tls")
			}, startWithin, poll)
		})
	}
}

// TestAPairEndsWhereItsRouteLeads: calls that are led to another host arrive there, under the name they were made by.
func TestAPairEndsWhereItsRouteLeads(t *testing.T) {
	for _, namespace := range []string{appA, vaultA} {
		t.Run(namespace, func(t *testing.T) {
			shared.applied(t, namespace, entry("both", api+"', 'canary.partner.test", webPorts)+virtualService("api", `{hosts: [api.partner.test],
				http: [{match: [{headers: {x-canary: {exact: 'yes'}}}], route: [{destination: {host: canary.partner.test, port: {number: 80}}}]},
					{route: [{destination: {host: api.partner.test, port: {number: 80}}}]}]}`))
			shared.arrives(t, namespace, web(api), 80, "")
			canary := web(api)
			canary.Headers = map[string]string{"x-canary": "yes"}
			var got answer
			require.Eventually(t, func() bool {
				var err error
				got, err = shared.call(t.Context(), namespace, canary)
				return err == nil && got.Server == "elsewhere"
			}, startWithin, poll, "the sidecar knows the route a moment after the entry")
			gateways, err := shared.gateways(t.Context(), wayOf(namespace))
			require.NoError(t, err)
			require.Contains(t, gateways, got.Caller)
			require.Equal(t, api, got.Host)
		})
	}
}

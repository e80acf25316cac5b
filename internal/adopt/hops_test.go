package adopt_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/adopt"
)

const gateway = "istio-egressgateway.istio-system.svc.cluster.local"

// hop is a hop of Istio's guides, with something more in its first route.
func hop(more string) []string {
	return []string{
		object("Gateway", "b", "hop", "{selector: {istio: egressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [api.example.com]}]}"),
		object("DestinationRule", "b", "hop", `{host: `+gateway+`, exportTo: ["."], subsets: [{name: hop}]}`),
		object("VirtualService", "b", "hop", `{hosts: [api.example.com], exportTo: ["."], gateways: [mesh, hop], http: [
  {match: [{gateways: [mesh], port: 80}], `+more+`route: [{destination: {host: `+gateway+`, subset: hop, port: {number: 80}}}]},
  {match: [{gateways: [hop], port: 80}], route: [{destination: {host: api.example.com, port: {number: 80}}}]}]}`),
	}
}

// TestHopsByHandAreKnown, and those are kept of which something would be lost.
func TestHopsByHandAreKnown(t *testing.T) {
	t.Parallel()
	api := entry("b", "api", "api.example.com", http)
	other := object("VirtualService", "b", "other", `{hosts: [other.example.com], exportTo: ["."], gateways: [hop], http: [{route: [{destination: {host: web.b.svc.cluster.local}}]}]}`)
	for name, each := range map[string]struct {
		stored []string
		want   []string
	}{
		"nothing but a hop": {append(hop(""), api), []string{"VirtualService b/hop[api.example.com]: ", "Gateway b/hop[]: ", "DestinationRule b/hop[]: "}},
		"a timeout": {append(hop("timeout: 3s, "), api), []string{
			"VirtualService b/hop[api.example.com]: spec.http[0] does more than lead to the gateway", "Gateway b/hop[]: VirtualService b/hop needs it", "DestinationRule b/hop[]: VirtualService b/hop needs it"}},
		"no entry": {hop(""), []string{
			"VirtualService b/hop[api.example.com]: no sealed entry has host api.example.com for namespace b", "Gateway b/hop[]: VirtualService b/hop needs it", "DestinationRule b/hop[]: VirtualService b/hop needs it"}},
		"a Gateway of others, too":   {append(hop(""), api, other), []string{"VirtualService b/hop[api.example.com]: ", "Gateway b/hop[]: VirtualService b/other needs it", "DestinationRule b/hop[]: "}},
		"routes that lead elsewhere": {[]string{api, object("VirtualService", "b", "api", `{hosts: [api.example.com], exportTo: ["."], http: [{route: [{destination: {host: api.example.com, port: {number: 80}}}]}]}`)}, nil},
	} {
		assert.Equal(t, each.want, hops(plan(t, objects(t, append([]string{governed}, each.stored...)...), "b")), name)
	}
}

// led are routes of a hop for hosts, of a namespace and its first field.
func led(namespace, name, hosts, exportTo, routes string) string {
	return object("VirtualService", namespace, name, fmt.Sprintf("{hosts: [%s], exportTo: [%q], gateways: [mesh, b/hop], http: [%s]}", hosts, exportTo, routes))
}

const (
	toGateway = "{match: [{gateways: [mesh], port: 80}], route: [{destination: {host: " + gateway + ", port: {number: 80}}}]}"
	onward    = "{match: [{gateways: [b/hop], port: 80}], route: [{destination: {host: api.example.com, port: {number: 80}}}]}"
)

// kept is why the hop of a name is kept; the test fails where there is none.
func kept(t *testing.T, of *adopt.Plan, name string) string {
	t.Helper()
	for _, each := range of.Hops {
		if each.GetKind() == "VirtualService" && each.GetNamespace()+"/"+each.GetName() == name {
			return each.Keep
		}
	}
	require.Fail(t, "no hop "+name)
	return ""
}

// TestWhatAHopDoesBesideIsNotLost with it: no entry says it.
func TestWhatAHopDoesBesideIsNotLost(t *testing.T) {
	t.Parallel()
	const more = "spec.http[0] does more than lead to the gateway"
	for name, each := range map[string]struct{ hosts, routes, want string }{
		"a hop":          {"api.example.com", toGateway + ", " + onward, ""},
		"a redirect":     {"api.example.com", "{match: [{gateways: [mesh], port: 80}], redirect: {authority: api.example.com}}, " + toGateway + ", " + onward, more},
		"an answer":      {"api.example.com", "{match: [{gateways: [mesh], uri: {prefix: /admin}}], directResponse: {status: 403}}, " + toGateway + ", " + onward, more},
		"a delegate":     {"api.example.com", "{match: [{gateways: [mesh], port: 80}], delegate: {name: more}}, " + toGateway + ", " + onward, more},
		"at the gateway": {"api.example.com", toGateway + ", {match: [{gateways: [b/hop], uri: {prefix: /admin}}], directResponse: {status: 403}}, " + onward, "spec.http[1] does more than lead to the gateway"},
		"another port":   {"api.example.com", toGateway + ", " + strings.ReplaceAll(onward, "number: 80", "number: 443"), "calls to port 80 of host api.example.com are led on to port 443"},
		"another host":   {"api.example.com, two.example.com", toGateway + ", " + onward, "spec.http[1] leads calls of other hosts to api.example.com"},
		"the way there":  {"api.example.com", toGateway, "nothing that is known leads calls of host api.example.com on from the gateway"},
	} {
		of := plan(t, objects(t, governed, hop("")[0], led("b", "hop", each.hosts, ".", each.routes),
			entry("b", "api", "api.example.com", "[{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]"), entry("b", "two", "two.example.com", http)), "b")
		assert.Equal(t, each.want, kept(t, of, "b/hop"), name)
	}
}

// TestAHopIsKeptForWhomNothingStandsIn: an entry that waits, or one of a namespace's own before that of everybody.
func TestAHopIsKeptForWhomNothingStandsIn(t *testing.T) {
	t.Parallel()
	public := object("ServiceEntry", "b", "api", "{hosts: [api.example.com], resolution: DNS, ports: "+http+"}")
	own := strings.ReplaceAll(observed, "name: a", "name: c")
	for name, each := range map[string]struct {
		stored []string
		want   string
	}{
		"everybody's":      {[]string{public, led("b", "hop", "api.example.com", "*", toGateway+", "+onward)}, ""},
		"everybody's else": {[]string{public, own, entry("c", "api", "api.example.com", http), led("b", "hop", "api.example.com", "*", toGateway+", "+onward)}, "ServiceEntry c/api, by which namespace c calls host api.example.com, is not sealed"},
		"one's own":        {[]string{entry("b", "api", "api.example.com", http), led("b", "hop", "api.example.com", "*", toGateway+", "+onward)}, "no sealed entry has host api.example.com for all who see it"},
		"who calls":        {[]string{public, own, led("c", "way", "api.example.com", ".", toGateway), led("b", "hop", "api.example.com", ".", onward)}, "VirtualService c/way needs it"},
	} {
		of := plan(t, objects(t, append([]string{governed, hop("")[0]}, each.stored...)...), "b")
		assert.Equal(t, each.want, kept(t, of, "b/hop"), name)
	}
}

// TestAHopIsKeptWhoseEntryWaits, for the hop itself or for something else, whatever entries others have of its host.
func TestAHopIsKeptWhoseEntryWaits(t *testing.T) {
	t.Parallel()
	both := "[{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]"
	stored := []string{observed, governed, raw, hop("")[0], entry("a", "api", "api.example.com", both), entry("b", "api", "api.example.com", http)}
	originates := led("a", "hop", "api.example.com", ".", toGateway+", "+strings.ReplaceAll(onward, "{number: 80}", "{number: 443}"))
	of := plan(t, objects(t, append(stored, originates)...), "a")
	assert.Equal(t, []string{"ServiceEntry a/api: waits", "VirtualService a/hop: stays"}, states(of))
	assert.Equal(t, "calls to port 80 of host api.example.com are led on to port 443", kept(t, of, "a/hop"))

	plain := led("b", "hop", "api.example.com", ".", toGateway+", "+onward)
	of = plan(t, objects(t, append(stored, plain, shares("way", "api.example.com", "raw.example.org"))...), "b")
	assert.Equal(t, []string{"ServiceEntry b/api: waits", "ServiceEntry b/raw: stays", "VirtualService b/way: stays", "VirtualService b/hop: stays"}, states(of))
	assert.Equal(t, "ServiceEntry b/api, by which namespace b calls host api.example.com, is not sealed", kept(t, of, "b/hop"))

	policy := "apiVersion: egress-governor.io/v1alpha1\nkind: EgressPolicy\nmetadata: {name: hosts}\nspec: {policy: allowed-hosts, parameters: {hosts: [other.example.com]}}"
	of = plan(t, objects(t, governed, policy, hop("")[0], ready("b", "True", "ExitConfigured"), plain), "b")
	assert.Equal(t, "it stays, and would be denied", kept(t, of, "b/hop"))
}

// TestWhatStandsInIsLookedAtAgain when hops are retired: whoever sees one goes by an entry that is sealed and ready.
func TestWhatStandsInIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	of := plan(t, objects(t, governed, hop("")[0], entry("b", "api", "api.example.com", http), led("b", "hop", "api.example.com", ".", toGateway+", "+onward)), "b")
	require.Empty(t, of.Hops[0].Keep)
	_, mesh := rehearsed(t)
	now := func(entries ...string) string {
		standing, err := adopt.NewStanding(mesh, objects(t, append([]string{governed, strings.ReplaceAll(governed, "name: b", "name: c")}, entries...)...))
		require.NoError(t, err)
		return standing.Lacks(of.Hops[0])
	}
	assert.Empty(t, now(ready("b", "True", "ExitConfigured")))
	assert.Equal(t, "ServiceEntry b/api, by which namespace b calls host api.example.com, is not ready", now(ready("b", "False", "Conflict")))
	before := strings.Replace(strings.Replace(ready("b", "True", "ExitConfigured"), "type: ExitReady", "type: ExitReady, observedGeneration: 1", 1), "name: api", "name: api, generation: 2", 1)
	assert.Equal(t, "ServiceEntry b/api, by which namespace b calls host api.example.com, is not ready", now(before), "of the generation before")
	assert.Equal(t, "ServiceEntry b/api, by which namespace b calls host api.example.com, is not sealed", now(entry("b", "api", "api.example.com", http), ready("c", "True", "ExitConfigured")))
	assert.Equal(t, "no sealed entry has port 80 of HTTP of host api.example.com for namespace b", now(strings.ReplaceAll(ready("b", "True", "ExitConfigured"), "number: 80", "number: 8080")))
	assert.Equal(t, "no sealed entry has host api.example.com for namespace b", now(ready("c", "True", "ExitConfigured")))
}

// ready is a sealed entry that says what of its exit is.
func ready(namespace, status, reason string) string {
	return object("ServiceEntry", namespace, "api", `{hosts: [api.example.com], exportTo: ["."], resolution: DNS, ports: `+http+`,
  endpoints: [{address: `+gateway+`, ports: {http: 80}}]}`,
		`egress-governor.io/intent: '[{"now":[{"address":"`+gateway+`","ports":{"http":80}}],"paths":["spec.endpoints"]}]'`) +
		fmt.Sprintf("\nstatus: {conditions: [{type: ExitReady, status: %q, reason: %s, message: no, lastTransitionTime: \"2026-01-01T00:00:00Z\"}]}", status, reason)
}

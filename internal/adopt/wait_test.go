package adopt_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/egress-governor/egress-governor/internal/adopt"
)

// TestAnEntryWaitsForWhatLeadsItsCalls: routes that cannot be stored with a sealed entry would come to mean something else.
func TestAnEntryWaitsForWhatLeadsItsCalls(t *testing.T) {
	t.Parallel()
	of := plan(t, objects(t, governed, entry("b", "one", "one.example.com", tls), entry("b", "two", "two.example.com", tls), entry("b", "three", "three.example.com", tls),
		object("VirtualService", "b", "split", `{hosts: [one.example.com], exportTo: ["."], tls: [{match: [{sniHosts: [one.example.com], port: 443}], route: [
  {destination: {host: one.example.com, port: {number: 443}}, weight: 50}, {destination: {host: two.example.com, port: {number: 443}}, weight: 50}]}]}`)), "b")
	assert.Equal(t, []string{"ServiceEntry b/one: waits", "ServiceEntry b/three: seal", "ServiceEntry b/two: waits", "VirtualService b/split: stays"}, states(of))
	assert.Equal(t, "VirtualService b/split leads its calls, and would be refused", of.Namespaces[0].Objects[0].For)
}

// split is an object that cannot be stored once its hosts have sealed entries.
func split(namespace, exportTo, host, other string) string {
	return object("VirtualService", namespace, "split", fmt.Sprintf(`{hosts: [%[2]s], exportTo: [%[1]q], tls: [{match: [{sniHosts: [%[2]s], port: 443}], route: [
  {destination: {host: %[2]s, port: {number: 443}}, weight: 50}, {destination: {host: %[3]s, port: {number: 443}}, weight: 50}]}]}`, exportTo, host, other))
}

// TestAnEntryWaitsForWhatOthersLead: routes of governed namespaces, named or not, where somebody goes by both.
func TestAnEntryWaitsForWhatOthersLead(t *testing.T) {
	t.Parallel()
	shared := func(name, host string) string {
		return object("ServiceEntry", "c", name, fmt.Sprintf(`{hosts: [%s], exportTo: [".", "b"], resolution: DNS, ports: %s}`, host, tls))
	}
	one, two := entry("b", "one", "one.example.com", tls), entry("b", "two", "two.example.com", tls)
	for name, each := range map[string]struct {
		names  string
		stored []string
		want   []string
	}{
		"who sees both": {"c", []string{shared("one", "one.example.com"), shared("two", "two.example.com"), split("b", ".", "one.example.com", "two.example.com")}, []string{"ServiceEntry c/one: waits", "ServiceEntry c/two: waits"}},
		"for everybody": {"b c", []string{entry("c", "one", "one.example.com", tls), one, two, split("b", "*", "one.example.com", "two.example.com")},
			[]string{"ServiceEntry b/one: waits", "ServiceEntry b/two: waits", "VirtualService b/split: stays", "ServiceEntry c/one: waits"}},
		"who sees neither": {"b c", []string{entry("c", "one", "one.example.com", tls), one, two, split("b", ".", "one.example.com", "two.example.com")},
			[]string{"ServiceEntry b/one: waits", "ServiceEntry b/two: waits", "VirtualService b/split: stays", "ServiceEntry c/one: seal"}},
		"what can be stored": {"c", []string{shared("one", "one.example.com"), object("VirtualService", "b", "one", `{hosts: [one.example.com], exportTo: ["."], tls: [{match: [{sniHosts: [one.example.com], port: 443}], route: [{destination: {host: one.example.com, port: {number: 443}}}]}]}`)},
			[]string{"ServiceEntry c/one: seal"}},
	} {
		of := plan(t, objects(t, append([]string{governed, strings.ReplaceAll(governed, "name: b", "name: c")}, each.stored...)...), strings.Fields(each.names)...)
		assert.Equal(t, each.want, states(of), name)
		for _, object := range of.Namespaces[len(of.Namespaces)-1].Objects {
			if object.State == adopt.Waits {
				assert.Equal(t, "VirtualService b/split leads its calls, and would be refused", object.For, name)
			}
		}
	}
}

// raw is an entry that cannot be sealed, so that nothing may lead to it beside sealed ones.
var raw = entry("b", "raw", "raw.example.org", "[{number: 5432, name: tcp, protocol: TCP}, {number: 80, name: http, protocol: HTTP}]")

// shares leads calls of a host to itself, and to another.
func shares(name, host, other string) string {
	return object("VirtualService", "b", name, fmt.Sprintf(`{hosts: [%[1]s], exportTo: ["."], http: [{route: [
  {destination: {host: %[1]s, port: {number: 80}}, weight: 50}, {destination: {host: %[2]s, port: {number: 80}}, weight: 50}]}]}`, host, other))
}

// TestASealedEntryIsSealedWhateverWouldBeSaidOfIt: a policy that came later denies its next write, and takes nothing back.
func TestASealedEntryIsSealedWhateverWouldBeSaidOfIt(t *testing.T) {
	t.Parallel()
	const denies = "apiVersion: egress-governor.io/v1alpha1\nkind: EgressPolicy\nmetadata: {name: none}\nspec: {policy: denied-hosts, parameters: {hosts: [one.example.com]}, enforcement: Deny}"
	sealed := object("ServiceEntry", "b", "one", `{hosts: [one.example.com], exportTo: ["."], resolution: DNS, ports: `+tls+`, endpoints: [{address: istio-egressgateway.istio-system.svc.cluster.local, ports: {tls: 443}}]}`)
	of := plan(t, objects(t, governed, denies, sealed))
	assert.Equal(t, []string{"ServiceEntry b/one: sealed"}, states(of))
	assert.Contains(t, of.Namespaces[0].Objects[0].Message, "host-denied")
	assert.False(t, of.Left())

	of = plan(t, objects(t, governed, denies, entry("b", "one", "one.example.com", tls)))
	assert.Equal(t, []string{"ServiceEntry b/one: stays"}, states(of))
	assert.True(t, of.Left())
}

// TestWhatWaitsBringsAnotherToWait: what can be stored beside two sealed entries may not be beside one.
func TestWhatWaitsBringsAnotherToWait(t *testing.T) {
	t.Parallel()
	stored := []string{governed, raw, entry("b", "one", "one.example.com", http), entry("b", "two", "two.example.com", http), shares("first", "one.example.com", "two.example.com")}
	assert.Equal(t, []string{"ServiceEntry b/one: seal", "ServiceEntry b/raw: stays", "ServiceEntry b/two: seal", "VirtualService b/first: rewrite"}, states(plan(t, objects(t, stored...), "b")))
	of := plan(t, objects(t, append(stored, shares("second", "two.example.com", "raw.example.org"))...), "b")
	assert.Equal(t, []string{"ServiceEntry b/one: waits", "ServiceEntry b/raw: stays", "ServiceEntry b/two: waits", "VirtualService b/first: stays", "VirtualService b/second: stays"}, states(of))
	assert.Equal(t, "VirtualService b/first leads its calls, and would be denied", of.Namespaces[0].Objects[0].For)
}

// TestWhatLeadsCallsOfAnEntry is whatever names one of its hosts: a host below a wildcard, or what Istio makes of a route of the Gateway API.
func TestWhatLeadsCallsOfAnEntry(t *testing.T) {
	t.Parallel()
	wildcard := object("ServiceEntry", "b", "all", `{hosts: ["*.example.com"], exportTo: ["."], resolution: DNS, endpoints: [{address: www.example.com}], ports: `+http+`}`)
	route := `apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: api, namespace: b}
spec:
  parentRefs: [{group: networking.istio.io, kind: ServiceEntry, name: all}]
  rules: [{backendRefs: [{group: networking.istio.io, kind: Hostname, name: raw.example.org, port: 80}]}]`
	for name, each := range map[string][]string{
		"a wildcard":   {wildcard, object("VirtualService", "b", "way", `{hosts: [api.example.com], exportTo: ["."], http: [{route: [{destination: {host: raw.example.org, port: {number: 80}}}]}]}`)},
		"the host":     {entry("b", "all", "api.example.com", http), shares("way", "api.example.com", "raw.example.org")},
		"a route":      {entry("b", "all", "api.example.com", http), route},
		"the wildcard": {entry("b", "all", "api.example.com", http), object("VirtualService", "b", "way", `{hosts: ["*.example.com"], exportTo: ["."], http: [{route: [{destination: {host: raw.example.org, port: {number: 80}}}]}]}`)},
	} {
		assert.Equal(t, "ServiceEntry b/all: waits", states(plan(t, objects(t, append([]string{governed, raw}, each...)...), "b"))[0], name)
	}
	ingress := object("VirtualService", "b", "way", `{hosts: ["*"], gateways: [public], http: [{route: [{destination: {host: raw.example.org, port: {number: 80}}}]}]}`)
	assert.Equal(t, []string{"ServiceEntry b/api: seal", "ServiceEntry b/raw: stays", "VirtualService b/way: stays"}, states(plan(t, objects(t, governed, raw, entry("b", "api", "api.example.com", http), ingress), "b")))
}

package routing

import (
	"cmp"
	"regexp"
	"slices"
	"testing"

	lua "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/lua/v3"
	upstreams "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"istio.io/istio/pilot/pkg/simulation"
	"istio.io/istio/pilot/test/xdstest"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// ledToTLS is a passing entry whose HTTP a route leads to a TLS port, where its author's rule encrypts it.
type ledToTLS struct {
	*crossing
	routes, asWritten *unstructured.Unstructured
}

const (
	byGatewayOnce = "by the gateway, encrypted once"
	inClear       = "in clear"
)

func newLedToTLS(t *testing.T, by egress.Transport) *ledToTLS {
	t.Helper()
	out := &ledToTLS{crossing: newCrossing(t, by, `{host: api.example.com, exportTo: ["."], trafficPolicy: {portLevelSettings: [{port: {number: 443}, tls: {mode: SIMPLE}}]}}`)}
	out.asWritten = stored(t, `{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: up, namespace: app-a}, spec: {hosts: [api.example.com], exportTo: ["."],
		http: [{match: [{port: 80}], route: [{destination: {host: api.example.com, port: {number: 443}}}]}]}}`)
	out.route(out.asWritten)
	out.store("", by, true)
	out.exit()
	return out
}

// route stores the routes.
func (l *ledToTLS) route(routes *unstructured.Unstructured) {
	l.routes = routes
	require.NoError(l.t, l.registry.Put(routes))
}

// led are the routes in the form that goes with the entry.
func (l *ledToTLS) led() *unstructured.Unstructured {
	l.t.Helper()
	form := l.registry.RouteForm(types.NamespacedName{Namespace: "app-a", Name: "up"})
	require.NotNil(l.t, form)
	out, err := form(l.routes)
	require.NoError(l.t, err)
	return out
}

// crosses has the crossing stand that egressctl writes.
func (l *ledToTLS) crosses() {
	l.t.Helper()
	found := l.found(l.passing.written(l.gw.Transport), l.asWritten)
	require.Equal(l.t, []string{"api.example.com:443"}, found.Hosts())
	l.filter = found.Object(l.mesh)
}

// askedBy is what a cluster itself has its calls ask for, empty for what they ask for anyway.
func askedBy(t *testing.T, client *proxy, name string) string {
	t.Helper()
	options := xdstest.ExtractCluster(name, client.Clusters).GetTypedExtensionProtocolOptions()["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"]
	if options == nil {
		return ""
	}
	spoken, script := &upstreams.HttpProtocolOptions{}, &lua.Lua{}
	require.NoError(t, options.UnmarshalTo(spoken))
	if len(spoken.HttpFilters) == 0 {
		return ""
	}
	require.Equal(t, "envoy.filters.http.upstream_codec", spoken.HttpFilters[len(spoken.HttpFilters)-1].Name, "Envoy takes no other last")
	require.NoError(t, spoken.HttpFilters[0].GetTypedConfig().UnmarshalTo(script))
	found := regexp.MustCompile(`replace\(":authority", "([^"]*)"\)`).FindStringSubmatch(script.DefaultSourceCode.GetInlineString())
	require.Len(t, found, 2)
	return found[1]
}

// goes says where the HTTP of the client's app goes.
func (l *ledToTLS) goes() string {
	t := l.t
	t.Helper()
	state := l.state() + document(t, l.authors.Object) + document(t, l.routes.Object)
	if l.filter != nil {
		state += document(t, l.filter.Object)
	}
	m := newMesh(t, state)
	client := m.sidecar(t, "app-a")
	of := call{namespace: "app-a", host: api, port: 80}
	found, err := ways(t, client, of, 80, simulation.CallModeOutbound)
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.NotEmpty(t, found[0].cluster)
	at, context := addresses(client, found[0].cluster), spoken(t, client, found[0].cluster)
	if len(at) == 0 {
		context = nil // of a Service whose pods, by Plain, take no mutual TLS
	}
	if slices.Equal(at, []string{webs}) || slices.Equal(at, []string{api + ":80"}) {
		return map[bool]string{true: direct, false: inClear}[context != nil]
	}
	of.asks = cmp.Or(askedBy(t, client, found[0].cluster), found[0].asks)
	ours := shows(context)
	passed := slices.Equal(at, []string{l.gw.Service + ":443"}) // as what no gateway reads: bytes
	switch {
	case l.gw.Transport == egress.MutualTLS && (gatewayOf(t, m, at, passed) == nil || context != nil && !ours):
		return fails
	case ours:
		of.mutual = &mutual{"spiffe://cluster.local/ns/app-a/sa/default", context.Sni}
		of.raw = passed
	case context != nil:
		of.tls = true
	case passed:
		return fails // HTTP at the port of TLS
	}
	gateway := m.gateway(t, "") // whose Service routes may lead to, by Plain
	if l.gw.Transport == egress.MutualTLS {
		gateway = gatewayOf(t, m, at, passed)
	}
	exits, err := clusters(t, gateway, of, map[bool]int{false: 8080, true: 8443}[passed || of.tls], simulation.CallModeGateway)
	if err != nil || len(exits) != 1 || !slices.Equal(addresses(gateway, exits[0]), []string{webs}) {
		return fails
	}
	encrypts := spoken(t, gateway, exits[0]) != nil
	switch {
	case of.tls == encrypts:
		return map[bool]string{true: fails, false: inClear}[encrypts]
	case of.raw && encrypts:
		return fails
	}
	return byGatewayOnce
}

// TestARouteToATLSPortTurnsBeforeItsRule: HTTP that a route leads to a TLS port, where the client's proxy encrypts it, gets through a gateway by Plain
// while the entry is sealed and the route is not, and goes in clear to nobody. The rule after the entry, and before the route, would have it fail.
func TestARouteToATLSPortTurnsBeforeItsRule(t *testing.T) {
	l := newLedToTLS(t, egress.Plain)
	assert.Equal(t, direct, l.goes())
	l.store(l.gw.Name, egress.Plain, true)
	assert.Equal(t, byGatewayOnce, l.goes(), "the entry sealed")
	written, sealed := l.authors, l.sealedRule()
	l.rules(sealed)
	assert.Equal(t, fails, l.goes(), "the rule before the route")
	l.rules(written)
	l.route(l.led())
	assert.Equal(t, byGatewayOnce, l.goes(), "the route led")
	l.rules(sealed)
	assert.Equal(t, byGatewayOnce, l.goes(), "the rule too")
}

// TestARouteToATLSPortCrosses: by MutualTLS such calls hang on the entry and the route both. Under a crossing they go by the gateway in each state
// between the writes of an adoption and of the way back; without one they fail in some, and go in clear in none.
func TestARouteToATLSPortCrosses(t *testing.T) {
	l := newLedToTLS(t, egress.MutualTLS)
	filters := map[string]*unstructured.Unstructured{}
	l.crosses()
	filters[byGatewayOnce], filters[""] = l.filter, nil
	is := func(state, without string) {
		t.Helper()
		for under, filter := range filters {
			l.filter = filter
			want := under
			if filter == nil {
				want = without
			}
			assert.Equal(t, want, l.goes(), "%s; crossing: %t", state, filter != nil)
		}
	}
	is("as it was written", direct)
	l.store(l.gw.Name, egress.MutualTLS, false)
	is("the entry sealed", fails)
	l.route(l.led())
	is("the route led", byGatewayOnce)
	led := l.routes
	l.rules(l.sealedRule())
	l.ruled()
	is("the rule too", byGatewayOnce)
	l.exit()
	is("adopted", byGatewayOnce)

	l.labelled(true, true)
	l.store(l.gw.Name, egress.MutualTLS, true)
	l.exit()
	l.ruled()
	is("observed, and held", byGatewayOnce)
	l.rules(l.crossing.written)
	is("the rule as it was written", byGatewayOnce)
	l.route(l.asWritten)
	is("the route too", fails)
	l.store("", egress.MutualTLS, true)
	l.exit()
	is("the entry too", direct)
	l.filter = nil
	l.route(led)
	assert.Equal(t, inClear, l.goes(), "the entry before the route: what its turn is for")
}

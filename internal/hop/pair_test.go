package hop_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// TestAPairIsAskedForByItsName: a route that keeps the host it is for and leads to another.
func TestAPairIsAskedForByItsName(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ spec, asks string }{
		"weights": {`{hosts: [local], http: [{route: [{destination: {host: local}, weight: 9}, {destination: {host: api.example.com, port: {number: 80}}, weight: 1}]}]}`,
			"local.payments.svc.cluster.local.at.api.example.com.egress-governor.internal"},
		"another port": {`{hosts: [front.test], http: [{route: [{destination: {host: two.example.com, port: {number: 8080}}}]}]}`,
			"front.test.at.two.example.com.egress-governor.internal:8080"},
		"a header": {`{hosts: [api.example.com], http: [{match: [{headers: {x-canary: {exact: "yes"}}}], route: [{destination: {host: two.example.com, port: {number: 80}}}]}]}`,
			"api.example.com.at.two.example.com.egress-governor.internal"},
		"its own host":         {`{hosts: [api.example.com], http: [{route: [{destination: {host: api.example.com}}]}]}`, ""},
		"a wildcard":           {`{hosts: ["*.front.test"], http: [{route: [{destination: {host: api.example.com}}]}]}`, ""},
		"several hosts":        {`{hosts: [a.test, b.test], http: [{route: [{destination: {host: api.example.com}}]}]}`, ""},
		"a port left open":     {`{hosts: [a.test], http: [{route: [{destination: {host: two.example.com}}]}]}`, ""},
		"a mirror":             {`{hosts: [a.test], http: [{route: [{destination: {host: local}}], mirrors: [{destination: {host: api.example.com}}]}]}`, ""},
		"TLS, whose SNI stays": {`{hosts: [a.test], tls: [{match: [{sniHosts: [a.test]}], route: [{destination: {host: tls.example.com}}]}]}`, ""},
	} {
		in := route(t, tc.spec)
		out, err := hop.Inject(in, mesh().Gateways[0], mesh(), cluster())
		require.NoError(t, err, name)
		destinations := egress.Destinations(out)
		headers, _ := destinations[len(destinations)-1].Holder["headers"].(map[string]any)
		made := hop.Pairs(destinations, in, mesh())
		if tc.asks == "" {
			assert.Nil(t, headers, name)
			assert.Empty(t, made, name)
			continue
		}
		assert.Equal(t, map[string]any{"request": map[string]any{"set": map[string]any{"host": tc.asks}}}, headers, name)
		bare, _, _ := strings.Cut(tc.asks, ":")
		require.Contains(t, made, bare, name)
		again, err := hop.Inject(out, mesh().Gateways[0], mesh(), cluster())
		require.NoError(t, err, name)
		assert.Equal(t, out, again, name)

		resolved := egress.Resolve(out, mesh(), cluster())
		assert.NotEmpty(t, hop.CheckRoutes(resolved), name+": nobody else gives such a name")
		resolved.Pairs = made
		assert.Empty(t, hop.CheckRoutes(resolved), name)
		facts := egress.RouteFacts(resolved, mesh().Gateways[0], mesh(), cluster())
		leaves := map[string]bool{}
		for _, host := range facts.Hosts {
			assert.False(t, egress.IsReserved(host.Canonical), name)
			leaves[host.Canonical] = host.Leaves
		}
		pair := made[bare]
		assert.True(t, leaves[pair.Led], name)
		assert.Equal(t, !strings.HasSuffix(pair.Asked, ".cluster.local"), leaves[pair.Asked], name)
	}
}

// TestAPairGoesByTheEntryOfItsHost where the gateway's Service cannot stand for it: under a rule of the host, which says how it is called, where the
// Service speaks no HTTP/2, and where a rule says that it is called otherwise than the app speaks. Where routes alone lead to the gateway, it must.
func TestAPairGoesByTheEntryOfItsHost(t *testing.T) {
	t.Parallel()
	rule := func(host string, inForce bool) []*egress.Rule {
		return []*egress.Rule{{Namespace: "payments", Host: host, Policy: map[string]any{"connectionPool": map[string]any{}}, InForce: inForce}}
	}
	slow := func() *egresstest.Cluster {
		out := cluster()
		out.Services[gatewayService] = egresstest.Carrier("HTTP")
		return out
	}
	ruled, called, led := cluster(), cluster(), egresstest.NewLedCluster()
	ruled.Rules, called.Rules, led.Rules = rule("api.example.com", true), rule(gatewayService, true), rule("api.example.com", true)
	for name, tc := range map[string]struct {
		view *egresstest.Cluster
		mesh *egress.Mesh
		host string
		port string
		want string
	}{
		"without a rule":     {cluster(), mesh(), "api.example.com", "80", gatewayService},
		"under one":          {ruled, mesh(), "api.example.com", "80", "api.example.com"},
		"of the gateway":     {called, mesh(), "api.example.com", "80", "api.example.com"},
		"HTTP/2":             {slow(), mesh(), "grpc.example.com", "50051", "grpc.example.com"},
		"led, and under one": {led, egresstest.ByRoutes(), "api.example.com", "80", gatewayService},
	} {
		in := route(t, `{hosts: [a.test], exportTo: ["."], http: [{route: [{destination: {host: `+tc.host+`, port: {number: `+tc.port+`}}}]}]}`)
		out, err := hop.Inject(in, tc.mesh.Gateways[0], tc.mesh, tc.view)
		require.NoError(t, err, name)
		assert.Equal(t, tc.want, egress.Destinations(out)[0].Host(), name)
		made := hop.Pairs(egress.Destinations(out), in, tc.mesh)
		require.Len(t, made, 1, name)
		resolved := egress.Resolve(out, tc.mesh, tc.view)
		resolved.Pairs = made
		assert.Empty(t, hop.CheckRoutes(resolved), name)
		assert.Empty(t, hop.CheckInjected(out, in, tc.mesh), name)
	}
}

// TestAPairIsOfAnyEntryThatIsJoined: which of a namespace's entries of a host has the port does not count.
func TestAPairIsOfAnyEntryThatIsJoined(t *testing.T) {
	t.Parallel()
	view := cluster()
	other := egresstest.Sealed("api.example.com", egress.Port{Number: 8080, Name: "alt", Protocol: "HTTP"})
	other.Name, other.Created = "later", view.Known[0].Created.Add(1)
	view.Known = append(view.Known, other)
	for port, want := range map[string]string{"80": "", "8080": ":8080"} {
		out, err := hop.Inject(route(t, `{hosts: [a.test], http: [{route: [{destination: {host: api.example.com, port: {number: `+port+`}}}]}]}`), mesh().Gateways[0], mesh(), view)
		require.NoError(t, err)
		headers, _ := egress.Destinations(out)[0].Holder["headers"].(map[string]any)
		assert.Equal(t, map[string]any{"request": map[string]any{"set": map[string]any{"host": "a.test.at.api.example.com.egress-governor.internal" + want}}}, headers)
	}
}

// TestThePairsExitPutsTheHostBack on every HTTP port of the host that it leads to, from gateways that have its exit.
func TestThePairsExitPutsTheHostBack(t *testing.T) {
	t.Parallel()
	pair := egress.Pair{Asked: "front.test", Led: "two.example.com"}
	exit := cluster().Exit(pair.Led, gateways)
	objects := hop.PairSet(mesh(), exit, cluster(), gateways, pair)
	require.Len(t, objects, 1)
	vs := objects[0].(*networkingv1.VirtualService)
	assert.Equal(t, []string{pair.Host()}, vs.Spec.Hosts)
	var got []string
	for _, route := range vs.Spec.Http {
		assert.Equal(t, "front.test", route.Rewrite.Authority)
		assert.Equal(t, "two.example.com", route.Route[0].Destination.Host)
		got = append(got, route.Match[0].Authority.GetRegex())
	}
	assert.Equal(t, []string{"[^:]*", ".*:8080"}, got)
	assert.Empty(t, hop.PairSet(mesh(), nil, cluster(), gateways, pair))
	assert.Empty(t, hop.PairSet(mesh(), cluster().Exit("tls.example.com", gateways), cluster(), gateways, egress.Pair{Asked: "a.test", Led: "tls.example.com"}))
}

func TestReservedNamesAreNobodysToWrite(t *testing.T) {
	t.Parallel()
	const forged = "a.test.at.api.example.com.egress-governor.internal"
	for _, spec := range []string{
		`{hosts: [` + forged + `], http: [{route: [{destination: {host: local}}]}]}`,
		`{hosts: [a.test], http: [{rewrite: {authority: ` + forged + `}, route: [{destination: {host: ` + gatewayService + `}}]}]}`,
		`{hosts: [a.test], http: [{route: [{destination: {host: ` + gatewayService + `}, headers: {request: {set: {Host: "` + forged + `:80"}}}}]}]}`,
	} {
		in := route(t, spec)
		resolved := egress.Resolve(in, mesh(), cluster())
		resolved.Pairs = hop.Pairs(resolved.Destinations(), in, mesh())
		var codes []string
		for _, refusal := range hop.CheckRoutes(resolved) {
			codes = append(codes, refusal.Code)
		}
		assert.Contains(t, codes, "reserved-host", spec)
	}
	entry, err := hop.ParseEntry(object(t, "kind: ServiceEntry\napiVersion: networking.istio.io/v1\nmetadata: {name: e, namespace: payments}\nspec: {hosts: ["+forged+"], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}"))
	require.NoError(t, err)
	assert.Equal(t, "reserved-host", hop.Check(entry, mesh().Gateways[0], mesh())[0].Code)
}

func TestNamesOfPairsAreNames(t *testing.T) {
	t.Parallel()
	long := egress.Pair{Asked: strings.Repeat("a.", 80) + "test", Led: strings.Repeat("b.", 80) + "test"}
	assert.LessOrEqual(t, len(long.Host()), 253)
	assert.True(t, egress.IsReserved(long.Host()))
	other := egress.Pair{Asked: long.Asked, Led: "x" + long.Led}
	assert.NotEqual(t, long.Host(), other.Host())
}

// TestAPortLeftOutIsAskedForByAName that only we give, in the place of what the author has calls ask for: their exit puts that back.
func TestAPortLeftOutIsAskedForByAName(t *testing.T) {
	t.Parallel()
	const name = "two.example.com.at.two.example.com.egress-governor.internal"
	const to = `route: [{destination: {host: two.example.com, port: {number: 8080}}}]`
	beside := `{destination: {host: two.example.com, port: {number: 8080}}, headers: {request: {set: {Host: two.example.com, x-a: a}}}}`
	mutual := egresstest.MutualTLS()
	for spec, at := range map[string][]string{
		`{hosts: [front.test], http: [{rewrite: {authority: two.example.com, uri: /v1}, ` + to + `}]}`:            {"rewrite", "authority"},
		`{hosts: [front.test], http: [{headers: {request: {set: {host: two.example.com, x-a: a}}}, ` + to + `}]}`: {"headers", "request", "set", "host"},
		`{hosts: [front.test], http: [{route: [` + beside + `]}]}`:                                                nil,
	} {
		for _, of := range []*egress.Mesh{mesh(), mutual} {
			view := cluster()
			if of == mutual {
				view = egresstest.NewMutualCluster()
			}
			in := route(t, spec)
			out, err := hop.Inject(in, of.Gateways[0], of, view)
			require.NoError(t, err, spec)
			d := egress.Destinations(out)[0]
			asked, _, _ := unstructured.NestedString(d.Route, at...)
			if at == nil {
				asked, _, _ = unstructured.NestedString(d.Holder, "headers", "request", "set", "Host")
			}
			assert.Equal(t, name+":8080", asked, spec)
			want := gatewayService
			if of == mutual {
				want = "two.example.com"
			}
			assert.Equal(t, want, d.Host(), spec)

			again, err := hop.Inject(out, of.Gateways[0], of, view)
			require.NoError(t, err, spec)
			assert.Equal(t, out.Object, again.Object, "twice is once")
			written, err := hop.RouteIntent(out, of)
			require.NoError(t, err, spec)
			assert.Equal(t, in.Object, written.Object, "it comes back as it was written")
			assert.Empty(t, hop.CheckInjected(out, in, of), spec)

			resolved := egress.Resolve(out, of, view)
			resolved.Pairs = hop.Pairs(resolved.Destinations(), in, of)
			assert.Equal(t, map[string]egress.Pair{name: {Asked: "two.example.com", Led: "two.example.com"}}, resolved.Pairs, spec)
			assert.Empty(t, hop.CheckRoutes(resolved), spec)
			for _, host := range egress.RouteFacts(resolved, of.Gateways[0], of, view).Hosts {
				assert.False(t, egress.IsReserved(host.Canonical), spec)
			}

			changed := out.DeepCopy()
			require.NoError(t, unstructured.SetNestedField(egress.Destinations(changed)[0].Route, "evil.test", "rewrite", "authority"))
			assert.NotEmpty(t, hop.CheckInjected(changed, in, of), "nobody else may write another in its place")
		}
	}
}

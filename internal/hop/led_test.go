package hop_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// led returns a VirtualService as it is stored where routes alone lead to the gateway, and what is refused of it.
func led(t *testing.T, view *egresstest.Cluster, spec string) (*unstructured.Unstructured, []string) {
	t.Helper()
	mesh := view.Mesh
	intent := route(t, spec)
	stored := hop.InjectIntent(intent, mesh.Gateways[0], mesh, view)
	resolved := egress.Resolve(stored, mesh, view)
	resolved.Pairs = hop.Pairs(resolved.Destinations(), intent, mesh)
	refused := hop.CheckRoutes(resolved)
	refused = append(refused, hop.CheckLed(resolved, mesh.Gateways[0], view, refused)...)
	out := []string{}
	for _, refusal := range refused {
		out = append(out, refusal.Code+" "+refusal.Field)
		assert.NotEmpty(t, refusal.Fix)
	}
	return stored, out
}

// TestARouteLeadsToTheGatewayOrIsRefused: no sealed entry carries one that stays.
func TestARouteLeadsToTheGatewayOrIsRefused(t *testing.T) {
	t.Parallel()
	const gw = gatewayService
	ruled := egresstest.NewLedCluster()
	ruled.Rules = []*egress.Rule{{Namespace: "payments", Host: "api.example.com", Policy: map[string]any{}}}
	overGateway := egresstest.NewLedCluster()
	overGateway.Rules = []*egress.Rule{{Namespace: "payments", Name: "all", Host: "*.svc.cluster.local", Policy: map[string]any{}, InForce: true}}
	plain := egresstest.NewLedCluster()
	plain.Services[gw] = egresstest.Carrier("HTTP")
	straight := func(i, j int) []string {
		return []string{fmt.Sprintf("straight-route spec.http[%d].route[%d].destination.host", i, j)}
	}
	for name, tc := range map[string]struct {
		spec    string
		view    *egresstest.Cluster
		hosts   []string
		refused []string
	}{
		"an HTTP route":     {`{hosts: [api.example.com], http: [{route: [{destination: {host: api.example.com}}]}]}`, nil, []string{gw}, nil},
		"a TLS route":       {`{hosts: [api.example.com], tls: [{match: [{sniHosts: [api.example.com]}], route: [{destination: {host: api.example.com}}]}]}`, nil, []string{gw}, nil},
		"under a rule":      {`{hosts: [api.example.com], http: [{route: [{destination: {host: api.example.com}}]}]}`, ruled, []string{gw}, nil},
		"the Host header":   {`{hosts: [front.test], http: [{route: [{destination: {host: api.example.com}, headers: {request: {set: {Host: api.example.com}}}}]}]}`, nil, []string{gw}, nil},
		"one of a wildcard": {`{hosts: [de.wild.test], http: [{route: [{destination: {host: "*.wild.test", port: {number: 80}}}]}]}`, nil, []string{gw}, nil},
		"a pair":            {`{hosts: [front.test], http: [{route: [{destination: {host: api.example.com}}]}]}`, nil, []string{gw}, nil},
		"HTTP to TLS":       {`{hosts: [api.example.com], http: [{route: [{destination: {host: api.example.com, port: {number: 443}}}]}]}`, nil, []string{gw}, nil},
		"a mirror":          {`{hosts: [api.example.com], http: [{route: [{destination: {host: local}}], mirror: {host: api.example.com}}]}`, nil, []string{"local", gw}, nil},
		"a port asked for": {`{hosts: [front.test], http: [{rewrite: {authority: "two.example.com:8080"}, route: [{destination: {host: two.example.com, port: {number: 8080}}}]}]}`,
			nil, []string{gw}, nil},
		"a subset":            {`{hosts: [api.example.com], http: [{route: [{destination: {host: api.example.com, subset: a}}]}]}`, nil, []string{"api.example.com"}, straight(0, 0)},
		"a gateway's too":     {`{hosts: [api.example.com], gateways: [mesh, g], http: [{route: [{destination: {host: api.example.com}}]}]}`, nil, []string{"api.example.com"}, []string{"gateway-route spec.http[0].route[0].destination.host"}},
		"a delegate's":        {`{http: [{route: [{destination: {host: api.example.com}}]}]}`, nil, []string{"api.example.com"}, []string{"other-host spec.http[0].route[0].destination.host"}},
		"an unknown Host":     {`{hosts: [front.test], http: [{route: [{destination: {host: api.example.com}, headers: {request: {set: {Host: "%REQ(x)%"}}}}]}]}`, nil, []string{"api.example.com"}, []string{"other-host spec.http[0].route[0].destination.host"}},
		"a TCP route of HTTP": {`{hosts: [api.example.com], tcp: [{match: [{port: 80}], route: [{destination: {host: api.example.com, port: {number: 80}}}]}]}`, nil, []string{"api.example.com"}, []string{"straight-route spec.tcp[0].route[0].destination.host"}},
		"gRPC over HTTP/1":    {`{hosts: [grpc.example.com], http: [{route: [{destination: {host: grpc.example.com}}]}]}`, plain, []string{"grpc.example.com"}, straight(0, 0)},
		"a rule over the gateway": {`{hosts: [api.example.com], http: [{route: [{destination: {host: api.example.com}}]}]}`, overGateway, []string{"api.example.com"},
			straight(0, 0)},
		"another authority's port": {`{hosts: [two.example.com], http: [{match: [{port: 8080}], rewrite: {authority: two.example.com}, route: [{destination: {host: two.example.com, port: {number: 8080}}}]}]}`,
			nil, []string{gw}, nil},
		"one that cannot be said": {`{hosts: [two.example.com], http: [{match: [{port: 8080}], rewrite: {authority: two.example.com}, mirror: {host: local}, route: [{destination: {host: two.example.com, port: {number: 8080}}}]}]}`,
			nil, []string{"two.example.com", "local"}, []string{"authority-port spec.http[0].rewrite.authority"}},
		"some workloads alone": {`{hosts: [api.example.com], http: [{match: [{port: 80, sourceLabels: {app: a}}], route: [{destination: {host: local}}]}]}`, nil, []string{"local"},
			[]string{"part-route spec.http[0].match"}},
		"some, and then all": {`{hosts: [api.example.com], http: [{match: [{sourceLabels: {app: a}}], route: [{destination: {host: local}}]}, {route: [{destination: {host: api.example.com}}]}]}`,
			nil, []string{"local", gw}, nil},
		"TLS of some workloads": {`{hosts: [api.example.com], tls: [{match: [{port: 443, sniHosts: [api.example.com], sourceNamespace: payments}], route: [{destination: {host: api.example.com}}]}]}`,
			nil, []string{gw}, []string{"part-route spec.tls[0].match"}},
		"delegated": {`{hosts: [api.example.com], http: [{delegate: {name: other}}]}`, nil, nil, []string{"part-route spec.http[0].delegate"}},
		"delegated by a wildcard": {`{hosts: ["*.example.com"], http: [{match: [{port: 80}], delegate: {name: other}}, {match: [{port: 8080}], route: [{destination: {host: local}}]}]}`,
			nil, []string{"local"}, []string{"wildcard-route spec.hosts", "wildcard-route spec.hosts"}},
		"a wildcard":            {`{hosts: ["*.example.com"], exportTo: ["."], http: [{match: [{port: 80}], route: [{destination: {host: local}}]}]}`, nil, []string{"local"}, []string{"wildcard-route spec.hosts", "wildcard-route spec.hosts"}},
		"a wildcard, and hosts": {`{hosts: ["*.example.com", api.example.com, two.example.com], exportTo: ["."], http: [{match: [{port: 80}], route: [{destination: {host: local}}]}]}`, nil, []string{"local"}, nil},
		"to nobody's host":      {`{hosts: [new.example.com], http: [{route: [{destination: {host: new.example.com}}]}]}`, nil, []string{"new.example.com"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			view := tc.view
			if view == nil {
				view = egresstest.NewLedCluster()
			}
			stored, refused := led(t, view, tc.spec)
			assert.Equal(t, tc.hosts, hostsOf(stored))
			assert.ElementsMatch(t, tc.refused, refused)
			again, err := hop.Inject(stored, view.Mesh.Gateways[0], view.Mesh, view)
			require.NoError(t, err)
			assert.Equal(t, stored.Object, again.Object, "twice is once")
		})
	}
}

// routing is what an author's VirtualService of the namespace says.
func routing(t *testing.T, spec string) *egress.Routing {
	t.Helper()
	out := egress.ReadRouting(route(t, spec), egresstest.ByRoutes())
	require.NotNil(t, out)
	return out
}

// TestClientRoutesAreForWhoeverHasNone: each port is led for all who see the entry, but for those who see an author's route.
func TestClientRoutesAreForWhoeverHasNone(t *testing.T) {
	t.Parallel()
	const http, tls = `http: [{route: [{destination: {host: local}}]}]`, `tls: [{match: [{port: 443, sniHosts: [api.example.com]}], route: [{destination: {host: local}}]}]`
	for name, tc := range map[string]struct {
		exportTo []string
		authors  []string
		// want are who sees a route, and its ports.
		want []string
	}{
		"none of the author's": {nil, nil, []string{"/80 443"}},
		"seen by its own":      {[]string{"."}, nil, []string{"payments/80 443"}},
		"seen by nobody":       {[]string{"~"}, nil, nil},
		"HTTP for all":         {nil, []string{`{hosts: [api.example.com], ` + http + `}`}, []string{"/443"}},
		"both for all":         {nil, []string{`{hosts: [api.example.com], ` + http + `}`, `{hosts: [api.example.com], ` + tls + `}`}, nil},
		"by a wildcard":        {nil, []string{`{hosts: ["*.example.com"], ` + http + `}`}, []string{"/80 443"}},
		"another port":         {nil, []string{`{hosts: [api.example.com], http: [{match: [{port: 8080}], route: [{destination: {host: local}}]}]}`}, []string{"/80 443"}},
		"of a gateway":         {nil, []string{}, []string{"/80 443"}},
		"some of the workloads": {nil, []string{`{hosts: [api.example.com], http: [{match: [{sourceLabels: {a: b}}], route: [{destination: {host: local}}]}]}`},
			[]string{"/80 443"}},
		"another SNI": {nil, []string{`{hosts: [api.example.com, b.example.com], tls: [{match: [{sniHosts: [b.example.com]}], route: [{destination: {host: local}}]}]}`},
			[]string{"/80 443"}},
		"HTTP for its own of all": {nil, []string{`{hosts: [api.example.com], exportTo: ["."], ` + http + `}`}, []string{"/80 443"}},
		"HTTP for its own of two": {[]string{".", "shop"}, []string{`{hosts: [api.example.com], exportTo: ["."], ` + http + `}`}, []string{"payments,shop/443", "shop/80"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			view := egresstest.NewLedCluster()
			view.Known[0].ExportTo = tc.exportTo
			for _, spec := range tc.authors {
				view.Routed = append(view.Routed, routing(t, spec))
			}
			var have []string
			names := map[string]bool{}
			for _, ours := range hop.ClientRoutes(view.Mesh, view, "payments", "api.example.com") {
				names[ours.GetName()] = true
				assert.True(t, hop.IsClientRoute(ours))
				have = append(have, seenAndPorts(ours))
			}
			assert.ElementsMatch(t, tc.want, have)
			assert.Len(t, names, len(have))
		})
	}
}

func seenAndPorts(vs *unstructured.Unstructured) string {
	out := ""
	for i, name := range egress.ExportTo(vs) {
		if i > 0 {
			out += ","
		}
		out += name
	}
	separator := "/"
	for _, section := range []string{"http", "tls"} {
		routes, _, _ := unstructured.NestedSlice(vs.Object, "spec", section)
		for _, item := range routes {
			for _, match := range egress.Matches(item.(map[string]any)) {
				out += fmt.Sprint(separator, match["port"])
				separator = " "
			}
		}
	}
	return out
}

// TestClientRoutesAreOnlyForLedEntries of the namespace.
func TestClientRoutesAreOnlyForLedEntries(t *testing.T) {
	t.Parallel()
	view := egresstest.NewLedCluster()
	assert.Empty(t, hop.ClientRoutes(view.Mesh, view, "shop", "api.example.com"), "another namespace's")
	assert.Empty(t, hop.ClientRoutes(egresstest.Mesh(), view, "payments", "api.example.com"), "sealed")
	view.Known[0].Gateway = ""
	assert.Empty(t, hop.ClientRoutes(view.Mesh, view, "payments", "api.example.com"), "carried by none")
}

// TestLeftRoutesAreRefusedWhatInjectionWouldMake, each with a fix that is stored.
func TestLeftRoutesAreRefusedWhatInjectionWouldMake(t *testing.T) {
	t.Parallel()
	left := egresstest.Mesh()
	left.Inject = false
	check := func(t *testing.T, mesh *egress.Mesh, view *egresstest.Cluster, spec string) []string {
		t.Helper()
		object := route(t, spec)
		resolved := egress.Resolve(object, mesh, view)
		out := []string{}
		for _, refusal := range append(hop.CheckRoutes(resolved), hop.CheckLeft(object, resolved, mesh, view)...) {
			out = append(out, refusal.Code+" "+refusal.Field)
		}
		return out
	}
	own := egresstest.Mesh()
	own.Inject, own.OwnNamespace = false, true
	withSubset := cluster()
	withSubset.Rules = []*egress.Rule{{Namespace: "istio-system", Host: gatewayService, Subsets: []any{map[string]any{"name": "a"}}}}
	theirs := cluster()
	theirs.Known = append(theirs.Known, egresstest.Sealed("theirs.example.com", egress.Port{Number: 80, Name: "http", Protocol: "HTTP"}))
	theirs.Known[len(theirs.Known)-1].Namespace = "shop"
	for name, tc := range map[string]struct {
		mesh       *egress.Mesh
		view       *egresstest.Cluster
		spec, want string
		fixed      string
	}{
		"a pair": {left, cluster(), `{hosts: [two.example.com], exportTo: ["."], http: [{route: [{destination: {host: api.example.com, port: {number: 80}}}]}]}`,
			"other-host spec.http[0].route[0].destination.host",
			`{hosts: [two.example.com], exportTo: ["."], http: [{route: [{destination: {host: api.example.com, port: {number: 80}}, headers: {request: {set: {host: api.example.com}}}}]}]}`},
		"a pair's name by hand": {left, cluster(), `{hosts: [two.example.com], exportTo: ["."], http: [{route: [{destination: {host: api.example.com, port: {number: 80}},
				headers: {request: {set: {host: two.example.com.at.api.example.com.egress-governor.internal}}}}]}]}`,
			"reserved-host spec.http[0].route[0].headers.request.set, other-host spec.http[0].route[0].destination.host",
			`{hosts: [api.example.com], http: [{route: [{destination: {host: api.example.com}}]}]}`},
		"HTTP to a TLS port": {left, cluster(), `{hosts: [api.example.com], exportTo: ["."], http: [{route: [{destination: {host: api.example.com, port: {number: 443}}}]}]}`,
			"port-mapping spec.http[0].route[0].destination.port.number",
			`{hosts: [api.example.com], exportTo: ["."], http: [{route: [{destination: {host: api.example.com, port: {number: 80}}, headers: {request: {set: {host: "api.example.com:443"}}}}]}]}`},
		"another namespace's host, exported": {left, theirs, `{hosts: [theirs.example.com], http: [{route: [{destination: {host: local}}]}]}`,
			"exported-route spec.exportTo", `{hosts: [theirs.example.com], exportTo: ["."], http: [{route: [{destination: {host: local}}]}]}`},
		"nobody's host, exported": {left, cluster(), `{hosts: [new.example.com], http: [{route: [{destination: {host: local}}]}]}`,
			"exported-route spec.exportTo", `{hosts: [new.example.com], exportTo: ["."], http: [{route: [{destination: {host: local}}]}]}`},
		"exportTo left out, which is one's own": {own, cluster(), `{hosts: [api.example.com], http: [{route: [{destination: {host: api.example.com}}]}]}`,
			"exported-route spec.exportTo", `{hosts: [api.example.com], exportTo: ["*"], http: [{route: [{destination: {host: api.example.com}}]}]}`},
		"to a Service, exported": {left, cluster(), `{hosts: [api.example.com], http: [{route: [{destination: {host: local}}]}]}`,
			"exported-route spec.exportTo", `{hosts: [api.example.com], exportTo: ["."], http: [{route: [{destination: {host: local}}]}]}`},
		"faults, exported": {left, cluster(), `{hosts: [api.example.com], http: [{fault: {abort: {httpStatus: 500}}, route: [{destination: {host: api.example.com}}]}]}`,
			"exported-route spec.exportTo", `{hosts: [api.example.com], http: [{match: [{port: 80}], route: [{destination: {host: api.example.com}}]}]}`},
		"a wildcard, exported": {left, cluster(), `{hosts: ["*.example.com"], http: [{route: [{destination: {host: local}}]}]}`,
			"exported-route spec.exportTo", `{hosts: ["*.example.com"], exportTo: ["."], http: [{route: [{destination: {host: local}}]}]}`},
		"another host, nobody's yet": {left, cluster(), `{hosts: [api.example.com], exportTo: ["."], http: [{route: [{destination: {host: later.example.com}}]}]}`,
			"other-host spec.http[0].route[0].destination.host", `{hosts: [api.example.com], exportTo: ["."], http: [{route: [{destination: {host: later.example.com}, headers: {request: {set: {host: later.example.com}}}}]}]}`},
		"a bare subset of the gateway": {left, cluster(), `{hosts: [api.example.com], exportTo: ["."], http: [{route: [{destination: {host: ` + gatewayService + `, subset: a}}]}]}`,
			"gateway-subset spec.http[0].route[0].destination.subset", `{hosts: [api.example.com], http: [{route: [{destination: {host: ` + gatewayService + `}}]}]}`},
		"a subset that all see": {left, withSubset, `{hosts: [api.example.com], exportTo: ["."], http: [{route: [{destination: {host: ` + gatewayService + `, subset: b}}]}]}`,
			"gateway-subset spec.http[0].route[0].destination.subset", `{hosts: [api.example.com], exportTo: ["."], http: [{route: [{destination: {host: ` + gatewayService + `, subset: a}}]}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.view.Mesh = tc.mesh
			for _, pair := range tc.view.Known {
				require.Equal(t, "default", pair.Gateway)
			}
			resolved := egress.Resolve(route(t, tc.spec), tc.mesh, tc.view)
			require.True(t, resolved.Left)
			assert.Equal(t, tc.want, strings.Join(check(t, tc.mesh, tc.view, tc.spec), ", "))
			assert.Empty(t, check(t, tc.mesh, tc.view, tc.fixed))
		})
	}
}

// TestAnAuthorityMeansAPort: a route that says itself what to ask for is not led to another port than the one it names.
func TestAnAuthorityMeansAPort(t *testing.T) {
	t.Parallel()
	out := hop.InjectIntent(route(t, `{hosts: [two.example.com],
		http: [{match: [{port: 8080}], rewrite: {authority: two.example.com}, mirror: {host: local}, route: [{destination: {host: two.example.com, port: {number: 8080}}}]}]}`), egresstest.Mesh().Gateways[0], egresstest.Mesh(), cluster())
	assert.Equal(t, []string{"two.example.com", "local"}, hostsOf(out), "the gateway would take it for port 80")
}

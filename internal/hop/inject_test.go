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

func cluster() *egresstest.Cluster { return egresstest.NewCluster() }

func route(t *testing.T, spec string) *unstructured.Unstructured {
	t.Helper()
	return object(t, "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: r, namespace: payments}\nspec: "+spec)
}

func hostsOf(vs *unstructured.Unstructured) []string {
	var out []string
	for _, d := range egress.Destinations(vs) {
		out = append(out, d.Host())
	}
	return out
}

func TestInjectReplacesOnlyWhatKeepsItsMeaning(t *testing.T) {
	t.Parallel()
	const gw, api = gatewayService, "api.example.com"
	traffic := cluster()
	traffic.Rules = []*egress.Rule{{Namespace: "payments", Host: api, Policy: map[string]any{}}}
	plain := cluster()
	plain.Services[gw] = egresstest.Carrier("HTTP")
	for name, tc := range map[string]struct {
		spec string
		view *egresstest.Cluster
		want []string
	}{
		"an HTTP route": {`{hosts: [api.example.com],
			http: [{route: [{destination: {host: api.example.com}}]}]}`, cluster(), []string{gw}},
		"a host in another spelling": {`{hosts: [API.example.com.],
			http: [{route: [{destination: {host: api.EXAMPLE.com}}]}]}`, cluster(), []string{gw}},
		"weights beside the mesh": {`{hosts: [api.example.com],
			http: [{route: [{destination: {host: api.example.com}, weight: 1},
					{destination: {host: local}, weight: 99}]}]}`, cluster(), []string{gw, "local"}},
		"a mirror": {`{hosts: [api.example.com],
			http: [{route: [{destination: {host: local}}],
				mirror: {host: api.example.com, port: {number: 80}}}]}`, cluster(), []string{"local", gw}},
		"mirrors": {`{hosts: [api.example.com],
			http: [{route: [{destination: {host: local}}],
				mirrors: [{destination: {host: api.example.com}}]}]}`, cluster(), []string{"local", gw}},
		"a TLS route": {`{hosts: [api.example.com],
			tls: [{match: [{sniHosts: [api.example.com]}],
				route: [{destination: {host: api.example.com, port: {number: 443}}}]}]}`, cluster(), []string{gw}},
		"a TCP route of a TLS port": {`{hosts: [api.example.com],
			tcp: [{match: [{port: 443}],
				route: [{destination: {host: api.example.com, port: {number: 443}}}]}]}`, cluster(), []string{gw}},
		"a wildcard": {`{hosts: ["*.wild.test"],
			http: [{route: [{destination: {host: "*.wild.test"}}]}]}`, cluster(), []string{gw}},
		"a rewritten authority": {`{hosts: [front.test],
			http: [{rewrite: {authority: api.example.com},
				route: [{destination: {host: api.example.com}}]}]}`, cluster(), []string{gw}},
		"mesh named": {`{hosts: [api.example.com],
			gateways: [mesh],
			http: [{route: [{destination: {host: api.example.com}}]}]}`, cluster(), []string{gw}},
		"mesh named in the match": {`{hosts: [api.example.com],
			gateways: [mesh, g],
			http: [{match: [{gateways: [mesh]}],
				route: [{destination: {host: api.example.com}}]}]}`, cluster(), []string{gw}},
		"gRPC where the carrier is HTTP/2": {`{hosts: [grpc.example.com],
			http: [{route: [{destination: {host: grpc.example.com}}]}]}`, cluster(), []string{gw}},
		"one of two HTTP ports, matched": {`{hosts: [two.example.com],
			http: [{match: [{port: 8080}],
				route: [{destination: {host: two.example.com, port: {number: 8080}}}]}]}`, cluster(), []string{gw}},
		"left: gRPC over an HTTP/1 carrier": {`{hosts: [grpc.example.com],
			http: [{route: [{destination: {host: grpc.example.com}}]}]}`, plain, []string{"grpc.example.com"}},
		"left: one port to another": {`{hosts: [two.example.com],
			http: [{route: [{destination: {host: two.example.com, port: {number: 8080}}}]}]}`, cluster(), []string{"two.example.com"}},
		"left: a subset": {`{hosts: [api.example.com],
			http: [{route: [{destination: {host: api.example.com, subset: a}}]}]}`, cluster(), []string{api}},
		"left: a traffic policy": {`{hosts: [api.example.com],
			http: [{route: [{destination: {host: api.example.com}}]}]}`, traffic, []string{api}},
		"a pair: another host": {`{hosts: [front.test],
			http: [{route: [{destination: {host: api.example.com}}]}]}`, cluster(), []string{gw}},
		"left: one more host": {`{hosts: [api.example.com, front.test],
			http: [{route: [{destination: {host: api.example.com}}]}]}`, cluster(), []string{api}},
		"left: authority of another host": {`{hosts: [api.example.com],
			http: [{rewrite: {authority: front.test},
				route: [{destination: {host: api.example.com}}]}]}`, cluster(), []string{api}},
		"left: the Host header set": {`{hosts: [api.example.com],
			http: [{headers: {request: {set: {Host: front.test}}},
				route: [{destination: {host: api.example.com}}]}]}`, cluster(), []string{api}},
		"left: the Host header of one": {`{hosts: [api.example.com],
			http: [{route: [{destination: {host: api.example.com},
					headers: {request: {set: {":authority": api.example.com}}}}]}]}`, cluster(), []string{api}},
		"HTTP to a TLS port, which the gateway encrypts": {`{hosts: [api.example.com],
			http: [{route: [{destination: {host: api.example.com, port: {number: 443}}}]}]}`, cluster(), []string{gw}},
		"left: HTTP to a host of TLS alone": {`{hosts: [tls.example.com],
			http: [{route: [{destination: {host: tls.example.com}}]}]}`, cluster(), []string{"tls.example.com"}},
		"left: TLS for another SNI": {`{hosts: [api.example.com, front.test],
			tls: [{match: [{sniHosts: [front.test]}],
				route: [{destination: {host: api.example.com, port: {number: 443}}}]}]}`, cluster(), []string{api}},
		"left: a route of a gateway": {`{hosts: [api.example.com],
			gateways: [g],
			http: [{route: [{destination: {host: api.example.com}}]}]}`, cluster(), []string{api}},
		"left: a route of mesh and gateway": {`{hosts: [api.example.com],
			gateways: [mesh, g],
			http: [{route: [{destination: {host: api.example.com}}]}]}`, cluster(), []string{api}},
		"left: a hand-written leg": {`{hosts: [api.example.com],
			gateways: [g, mesh],
			http: [{match: [{gateways: [mesh]}], route: [{destination: {host: ` + gw + `, subset: s}}]},
				{match: [{gateways: [g]}],
				route: [{destination: {host: api.example.com}}]}]}`, cluster(), []string{gw, api}},
		"left: a host that nobody named": {`{hosts: [new.example.com],
			http: [{route: [{destination: {host: new.example.com}}]}]}`, cluster(), []string{"new.example.com"}},
		"left: a Service": {`{hosts: [local],
			http: [{route: [{destination: {host: local}}]}]}`, cluster(), []string{"local"}},
		"left: a delegate, which has no host": {`{http: [{route: [{destination: {host: api.example.com}}]}]}`, cluster(), []string{api}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := route(t, tc.spec)
			before := in.DeepCopy()
			out, err := hop.Inject(in, mesh().Gateways[0], mesh(), tc.view)
			require.NoError(t, err)
			assert.Equal(t, tc.want, hostsOf(out))
			assert.Equal(t, before.Object, in.Object, "Inject must not touch what it is given")
			intent, err := hop.RouteIntent(out, mesh())
			require.NoError(t, err)
			assert.Equal(t, in.Object, intent.Object, "Intent gives back what the author wrote")
			again, err := hop.Inject(out, mesh().Gateways[0], mesh(), tc.view)
			require.NoError(t, err)
			assert.Equal(t, out.Object, again.Object, "injecting twice changes nothing")
		})
	}
}

func TestPortMappingIsRefused(t *testing.T) {
	t.Parallel()
	vs := route(t, `{hosts: [two.example.com],
		http: [{match: [{port: 80}], route: [{destination: {host: two.example.com, port: {number: 8080}}}]},
			{match: [{port: 8080}], route: [{destination: {host: two.example.com, port: {number: 8080}}}]}]}`)
	refusals := hop.CheckRoutes(egress.Resolve(vs, mesh(), cluster()))
	require.Len(t, refusals, 1)
	assert.Equal(t, "port-mapping", refusals[0].Code)
	assert.Equal(t, "spec.http[0].route[0].destination.port.number", refusals[0].Field)
}

// TestAPortIsAskedForByName: a host whose entries have several HTTP ports is asked for with the port, or on 80.
func TestAPortIsAskedForByName(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ authority, want string }{
		"without a port": {"two.example.com", "authority-port spec.http[0].rewrite.authority"},
		"another port":   {"two.example.com:80", "authority-port spec.http[0].rewrite.authority"},
		"its port":       {"two.example.com:8080", ""},
	} {
		vs := route(t, `{hosts: [shop.test], http: [{match: [{port: 8080}], rewrite: {authority: "`+tc.authority+`"},
			route: [{destination: {host: two.example.com, port: {number: 8080}}}]}]}`)
		var got []string
		for _, refusal := range hop.CheckRoutes(egress.Resolve(vs, mesh(), cluster())) {
			got = append(got, refusal.Code+" "+refusal.Field)
		}
		assert.Equal(t, tc.want, strings.Join(got, ", "), name)
	}
	alone := cluster()
	alone.Known = []*egress.Entry{egresstest.Sealed("one.example.com", egress.Port{Number: 8080, Name: "alt", Protocol: "HTTP"})}
	vs := route(t, `{hosts: [shop.test], http: [{rewrite: {authority: one.example.com}, route: [{destination: {host: one.example.com}}]}]}`)
	assert.Empty(t, hop.CheckRoutes(egress.Resolve(vs, mesh(), alone)))
	other := egresstest.Sealed("one.example.com", egress.Port{Number: 80, Name: "http", Protocol: "HTTP"})
	other.Namespace = "elsewhere"
	alone.Known = append(alone.Known, other)
	assert.NotEmpty(t, hop.CheckRoutes(egress.Resolve(vs, mesh(), alone)), "another entry of the host has port 80")
}

func TestForgedRouteIntentChangesNothingButGatewayRoutes(t *testing.T) {
	t.Parallel()
	vs := route(t, `{hosts: [api.example.com], http: [{route: [{destination: {host: local}}]}]}`)
	vs.SetAnnotations(map[string]string{hop.IntentAnnotation: `[{"destination": {"host": "evil.test"}, "fields": ["spec.http[0].route[0].destination"]}, null]`})
	intent, err := hop.RouteIntent(vs, mesh())
	require.NoError(t, err)
	assert.Equal(t, []string{"local"}, hostsOf(intent))
	vs.SetAnnotations(map[string]string{hop.IntentAnnotation: `{`})
	_, err = hop.Inject(vs, mesh().Gateways[0], mesh(), cluster())
	var refusals hop.Refusals
	require.ErrorAs(t, err, &refusals)
	assert.Equal(t, "intent-annotation", refusals[0].Code)
}

// An annotation has a limit; an object that is stored without us must be stored with us.
func TestObjectsTooLargeToRemember(t *testing.T) {
	t.Parallel()
	var routes strings.Builder
	for range 10000 {
		routes.WriteString(`{route: [{destination: {host: api.example.com}}]},`)
	}
	vs := route(t, `{hosts: [api.example.com], http: [`+routes.String()+`]}`)
	out, err := hop.Inject(vs, mesh().Gateways[0], mesh(), cluster())
	require.NoError(t, err)
	assert.Equal(t, vs.Object, out.Object, "left to the sealed entry")

	var endpoints strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&endpoints, "{address: 10.0.%d.%d},", i/256, i%256)
	}
	_, err = hop.Seal(entry(t, `{hosts: [a.example.com],
		resolution: STATIC,
		endpoints: [`+endpoints.String()+`],
		ports: [{number: 443, name: tls, protocol: TLS}]}`), mesh().Gateways[0], mesh())
	var refusals hop.Refusals
	require.ErrorAs(t, err, &refusals)
	assert.Equal(t, "too-large", refusals[0].Code)
}

// TestRoutesAskForWhereTheyLead: a gateway cannot tell them apart otherwise.
func TestRoutesAskForWhereTheyLead(t *testing.T) {
	t.Parallel()
	const two = "destination: {host: two.example.com}"
	for name, tc := range map[string]struct{ spec, want string }{
		"a share of another host": {`{hosts: [api.example.com], http: [{route: [{destination: {host: api.example.com}}, {` + two + `}]}]}`,
			"other-host spec.http[0].route[1].destination.host"},
		"a share of a Service's calls": {`{hosts: [local], http: [{route: [{destination: {host: local}}, {` + two + `}]}]}`,
			"other-host spec.http[0].route[1].destination.host"},
		"a mirror elsewhere": {`{hosts: [api.example.com], http: [{route: [{destination: {host: api.example.com}}], mirror: {host: two.example.com}}]}`,
			"other-host spec.http[0].mirror.host"},
		"mirrors elsewhere": {`{hosts: [api.example.com], http: [{route: [{destination: {host: api.example.com}}], mirrors: [{` + two + `}]}]}`,
			"other-host spec.http[0].mirrors[0].destination.host"},
		"an SNI of another": {`{hosts: [front.test], tls: [{match: [{sniHosts: [front.test]}], route: [{destination: {host: tls.example.com}}]}]}`,
			"other-host spec.tls[0].route[0].destination.host"},
		"a wildcard's calls to one": {`{hosts: ["*.example.com"], http: [{route: [{destination: {host: api.example.com}}]}]}`,
			"other-host spec.http[0].route[0].destination.host"},
		"the Host set beside it": {`{hosts: [api.example.com], http: [{route: [{destination: {host: api.example.com}},
			{` + two + `, headers: {request: {set: {Host: two.example.com}}}}]}]}`, ""},
		"the authority rewritten": {`{hosts: [api.example.com], http: [{rewrite: {authority: two.example.com}, route: [{` + two + `}]}]}`, ""},
		"one below a wildcard":    {`{hosts: [de.wild.test], http: [{route: [{destination: {host: "*.wild.test"}}]}]}`, ""},
		"a mirror of the mesh":    {`{hosts: [api.example.com], http: [{route: [{destination: {host: local}}], mirror: {host: api.example.com}}]}`, ""},
		"a leg written by hand":   {`{hosts: [api.example.com], http: [{route: [{destination: {host: ` + gatewayService + `}}]}]}`, ""},
		"of a Gateway that is not there": {`{hosts: [front.test], gateways: [g], http: [{route: [{destination: {host: api.example.com}}]}]}`,
			"gateway-route spec.http[0].route[0].destination.host"},
		"a delegate": {`{http: [{route: [{destination: {host: api.example.com}}]}]}`,
			"other-host spec.http[0].route[0].destination.host"},
		"a delegate that mirrors": {`{http: [{route: [{destination: {host: local}}], mirrors: [{destination: {host: api.example.com}}]}]}`,
			"other-host spec.http[0].mirrors[0].destination.host"},
		"a delegate that asks":   {`{http: [{route: [{destination: {host: api.example.com}, headers: {request: {set: {Host: api.example.com}}}}]}]}`, ""},
		"a delegate in the mesh": {`{http: [{route: [{destination: {host: local}}]}]}`, ""},
		"a root":                 {`{hosts: [api.example.com], http: [{rewrite: {uri: /}, delegate: {name: d}}]}`, ""},
		"a root that asks": {`{hosts: [api.example.com], http: [{rewrite: {authority: two.example.com}, delegate: {name: d}}]}`,
			"delegated-authority spec.http[0].rewrite.authority"},
		"a root that asks for what is no gateway's": {`{hosts: [api.example.com], http: [{rewrite: {authority: new.test}, delegate: {name: d}}]}`, ""},
		"a host that nobody names":                  {`{hosts: [front.test], http: [{route: [{destination: {host: new.test}}]}]}`, ""},
	} {
		var got []string
		for _, refusal := range hop.CheckRoutes(egress.Resolve(route(t, tc.spec), mesh(), cluster())) {
			got = append(got, refusal.Code+" "+refusal.Field)
		}
		assert.Equal(t, tc.want, strings.Join(got, ", "), name)
	}
}

// TestADelegateIsNotInjected: its roots may be of namespaces that leave by another gateway.
func TestADelegateIsNotInjected(t *testing.T) {
	t.Parallel()
	const to = ", http: [{rewrite: {authority: api.example.com}, route: [{destination: {host: api.example.com}}]}]}"
	for hosts, want := range map[string]string{"[]": "api.example.com", "[api.example.com]": gatewayService} {
		out, err := hop.Inject(route(t, "{hosts: "+hosts+to), mesh().Gateways[0], mesh(), cluster())
		require.NoError(t, err)
		assert.Equal(t, []string{want}, hostsOf(out))
	}
}

// TestNamesThatEnvoyRejects: one of them stops the listener of every proxy that imports the object.
func TestNamesThatEnvoyRejects(t *testing.T) {
	t.Parallel()
	const to = "route: [{destination: {host: local}}]"
	for name, tc := range map[string]struct{ spec, want string }{
		"two spellings of a host": {`{hosts: [good.test, GOOD.test.], http: [{` + to + `}]}`, "duplicate-host spec.hosts[1]"},
		"an SNI in upper case":    {`{hosts: [good.test], tls: [{match: [{sniHosts: [GOOD.test]}], ` + to + `}]}`, "not-canonical spec.tls[0].match"},
		"an SNI with a dot":       {`{hosts: [good.test], tls: [{match: [{sniHosts: [good.test.]}], ` + to + `}]}`, "not-canonical spec.tls[0].match"},
		"a partial wildcard":      {`{hosts: ["*.test"], tls: [{match: [{sniHosts: ["*ood.test", "*.test"]}], ` + to + `}]}`, "bad-host spec.tls[0].match"},
		"what Envoy takes":        {`{hosts: ["*.test"], tls: [{match: [{sniHosts: ["*.test", good.test]}], ` + to + `}]}`, ""},
	} {
		var got []string
		for _, refusal := range hop.CheckRoutes(egress.Resolve(route(t, tc.spec), mesh(), cluster())) {
			got = append(got, refusal.Code+" "+refusal.Field)
		}
		assert.Equal(t, tc.want, strings.Join(got, ", "), name)
	}
}

// TestTheGuidesSubsetIsLeftOut: clients of other namespaces see the route and not the subset. One that says something
// stays.
func TestTheGuidesSubsetIsLeftOut(t *testing.T) {
	t.Parallel()
	in := route(t, `{hosts: [api.example.com], gateways: [out, mesh], http: [
		{match: [{gateways: [mesh], port: 80}], route: [{destination: {host: `+gatewayService+`, subset: api, port: {number: 80}}, weight: 100}]}]}`)
	for name, tc := range map[string]struct {
		rule string
		left bool
	}{
		"no rule yet": {"", true},
		"a bare one":  {`{host: ` + gatewayService + `, subsets: [{name: api}]}`, true},
		"by labels":   {`{host: ` + gatewayService + `, subsets: [{name: api, labels: {a: b}}]}`, false},
		"with policy": {`{host: ` + gatewayService + `, subsets: [{name: api, trafficPolicy: {connectionPool: {}}}]}`, false},
	} {
		view := cluster()
		if tc.rule != "" {
			view = ruled(t, tc.rule)
		}
		out, err := hop.Inject(in, mesh().Gateways[0], mesh(), view)
		require.NoError(t, err)
		_, has := egress.Destinations(out)[0].Raw["subset"]
		assert.Equal(t, tc.left, !has, name)
		intent, err := hop.RouteIntent(out, mesh())
		require.NoError(t, err)
		assert.Equal(t, in, intent, name)
	}
	encrypting := ruled(t, `{host: "*.local", trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}`)
	encrypting.Rules[0].InForce = true
	plain := route(t, `{hosts: [api.example.com], http: [{route: [{destination: {host: api.example.com}}]}]}`)
	out, err := hop.Inject(plain, mesh().Gateways[0], mesh(), encrypting)
	require.NoError(t, err)
	assert.Equal(t, plain, out, "the gateway's Service would be called by the mesh's TLS, the sealed host is not")
}

// TestAnExportToThatIsLeftOut is the routes' own namespace where the operator says so, and comes back as the author left it.
// What gateways bind to must be seen by them.
func TestAnExportToThatIsLeftOut(t *testing.T) {
	t.Parallel()
	own := mesh()
	own.OwnNamespace = true
	for spec, want := range map[string]string{
		`{hosts: [api.example.com], http: [{route: [{destination: {host: local}}]}]}`:                                                 "[.]",
		`{hosts: [local], exportTo: [], http: [{route: [{destination: {host: local}}]}]}`:                                             "[.]",
		`{hosts: [api.example.com], exportTo: ["*"], http: [{route: [{destination: {host: api.example.com}}]}]}`:                      "[*]",
		`{hosts: [api.example.com], exportTo: [others], http: [{route: [{destination: {host: local}}]}]}`:                             "[others]",
		`{hosts: [api.example.com], gateways: [own], http: [{route: [{destination: {host: local}}]}]}`:                                "[]",
		`{hosts: [api.example.com], gateways: [own]}`:                                                                                 "[]",
		`{hosts: [api.example.com], gateways: [mesh, own], http: [{route: [{destination: {host: local}}]}]}`:                          "[]",
		`{hosts: [api.example.com], gateways: [mesh], http: [{route: [{destination: {host: api.example.com, port: {number: 80}}}]}]}`: "[.]",
	} {
		in := route(t, spec)
		out, err := hop.Inject(in, own.Gateways[0], own, cluster())
		require.NoError(t, err, spec)
		exportTo, _, _ := unstructured.NestedStringSlice(out.Object, "spec", "exportTo")
		assert.Equal(t, want, fmt.Sprint(exportTo), spec)
		intent, err := hop.RouteIntent(out, own)
		require.NoError(t, err, spec)
		assert.Equal(t, in, intent, spec)
		again, err := hop.Inject(out, own.Gateways[0], own, cluster())
		require.NoError(t, err, spec)
		assert.Equal(t, out, again, spec)
		back, err := hop.Inject(out, mesh().Gateways[0], mesh(), cluster())
		require.NoError(t, err, spec)
		as, err := hop.Inject(in, mesh().Gateways[0], mesh(), cluster())
		require.NoError(t, err, spec)
		assert.Equal(t, as, back, "the operator changed his mind: %s", spec)
	}
}

// TestRoutesOfExternalHostsAreOnesOwnBesideOtherGateways: exported, they would lead the calls of namespaces that leave by
// another gateway to this one. What names a host of the mesh's alone stays everybody's.
func TestRoutesOfExternalHostsAreOnesOwnBesideOtherGateways(t *testing.T) {
	t.Parallel()
	several := egresstest.TwoGateways()
	gw, _ := several.GatewayByName("default")
	for spec, want := range map[string]string{
		`{hosts: [api.example.com], http: [{route: [{destination: {host: api.example.com}}]}]}`:                     "[.]",
		`{hosts: [local, api.example.com], http: [{route: [{destination: {host: local}}]}]}`:                        "[.]",
		`{hosts: [local], http: [{route: [{destination: {host: local}}]}]}`:                                         "[]",
		`{hosts: [api.example.com], exportTo: [others], http: [{route: [{destination: {host: api.example.com}}]}]}`: "[others]",
		`{hosts: [api.example.com], gateways: [mesh, own], http: [{route: [{destination: {host: local}}]}]}`:        "[]",
	} {
		out, err := hop.Inject(route(t, spec), gw, several, cluster())
		require.NoError(t, err, spec)
		exportTo, _, _ := unstructured.NestedStringSlice(out.Object, "spec", "exportTo")
		assert.Equal(t, want, fmt.Sprint(exportTo), spec)
	}
}

// TestRoutesStayOnesOwnWhereAnnotationsAreFull: what the routes were cannot be remembered then, and whose calls they take is
// no question of that.
func TestRoutesStayOnesOwnWhereAnnotationsAreFull(t *testing.T) {
	t.Parallel()
	const most = 256 * 1024
	for left, remembered := range map[int]bool{120: true, 10: false} {
		in := route(t, `{hosts: [nobodys.test, api.example.com], http: [{route: [{destination: {host: api.example.com, port: {number: 80}}}]}]}`)
		in.SetAnnotations(map[string]string{"full": strings.Repeat("x", most-left-len("full"))})
		out, err := hop.Inject(in, mesh().Gateways[0], mesh(), cluster())
		require.NoError(t, err)
		exportTo, _, _ := unstructured.NestedStringSlice(out.Object, "spec", "exportTo")
		assert.Equal(t, []string{"."}, exportTo)
		assert.Equal(t, "api.example.com", egress.Destinations(out)[0].Host(), "the route stays")
		assert.Equal(t, remembered, out.GetAnnotations()[hop.IntentAnnotation] != "")
	}
}

// TestRoutesAreForOnesOwnCalls, where the hosts are others' or nobody's: exported, they would decide over the calls of
// every namespace. What gateways bind to must be seen by them, and is refused unless it leads a host to itself.
func TestRoutesAreForOnesOwnCalls(t *testing.T) {
	t.Parallel()
	view := cluster()
	theirs := egresstest.Sealed("theirs.test", egress.Port{Number: 80, Name: "http", Protocol: "HTTP"})
	theirs.Namespace = "others"
	both, below := egresstest.Sealed("both.test"), egresstest.Sealed("below.wild.theirs")
	later, wild := *both, egresstest.Sealed("*.wild.theirs")
	later.Namespace, later.Created, wild.Namespace = "others", both.Created.Add(1), "others"
	view.Known = append(view.Known, theirs, both, &later, below, wild)
	for name, tc := range map[string]struct {
		spec, exportTo, refused string
	}{
		"one's own host":             {`{hosts: [api.example.com], http: [{route: [{destination: {host: local}}]}]}`, "[]", ""},
		"another's host":             {`{hosts: [theirs.test], http: [{route: [{destination: {host: local}}]}]}`, "[.]", ""},
		"exported by name":           {`{hosts: [theirs.test], exportTo: [others], http: [{route: [{destination: {host: local}}]}]}`, "[.]", ""},
		"not exported":               {`{hosts: [theirs.test], exportTo: ["."], http: [{route: [{destination: {host: local}}]}]}`, "[.]", ""},
		"a wildcard over it":         {`{hosts: ["*.test"], http: [{route: [{destination: {host: local}}]}]}`, "[.]", ""},
		"a host that nobody names":   {`{hosts: [future.test], http: [{route: [{destination: {host: local}}]}]}`, "[.]", ""},
		"first, but not alone":       {`{hosts: [both.test], http: [{route: [{destination: {host: local}}]}]}`, "[.]", ""},
		"first, for the second":      {`{hosts: [both.test], exportTo: [others], http: [{route: [{destination: {host: local}}]}]}`, "[.]", ""},
		"first, for a third":         {`{hosts: [both.test], exportTo: [third], http: [{route: [{destination: {host: local}}]}]}`, "[third]", ""},
		"below another's wildcard":   {`{hosts: [below.wild.theirs], http: [{route: [{destination: {host: local}}]}]}`, "[.]", ""},
		"a Service":                  {`{hosts: [local], http: [{route: [{destination: {host: local}}]}]}`, "[]", ""},
		"of a gateway by name alone": {`{hosts: [theirs.test], gateways: [mesh, own], http: [{match: [{gateways: [mesh]}], route: [{destination: {host: local}}]}]}`, "[.]", ""},
		"for a gateway by match":     {`{hosts: [theirs.test], http: [{match: [{gateways: [own]}], route: [{destination: {host: local}}]}, {route: [{destination: {host: local}}]}]}`, "[.]", ""},
		"which leads elsewhere": {`{hosts: [theirs.test], gateways: [mesh, own], http: [{match: [{gateways: [mesh]}], route: [{destination: {host: local}}]}, {match: [{gateways: [own]}], route: [{destination: {host: theirs.test}}]}]}`,
			"[]", "exported-route spec.http[0]"},
		"the guides' client leg": {`{hosts: [theirs.test], gateways: [mesh, own], http: [{match: [{gateways: [mesh]}], route: [{destination: {host: ` + gatewayService + `, port: {number: 80}}}]}, {match: [{gateways: [own]}], route: [{destination: {host: theirs.test}}]}]}`,
			"[]", ""},
	} {
		in := route(t, tc.spec)
		out, err := hop.Inject(in, mesh().Gateways[0], mesh(), view)
		require.NoError(t, err, name)
		exportTo, _, _ := unstructured.NestedStringSlice(out.Object, "spec", "exportTo")
		assert.Equal(t, tc.exportTo, fmt.Sprint(exportTo), name)
		intent, err := hop.RouteIntent(out, mesh())
		require.NoError(t, err, name)
		assert.Equal(t, in, intent, name)
		again, err := hop.Inject(out, mesh().Gateways[0], mesh(), view)
		require.NoError(t, err, name)
		assert.Equal(t, out, again, name)
		var got []string
		for _, refusal := range hop.CheckRoutes(egress.Resolve(out, mesh(), view)) {
			if refusal.Code == "exported-route" {
				got = append(got, refusal.Code+" "+refusal.Field)
			}
		}
		assert.Equal(t, tc.refused, strings.Join(got, ", "), name)
	}
}

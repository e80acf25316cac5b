package egress_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

const gatewayService = egresstest.GatewayService

func mesh() *egress.Mesh { return egresstest.Mesh() }

func cluster() *egresstest.Cluster {
	out := egresstest.NewCluster()
	out.Known = []*egress.Entry{
		egresstest.Sealed("sealed.test", egress.Port{Number: 80, Protocol: "GRPC"}),
		{Namespace: "payments", Name: "bare", Hosts: []string{"bare.test"}, External: true},
		{Namespace: "payments", Name: "internal", Hosts: []string{"internal.test"}},
	}
	out.InGatewayNamespaces = []map[string]string{{"istio": "egressgateway"}, {"istio": "ingressgateway"}}
	for name, label := range map[string]string{"beside": "ingressgateway", "elsewhere": "other"} {
		out.Bindings = append(out.Bindings, &egress.Binding{Namespace: "payments", Name: name, Selector: map[string]string{"istio": label}})
	}
	return out
}

func routeFacts(t *testing.T, spec string) egress.Facts {
	t.Helper()
	vs := &unstructured.Unstructured{}
	require.NoError(t, yaml.Unmarshal([]byte("kind: VirtualService\nmetadata: {namespace: payments}\nspec: "+spec), &vs.Object))
	return egress.RouteFacts(egress.Resolve(vs, mesh(), cluster()), mesh().Gateways[0], mesh(), cluster())
}

func routes(t *testing.T, spec string) []string {
	t.Helper()
	var out []string
	for _, r := range routeFacts(t, spec).Routes {
		out = append(out, r.From+" "+r.Host+" via "+r.Via+" "+r.Gateway+" "+r.Path.String())
	}
	return out
}

func TestRouteFacts(t *testing.T) {
	t.Parallel()
	const at = " spec.http[0].route[0].destination.host"
	for name, tc := range map[string]struct {
		spec string
		want []string
	}{
		"a sealed host": {`{hosts: [sealed.test],
			http: [{route: [{destination: {host: sealed.test}}]}]}`, []string{"mesh sealed.test via gateway default" + at}},
		"a bare host": {`{hosts: [bare.test],
			http: [{route: [{destination: {host: bare.test}}]}]}`, []string{"mesh bare.test via direct " + at}},
		"a host of the mesh": {`{hosts: [x],
			http: [{route: [{destination: {host: internal.test}}]}]}`, []string{"mesh internal.test via mesh " + at}},
		"a Service by short name": {`{hosts: [x],
			http: [{route: [{destination: {host: local}}]}]}`, []string{"mesh local.payments.svc.cluster.local via mesh " + at}},
		"within the mesh, each way once": {`{hosts: [x],
			http: [{route: [{destination: {host: local}}, {destination: {host: local.payments.svc.cluster.local}}]}, {mirror: {host: local}, route: [{destination: {host: local, port: {number: 81}}}]}]}`,
			[]string{"mesh local.payments.svc.cluster.local via mesh " + at, "mesh local.payments.svc.cluster.local via mesh  spec.http[1].route[0].destination.host"}},
		"out of it, at each field": {`{hosts: [x],
			http: [{route: [{destination: {host: bare.test}}, {destination: {host: bare.test}}]}]}`,
			[]string{"mesh bare.test via direct " + at, "mesh bare.test via direct  spec.http[0].route[1].destination.host"}},
		"a host that nobody names": {`{hosts: [x],
			http: [{route: [{destination: {host: new.test}}]}]}`, []string{"mesh new.test via unregistered " + at}},
		"the exit leg by hand": {`{hosts: [sealed.test],
			gateways: [g],
			http: [{route: [{destination: {host: sealed.test}}]}]}`, []string{"gateway sealed.test via direct " + at}},
		"a gateway of its own namespace": {`{hosts: [front.test],
			gateways: [elsewhere],
			http: [{route: [{destination: {host: sealed.test}}]}]}`, []string{"gateway sealed.test via gateway default" + at}},
		"a gateway beside the egress gateway": {`{hosts: [front.test],
			gateways: [beside],
			http: [{route: [{destination: {host: sealed.test}}]}]}`, []string{"gateway sealed.test via direct " + at}},
		"a bare host from a gateway": {`{hosts: [front.test],
			gateways: [elsewhere],
			http: [{route: [{destination: {host: bare.test}}]}]}`, []string{"gateway bare.test via direct " + at}},
		"both legs in one": {`{hosts: [sealed.test],
			gateways: [g, mesh],
			http: [{route: [{destination: {host: sealed.test}}]}]}`, []string{"mesh sealed.test via gateway default" + at, "gateway sealed.test via direct " + at}},
		"the client leg by hand": {`{hosts: [sealed.test, other.test],
			http: [{route: [{destination: {host: ` + gatewayService + `}}]}]}`, []string{"mesh sealed.test via gateway default spec.hosts[0]", "mesh other.test via gateway default spec.hosts[1]"}},
		"the client leg by SNI": {`{hosts: [sealed.test],
			tls: [{match: [{sniHosts: [sealed.test]}],
				route: [{destination: {host: ` + gatewayService + `}}]}]}`, []string{"mesh sealed.test via gateway default spec.tls[0].match"}},
		"the gateway, fronted": {`{hosts: [a.test],
			http: [{rewrite: {authority: evil.test},
				route: [{destination: {host: ` + gatewayService + `}}]}]}`, []string{"mesh evil.test via gateway default spec.http[0].rewrite.authority"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tc.want, routes(t, tc.spec))
		})
	}
}

func TestRewrittenAuthorityLeaves(t *testing.T) {
	t.Parallel()
	leaves := map[string]bool{}
	for _, host := range routeFacts(t, `{hosts: [sealed.test],
		http: [{rewrite: {authority: evil.test}, route: [{destination: {host: sealed.test}}]}]}`).Hosts {
		leaves[host.Canonical] = host.Leaves
	}
	assert.Equal(t, map[string]bool{"sealed.test": true, "evil.test": true}, leaves)
}

// TestEveryAuthorityCounts: whichever of them Envoy takes, in whatever case and with a port, policy is asked for it.
func TestEveryAuthorityCounts(t *testing.T) {
	t.Parallel()
	const to = "destination: {host: sealed.test}"
	for name, spec := range map[string]string{
		"the route's own host":    `{hosts: [evil.test], http: [{route: [{` + to + `}]}]}`,
		"a rewrite with a port":   `{hosts: [sealed.test], http: [{rewrite: {authority: "evil.test:443"}, route: [{` + to + `}]}]}`,
		":Authority":              `{hosts: [sealed.test], http: [{headers: {request: {set: {":Authority": evil.test}}}, route: [{` + to + `}]}]}`,
		"HOST, added":             `{hosts: [sealed.test], http: [{headers: {request: {add: {HOST: evil.test}}}, route: [{` + to + `}]}]}`,
		"route and destination":   `{hosts: [sealed.test], http: [{headers: {request: {set: {host: sealed.test}}}, route: [{` + to + `, headers: {request: {set: {host: evil.test}}}}]}]}`,
		"rewrite and destination": `{hosts: [sealed.test], http: [{rewrite: {authority: sealed.test}, route: [{` + to + `, headers: {request: {set: {host: evil.test}}}}]}]}`,
		"two of one route":        `{hosts: [sealed.test], http: [{headers: {request: {set: {host: sealed.test, ":authority": evil.test}}}, route: [{` + to + `}]}]}`,
		"a root that delegates":   `{hosts: [sealed.test], http: [{rewrite: {authority: evil.test}, delegate: {name: x}}]}`,
		"a root's own host":       `{hosts: [evil.test], http: [{delegate: {name: x}}]}`,
		"a root of both":          `{hosts: [evil.test], gateways: [mesh, own], http: [{match: [{gateways: [own]}], delegate: {name: x}}, {delegate: {name: y}}]}`,
		"behind a Service":        `{hosts: [local], http: [{rewrite: {authority: evil.test}, route: [{destination: {host: local}}]}]}`,
	} {
		leaves := map[string]bool{}
		for _, host := range routeFacts(t, spec).Hosts {
			leaves[host.Canonical] = host.Leaves
		}
		assert.True(t, leaves["evil.test"], "%s: %v", name, leaves)
	}
	for _, host := range routeFacts(t, `{hosts: [front.test], gateways: [mesh, own], http: [{match: [{gateways: [own]}], delegate: {name: x}}]}`).Hosts {
		assert.False(t, host.Leaves, "a gateway's own name")
	}
}

func TestEntryFacts(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		entry   egress.ServiceEntry
		gateway string
		via     string
		leaves  bool
	}{
		"sealed":     {egress.ServiceEntry{}, "default", "gateway", true},
		"not sealed": {egress.ServiceEntry{}, "", "direct", true},
		"internal, shown": {
			egress.ServiceEntry{Location: "MESH_INTERNAL", Resolution: "STATIC", WorkloadSelector: map[string]any{"labels": map[string]any{"app": "x"}}}, "", "mesh", false,
		},
		"internal in name only": {egress.ServiceEntry{Location: "MESH_INTERNAL"}, "", "direct", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.entry.Hosts, tc.entry.Ports = []string{"a.test"}, []egress.Port{{Number: 443, Protocol: "TLS"}}
			sealed, _ := mesh().GatewayByName(tc.gateway)
			facts := egress.EntryFacts(&tc.entry, mesh().Gateways[0], sealed, mesh(), cluster())
			assert.Equal(t, tc.via, facts.Routes[0].Via)
			assert.Equal(t, tc.leaves, facts.Hosts[0].Leaves)
		})
	}
}

func TestCanonical(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"API.Example.com.": "api.example.com", "*.Example.com": "*.example.com", "bücher.example": "xn--bcher-kva.example",
		"*.bücher.example": "*.xn--bcher-kva.example", "*": "*", "": "",
		// A name with an empty label stays none, rather than become another's on the second look.
		"two.dots..": "two.dots..", ".": "",
	} {
		assert.Equal(t, want, egress.Canonical(host), host)
	}
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	for host, want := range map[string][]string{
		"api.example.com": {"api.example.com", "*.example.com", "*.com", "*"},
		"*.b.example.com": {"*.b.example.com", "*.example.com", "*.com", "*"},
		"com":             {"com", "*"},
		"*":               {"*"},
		".leading.test":   {".leading.test", "*.test", "*"},
	} {
		assert.Equal(t, want, egress.Patterns(host), host)
	}
}

// TestALongHostIsLittleWork: its patterns and its spelling do not take the square of what somebody writes.
func TestALongHostIsLittleWork(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a.", 100_000) + "evil.test"
	size := 0
	for _, pattern := range egress.Patterns(long)[1:] {
		size += len(pattern)
	}
	assert.LessOrEqual(t, size, egress.PatternsSize(long[len(long)-254:]))
	assert.Contains(t, egress.Patterns(long), "*.evil.test", "what a policy denies covers it all the same")
	label := strings.Repeat("\u4e00", 64)
	assert.Equal(t, "a."+label+".test", egress.Canonical("A."+label+".test"), "DNS has no such label in any spelling")
	assert.Equal(t, "xn--4gq.test", egress.Canonical("\u4e00.test"))
}

// TestEndpointsAreDestinations: where an entry really leads is among what policies judge, with the port that is called.
func TestEndpointsAreDestinations(t *testing.T) {
	t.Parallel()
	of := func(spec egress.ServiceEntry) (hosts, routes []string) {
		facts := egress.EntryFacts(&spec, mesh().Gateways[0], mesh().Gateways[0], mesh(), cluster())
		for _, host := range facts.Hosts {
			if host.Endpoint {
				assert.True(t, host.Leaves)
				hosts = append(hosts, host.Canonical+" "+host.Path.String())
			}
		}
		for _, route := range facts.Routes {
			if route.From == "gateway" {
				routes = append(routes, fmt.Sprintf("%s:%d %s", route.Host, route.Port, route.Path))
			}
		}
		return hosts, routes
	}
	port := egress.Port{Number: 80, Name: "http", Protocol: "HTTP", TargetPort: 15001}
	hosts, routes := of(egress.ServiceEntry{Hosts: []string{"a.test"}, Ports: []egress.Port{port}, Resolution: "DNS"})
	assert.Empty(t, hosts)
	assert.Equal(t, []string{"a.test:15001 spec.ports[0].targetPort"}, routes)
	hosts, routes = of(egress.ServiceEntry{Hosts: []string{"a.test"}, Ports: []egress.Port{port}, Resolution: "DNS", Endpoints: []egress.Endpoint{
		{Address: "Evil.test."}, {Address: "a.test", Ports: map[string]uint32{"http": 8080}},
	}})
	assert.Equal(t, []string{"evil.test spec.endpoints[0].address"}, hosts)
	assert.Equal(t, []string{"evil.test:15001 spec.endpoints[0].address", "a.test:8080 spec.endpoints[1].address"}, routes)
	hosts, routes = of(egress.ServiceEntry{Hosts: []string{"a.test"}, Location: "MESH_INTERNAL", Endpoints: []egress.Endpoint{{Address: "x"}}})
	assert.Empty(t, append(hosts, routes...))
}

// TestAPortIsNoPartOfAHostsSpelling: calls may be made to ask for one.
func TestAPortIsNoPartOfAHostsSpelling(t *testing.T) {
	t.Parallel()
	vs := &unstructured.Unstructured{}
	require.NoError(t, yaml.Unmarshal([]byte(`{kind: VirtualService, metadata: {namespace: payments}, spec: {hosts: [local], http: [{
		rewrite: {authority: "two.example.com:8080"}, route: [{destination: {host: `+egresstest.GatewayService+`}}]}]}}`), &vs.Object))
	mesh, view := egresstest.Mesh(), egresstest.NewCluster()
	for _, host := range egress.RouteFacts(egress.Resolve(vs, mesh, view), mesh.Gateways[0], mesh, view).Hosts {
		if host.Canonical == "two.example.com" {
			assert.Equal(t, "two.example.com", host.Host)
			return
		}
	}
	assert.Fail(t, "the host is not judged")
}

// TestWhatIsAskedForIsWhatIsMatched by its name; any other match takes calls of all hosts.
func TestWhatIsAskedForIsWhatIsMatched(t *testing.T) {
	t.Parallel()
	all := []string{"a.test", "b.test", "*.c.test", "local.payments.svc.cluster.local"}
	for match, want := range map[string][]string{
		`[{authority: {exact: a.test}}]`:                                                 {"a.test"},
		`[{authority: {exact: "a.test:8080"}}, {authority: {exact: A.test}, port: 80}]`:  {"a.test"},
		`[{authority: {exact: a.test}}, {authority: {exact: b.test}, uri: {prefix: /}}]`: {"a.test", "b.test"},
		`[{authority: {exact: x.c.test}}]`:                                               {"x.c.test"},
		`[{authority: {exact: local}}]`:                                                  {"local.payments.svc.cluster.local"},
		`[{authority: {exact: local.payments}}]`:                                         all,
		`[{authority: {prefix: a.test}}]`:                                                all,
		`[{authority: {exact: a.test}}, {uri: {prefix: /b}}]`:                            all,
		`[]`: all,
	} {
		vs := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte(`{kind: VirtualService, metadata: {namespace: payments}, spec: {hosts: [a.test, b.test, "*.c.test", local], http: [{match: `+match+`,
			route: [{destination: {host: api.example.com}}]}]}}`), &vs.Object))
		var got []string
		for _, target := range egress.Resolve(vs, egresstest.Mesh(), egresstest.NewCluster()).Routes[0].Targets {
			assert.True(t, target.OfSpec, match)
			got = append(got, target.Canonical)
		}
		assert.Equal(t, want, got, match)
	}
}

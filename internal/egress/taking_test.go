package egress_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// TestAHostIsNotTakenByRoutesThatWereThereFirst: of another namespace, and seen by those who see the entry.
func TestAHostIsNotTakenByRoutesThatWereThereFirst(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		host string
		by   egress.Seen
		want int
	}{
		"for everybody":       {"api.example.com", egress.Seen{Namespace: "evil", Name: "x"}, 1},
		"by a wildcard":       {"*.example.com", egress.Seen{Namespace: "evil", Name: "x"}, 1},
		"for this namespace":  {"api.example.com", egress.Seen{Namespace: "evil", Name: "x", ExportTo: []string{egresstest.Namespace}}, 1},
		"for another":         {"api.example.com", egress.Seen{Namespace: "evil", Name: "x", ExportTo: []string{"."}}, 0},
		"of the namespace":    {"api.example.com", egress.Seen{Namespace: egresstest.Namespace, Name: "x"}, 0},
		"of a host beside it": {"www.example.com", egress.Seen{Namespace: "evil", Name: "x"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			view := egresstest.NewCluster()
			view.Takes = map[string][]*egress.Seen{tc.host: {&tc.by}}
			entry := egresstest.Sealed("api.example.com", egress.Port{Number: 80, Name: "http", Protocol: "HTTP"})
			entry.ExportTo = []string{"."}
			got := 0
			if by := entry.TakenBy("api.example.com", view); by != nil {
				got = 1
				assert.Equal(t, "VirtualService "+tc.by.Namespace+"/x", by.String())
			}
			assert.Equal(t, tc.want, got)
		})
	}
}

// TestRoutesForGatewaysTooTakeCalls of all who see them, unless they leave these as they are: by whichever field they would not.
func TestRoutesForGatewaysTooTakeCalls(t *testing.T) {
	t.Parallel()
	const (
		itself  = `route: [{destination: {host: a.test}}]`
		toPort  = `route: [{destination: {host: a.test, port: {number: 80}}}]`
		local   = `route: [{destination: {host: local}}]`
		hop     = `route: [{destination: {host: ` + gatewayService + `, subset: a, port: {number: 80}}, weight: 100}]`
		byHop   = `{match: [{gateways: [mesh], port: 80}], ` + hop + `}`
		onwards = `{match: [{gateways: [own], port: 80}], ` + toPort + `}`
	)
	for spec, taken := range map[string]bool{
		`gateways: [mesh, own], http: [{` + itself + `}]`:                                                                                     false,
		`gateways: [mesh, own], http: [{` + local + `}]`:                                                                                      true,
		`gateways: [own], http: [{` + local + `}]`:                                                                                            false,
		`http: [{match: [{gateways: [own]}], ` + local + `}, {` + local + `}]`:                                                                false,
		`gateways: [mesh, own], http: [{match: [{gateways: [own]}], ` + local + `}]`:                                                          false,
		`gateways: [mesh, own], http: [` + byHop + `, ` + onwards + `]`:                                                                       false,
		`gateways: [mesh, own], http: [{match: [{port: 80}], ` + toPort + `}]`:                                                                false,
		`gateways: [mesh, own], http: [{match: [{port: 80}, {port: 81}], ` + toPort + `}]`:                                                    true,
		`gateways: [mesh, own], http: [{` + toPort + `}]`:                                                                                     true,
		`gateways: [mesh, own], http: [{match: [{uri: {exact: /never}}], ` + itself + `}]`:                                                    true,
		`gateways: [mesh, own], http: [{match: [{sourceLabels: {app: x}}], ` + itself + `}]`:                                                  true,
		`gateways: [mesh, own], http: [{directResponse: {status: 200}}]`:                                                                      true,
		`gateways: [mesh, own], http: [{redirect: {authority: b.test}}]`:                                                                      true,
		`gateways: [mesh, own], http: [{delegate: {name: d}}]`:                                                                                true,
		`gateways: [mesh, own], http: [{headers: {request: {set: {host: b.test}}}, ` + itself + `}]`:                                          true,
		`gateways: [mesh, own], http: [{fault: {abort: {httpStatus: 503}}, ` + itself + `}]`:                                                  true,
		`gateways: [mesh, own], http: [{` + strings.Replace(hop, "80", "81", 1) + `}]`:                                                        true,
		`gateways: [mesh, own], http: [{route: [{destination: {host: a.test, subset: b}}]}]`:                                                  true,
		`gateways: [mesh, own], tls: [{match: [{port: 443, sniHosts: [a.test]}], ` + itself + `}]`:                                            false,
		`gateways: [mesh, own], tls: [{match: [{port: 443, sniHosts: [x.a.test]}], ` + itself + `}]`:                                          true,
		`gateways: [mesh, own], tcp: [{` + itself + `}]`:                                                                                      true,
		`gateways: [mesh, own], http: [{` + itself + `}], tls: [{match: [{gateways: [mesh], port: 443, sniHosts: [a.test]}], ` + local + `}]`: true,
	} {
		vs := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte("metadata: {namespace: evil}\nspec: {hosts: [a.test], "+spec+"}"), &vs.Object))
		var want []string
		if taken {
			want = []string{"a.test"}
		}
		assert.Equal(t, want, egress.Takes(vs, mesh()), spec)
	}
}

// TestWhoseCallsAreANamespacesOwnToRoute: of those who call by its entry, be that exported to all, to some, or to it alone, and of those whom no
// entry of another namespace serves. Routes that gateways must see may be for hosts that nobody has an entry of.
func TestWhoseCallsAreANamespacesOwnToRoute(t *testing.T) {
	t.Parallel()
	of := func(namespace, host string, exportTo ...string) *egress.Entry {
		out := egresstest.Sealed(host, egress.Port{Number: 80, Protocol: "HTTP"})
		out.Namespace, out.ExportTo = namespace, exportTo
		return out
	}
	view := &egresstest.Cluster{Known: []*egress.Entry{
		of("payments", "ours.test"), of("payments", "private.test", "."), of("payments", "named.test", "shop", "."),
		of("payments", "first.test", "."), of("other", "first.test"), of("payments", "below.wild.test", "."), of("other", "*.wild.test"),
		of("other", "theirs.test", "third"), of("payments", "theirs.test"), of("payments", "*.ours.test"), of("payments", "*.net"),
	}}
	for name, tc := range map[string]struct {
		host, exportTo string
		own, bound     bool
	}{
		"its own":                          {"ours.test", `["*"]`, true, true},
		"below its wildcard":               {"x.ours.test", `["*"]`, true, true},
		"its wildcard":                     {"*.ours.test", `["*"]`, true, true},
		"nobody's":                         {"nobodys.test", `["*"]`, false, true},
		"a registry's":                     {"*.net", `["*"]`, false, false},
		"below a registry's":               {"x.net", `["*"]`, false, true},
		"over its own, without a name":     {"*.test", `[shop]`, false, false},
		"unseen":                           {"private.test", `["*"]`, true, true},
		"unseen by name":                   {"private.test", `[shop]`, true, true},
		"seen by name":                     {"named.test", `[shop]`, true, true},
		"seen by some":                     {"named.test", `["*"]`, true, true},
		"the first, for clients of others": {"first.test", `[shop]`, false, false},
		"below another's wildcard":         {"below.wild.test", `[shop]`, false, false},
		"another's by name":                {"theirs.test", `[third]`, false, false},
		"another's by name, for others":    {"theirs.test", `[shop]`, true, true},
	} {
		for gateways, want := range map[string]bool{"mesh": tc.own, "mesh, own": tc.bound} {
			vs := &unstructured.Unstructured{}
			require.NoError(t, yaml.Unmarshal([]byte("metadata: {namespace: payments}\nspec: {hosts: ['"+tc.host+"'], exportTo: "+tc.exportTo+", gateways: ["+gateways+"], http: [{redirect: {}}]}"), &vs.Object))
			resolved := egress.Resolve(vs, mesh(), view)
			assert.Equal(t, want, len(resolved.Others) == 0, "%s, %s", name, gateways)
			assert.Equal(t, !want && gateways != "mesh", len(resolved.Taking) > 0, "%s, %s", name, gateways)
		}
	}
}

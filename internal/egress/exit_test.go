package egress_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// defines is an entry of the shared host, in the order of creation.
func defines(second int64, name string, spec egress.ServiceEntry) *egress.Entry {
	return &egress.Entry{
		Namespace: "apps", Name: name, Created: time.Unix(second, 0), Hosts: []string{shared}, External: true, Gateway: "default", Transport: egress.Plain,
		Ports: spec.Ports, Definition: spec.Define(),
	}
}

func on(numbers string, protocol string) (out []egress.Port) {
	for _, number := range strings.Fields(numbers) {
		var n uint32
		for _, digit := range number {
			n = 10*n + uint32(digit-'0')
		}
		out = append(out, egress.Port{Number: n, Name: protocol + number, Protocol: protocol})
	}
	return out
}

func ported(ports ...[]egress.Port) egress.ServiceEntry {
	out := egress.ServiceEntry{Resolution: "DNS"}
	for _, some := range ports {
		out.Ports = append(out.Ports, some...)
	}
	return out
}

func noRules(string) *egress.Rule { return nil }

// exitPorts is the union in words, such as 80/HTTP 443/TLS>8443.
func exitPorts(exit *egress.Exit) string {
	var out []string
	for _, port := range exit.Definition.Ports {
		word := port.Name
		if port.TargetPort != 0 {
			word += ">"
		}
		out = append(out, word)
	}
	return strings.Join(out, " ")
}

// TestAnExitIsTheUnion: every application brings its own entry of a host, and each opens its own ports. Only what cannot
// both be true is a contradiction.
func TestAnExitIsTheUnion(t *testing.T) {
	t.Parallel()
	http, tls := on("80", "HTTP"), on("443", "TLS")
	static := func(ports []egress.Port, addresses ...string) egress.ServiceEntry {
		out := egress.ServiceEntry{Resolution: "STATIC", Ports: ports}
		for _, address := range addresses {
			out.Endpoints = append(out.Endpoints, egress.Endpoint{Address: address})
		}
		return out
	}
	to := func(port uint32) egress.ServiceEntry {
		return egress.ServiceEntry{Resolution: "DNS", Ports: []egress.Port{{Number: 80, Name: "p", Protocol: "HTTP", TargetPort: port}}}
	}
	withResolution := func(resolution string) egress.ServiceEntry {
		return egress.ServiceEntry{Resolution: resolution, Ports: tls}
	}
	for name, tc := range map[string]struct {
		first, second egress.ServiceEntry
		union, reason string
	}{
		"disjoint":                    {ported(tls), ported(http), "http-80 tls-443", ""},
		"superset":                    {ported(tls), ported(http, tls), "http-80 tls-443", ""},
		"subset":                      {ported(tls, http), ported(http), "http-80 tls-443", ""},
		"TLS there and HTTPS here":    {ported(tls), ported(on("443", "HTTPS")), "tls-443", ""},
		"gRPC there and HTTP2 here":   {ported(on("50051", "GRPC")), ported(on("50051", "HTTP2")), "http2-50051", ""},
		"several HTTP ports":          {ported(http), ported(on("8080", "HTTP"), on("9090", "HTTP2")), "http-80 http-8080 http2-9090", ""},
		"DNS and DNS_ROUND_ROBIN":     {withResolution("DNS"), withResolution("DNS_ROUND_ROBIN"), "tls-443", ""},
		"NONE and DNS":                {withResolution("NONE"), withResolution("DNS"), "tls-443", ""},
		"endpoints in another order":  {static(http, "192.0.2.1", "192.0.2.2"), static(tls, "192.0.2.2", "192.0.2.1"), "http-80 tls-443", ""},
		"another protocol":            {ported(http), ported(on("80", "HTTP2")), "http-80", "port 80 is HTTP there and HTTP2 here"},
		"another family":              {ported(tls), ported(on("443", "HTTP")), "tls-443", "port 443 is TLS there and HTTP here"},
		"another target port":         {to(8080), to(8081), "http-80>", "port 80 leads to another port there"},
		"a second TLS port":           {ported(tls), ported(on("8443", "TLS")), "tls-443", "TLS is on port 443 there and on port 8443 here, and a gateway that goes by SNI has one for both"},
		"STATIC and DNS":              {static(tls, "192.0.2.1"), ported(tls), "tls-443", "its resolution is STATIC there and DNS here"},
		"other endpoints":             {static(tls, "192.0.2.1"), static(tls, "192.0.2.66"), "tls-443", "its endpoints are others"},
		"one more endpoint":           {static(tls, "192.0.2.1"), static(tls, "192.0.2.1", "192.0.2.66"), "tls-443", "its endpoints are others"},
		"another port at an endpoint": {egress.ServiceEntry{Resolution: "STATIC", Ports: http, Endpoints: []egress.Endpoint{{Address: "192.0.2.1", Ports: map[string]uint32{"HTTP80": 8080}}}}, static(http, "192.0.2.1"), "http-80", "port 80 leads to another port there"},
	} {
		first, second := defines(1, "first", tc.first), defines(2, "second", tc.second)
		exit := egresstest.TwoGateways().ExitOf([]*egress.Entry{first, second}, "istio-system", noRules)
		require.NotNil(t, exit, name)
		assert.Equal(t, tc.union, exitPorts(exit), name)
		against := exit.Against(second.Definition)
		assert.Equal(t, tc.reason, against.Reason, name)
		assert.Equal(t, tc.reason == "", exit.Covers(second.Definition), name)
		if tc.reason != "" {
			assert.Equal(t, "first", against.Owner.Name, name)
			assert.Len(t, exit.Members, 1, name)
		}
	}
}

// TestAnExitWithAndWithoutItsEntries: one that leaves takes with it what it alone defined, and what stood against
// another; a contradiction names the entry that says so, not the oldest.
func TestAnExitWithAndWithoutItsEntries(t *testing.T) {
	t.Parallel()
	tls, http, http2 := defines(1, "tls", ported(on("443", "TLS"))), defines(2, "http", ported(on("80", "HTTP"))), defines(3, "http2", ported(on("80", "HTTP2")))
	mesh := egresstest.TwoGateways()
	exit := mesh.ExitOf([]*egress.Entry{tls, http, http2}, "istio-system", noRules)
	assert.Equal(t, "http-80 tls-443", exitPorts(exit))
	assert.Same(t, http, exit.Against(http2.Definition).Owner)
	assert.Same(t, tls, exit.Owner())
	assert.Equal(t, "tls-443", exitPorts(exit.Without("apps", "http")))
	assert.Same(t, exit, exit.Without("apps", "nobody"))
	assert.Equal(t, "http2-80", exitPorts(mesh.ExitOf([]*egress.Entry{http2}, "istio-system", noRules)))
	assert.Nil(t, mesh.ExitOf([]*egress.Entry{tls}, "elsewhere", noRules), "of other gateways")
	assert.Nil(t, mesh.ExitOf([]*egress.Entry{tls}, "istio-system", noRules).Without("apps", "tls"))
	var none *egress.Exit
	assert.Zero(t, none.Against(tls.Definition))
	assert.Nil(t, none.Owner())
	assert.False(t, none.Covers(tls.Definition) || none.Serves(egress.Leg{Gateway: "default", Transport: egress.Plain}))
}

// TestEndpointsKeepThePortsOfAll: each entry says where the endpoints take its own ports.
// TestAnExitHasNoMorePortsThanAnEntryMay: whoever comes with one too many has no part, and freezes nobody's exit.
func TestAnExitHasNoMorePortsThanAnEntryMay(t *testing.T) {
	t.Parallel()
	many := func(from uint32) egress.ServiceEntry {
		out := egress.ServiceEntry{Resolution: "DNS"}
		for i := range uint32(128) {
			out.Ports = append(out.Ports, egress.Port{Number: from + i, Name: fmt.Sprintf("http-%d", from+i), Protocol: "HTTP"})
		}
		return out
	}
	entries := []*egress.Entry{
		defines(1, "first", many(1000)), defines(2, "second", many(2000)), defines(3, "one-more", ported(on("80", "HTTP"))), defines(4, "known", ported(on("1000 2000", "HTTP"))),
	}
	exit := egresstest.Mesh().ExitOf(entries, "istio-system", noRules)
	assert.Len(t, exit.Definition.Ports, 256)
	var members []string
	for _, member := range exit.Members {
		members = append(members, member.Name)
	}
	assert.Equal(t, []string{"first", "second", "known"}, members)
	against := exit.Against(entries[2].Definition)
	assert.True(t, against.TooMany)
	assert.Equal(t, "first", against.Owner.Name)
	assert.Contains(t, against.Reason, "257 ports")
}

func TestEndpointsKeepThePortsOfAll(t *testing.T) {
	t.Parallel()
	spec := func(port egress.Port, at uint32) egress.ServiceEntry {
		return egress.ServiceEntry{
			Resolution: "STATIC", Ports: []egress.Port{port},
			Endpoints: []egress.Endpoint{{Address: "192.0.2.1", Ports: map[string]uint32{port.Name: at}}},
		}
	}
	exit := egresstest.Mesh().ExitOf([]*egress.Entry{
		defines(1, "a", spec(on("80", "HTTP")[0], 8080)), defines(2, "b", spec(on("443", "TLS")[0], 8443)),
	}, "istio-system", noRules)
	assert.Equal(t, map[string]uint32{"http-80": 8080, "tls-443": 8443}, exit.Definition.Endpoints[0].Ports)
}

// TestATerminatingEntryHoldsNoHost against others, however old it is.
func TestATerminatingEntryHoldsNoHost(t *testing.T) {
	t.Parallel()
	leaving, staying := defines(1, "leaving", ported(on("443", "TLS"))), defines(2, "staying", ported(on("443", "HTTP")))
	leaving.Terminating = true
	exit := egresstest.Mesh().ExitOf([]*egress.Entry{leaving, staying}, "istio-system", noRules)
	assert.Same(t, staying, exit.Owner())
	assert.Same(t, staying, exit.Against(leaving.Definition).Owner)
	assert.Same(t, leaving, egresstest.Mesh().ExitOf([]*egress.Entry{leaving}, "istio-system", noRules).Owner(), "alone it is still carried")
}

// TestAnExitGrowsAsIfItWereMadeAnew, where it can; and who has the one before still has it.
func TestAnExitGrowsAsIfItWereMadeAnew(t *testing.T) {
	t.Parallel()
	mesh := egresstest.TwoGateways()
	first, second := defines(1, "first", ported(on("443", "TLS"))), defines(2, "second", ported(on("80", "HTTP")))
	entries := []*egress.Entry{first, second}
	exit := mesh.ExitOf(entries, "istio-system", noRules)
	like := defines(3, "like", ported(on("80", "HTTP")))
	grown, ok := exit.With(like, nil)
	require.True(t, ok)
	anew := mesh.ExitOf(append(entries, like), "istio-system", noRules)
	assert.Equal(t, anew.Members, grown.Members)
	leads, names := anew.SameAs(grown)
	assert.True(t, leads && names)
	assert.Len(t, exit.Members, 2)
	for name, entry := range map[string]*egress.Entry{
		"another definition": defines(3, "x", ported(on("8080", "HTTP"))), "a contradiction": defines(3, "x", ported(on("80", "HTTP2"))),
		"another gateway": func() *egress.Entry { out := *like; out.Gateway = "pci"; return &out }(),
		"on its way out":  func() *egress.Entry { out := *like; out.Terminating = true; return &out }(),
	} {
		_, ok := exit.With(entry, nil)
		assert.False(t, ok, name)
	}
	_, ok = exit.With(like, ruling("apps", tlsMode("SIMPLE")))
	assert.False(t, ok, "under another rule")
}

// TestAnExitGrowsByOneThatIsNotTheYoungest: entries of one second come in any order.
func TestAnExitGrowsByOneThatIsNotTheYoungest(t *testing.T) {
	t.Parallel()
	mesh := egresstest.Mesh()
	first, second, last := defines(10, "first", ported(on("443", "TLS"))), defines(20, "second", ported(on("80", "HTTP"))), defines(50, "last", ported(on("80", "HTTP")))
	exit := mesh.ExitOf([]*egress.Entry{first, second, last}, "istio-system", noRules)
	between := defines(30, "between", ported(on("80", "HTTP")))
	grown, ok := exit.With(between, nil)
	require.True(t, ok)
	for gone, anew := range map[string]*egress.Exit{
		"nobody": mesh.ExitOf([]*egress.Entry{first, second, between, last}, "istio-system", noRules),
		"first":  mesh.ExitOf([]*egress.Entry{second, between, last}, "istio-system", noRules),
		"second": mesh.ExitOf([]*egress.Entry{first, between, last}, "istio-system", noRules),
	} {
		leads, names := anew.SameAs(grown.Without("apps", gone))
		assert.True(t, leads && names, "without %s", gone)
	}
	for name, entry := range map[string]*egress.Entry{
		"the oldest": defines(5, "x", ported(on("443", "TLS"))), "the oldest of a port": defines(15, "x", ported(on("80", "HTTP"))),
	} {
		_, ok := exit.With(entry, nil)
		assert.False(t, ok, name)
	}
}

// TestAnExitHasSettingsThatAllAgreeOn: those of one namespace, were it the first, are not for the calls of others.
func TestAnExitHasSettingsThatAllAgreeOn(t *testing.T) {
	t.Parallel()
	rule := func(namespace string, settings map[string]any) *egress.Rule {
		return &egress.Rule{Namespace: namespace, Name: "r", Host: shared, Policy: settings}
	}
	pool, ejection := func(most int64) map[string]any { return map[string]any{"tcp": map[string]any{"maxConnections": most}} }, map[string]any{"consecutive5xxErrors": int64(1)}
	first := map[string]any{"connectionPool": pool(1), "outlierDetection": ejection}
	for name, tc := range map[string]struct {
		second   map[string]any
		alike    bool
		observed bool
		want     map[string]any
	}{
		"of one namespace":         {alike: true, want: first},
		"none of the second's":     {want: nil},
		"the same":                 {second: map[string]any{"outlierDetection": ejection, "connectionPool": pool(1), "loadBalancer": map[string]any{"simple": "RANDOM"}}, want: first},
		"one of two":               {second: map[string]any{"outlierDetection": ejection, "connectionPool": pool(2)}, want: map[string]any{"outlierDetection": ejection}},
		"for the port":             {second: map[string]any{"portLevelSettings": []any{map[string]any{"port": map[string]any{"number": int64(80)}, "connectionPool": pool(1)}}}, want: map[string]any{"connectionPool": pool(1)}},
		"for another port":         {second: map[string]any{"portLevelSettings": []any{map[string]any{"port": map[string]any{"number": int64(81)}, "connectionPool": pool(1)}}}, want: nil},
		"whoever is observed only": {observed: true, want: first},
	} {
		owner, other := defines(1, "owner", ported(on("80", "HTTP"))), defines(2, "other", ported(on("80", "HTTP")))
		if other.Observed = tc.observed; !tc.alike {
			other.Namespace = "others"
		}
		rules := map[string]*egress.Rule{"apps": rule("apps", first), "others": nil}
		if tc.second != nil {
			rules["others"] = rule("others", tc.second)
		}
		of := func(namespace string) *egress.Rule { return rules[namespace] }
		exit := egresstest.Mesh().ExitOf([]*egress.Entry{owner, other}, "istio-system", of)
		assert.Equal(t, tc.want, exit.Rule.Beyond(80), name)
		alone := egresstest.Mesh().ExitOf([]*egress.Entry{owner}, "istio-system", of)
		assert.Equal(t, first, alone.Rule.Beyond(80), name)
		if more, is := alone.With(other, rules[other.Namespace]); is {
			assert.Equal(t, exit.Rule, more.Rule, name)
		}
		assert.Equal(t, first, exit.Without(other.Namespace, other.Name).Rule.Beyond(80), name+": once the other is gone")
		assert.Equal(t, tc.want == nil || len(tc.want) == 1, exit.Disagrees("apps", 80, "connectionPool", pool(1)) == "others" || exit.Disagrees("apps", 80, "outlierDetection", ejection) == "others", name)
	}
}

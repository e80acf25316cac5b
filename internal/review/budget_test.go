package review

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// listed is a list of n items, as a format makes them of their numbers.
func listed(format string, n int) string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf(format, i)
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// TestWhatIsComparedOfRoutesIsBounded, though hosts, ports, clients, rivals and routes multiply, and nothing is told of part of it.
func TestWhatIsComparedOfRoutesIsBounded(t *testing.T) {
	view := egresstest.NewCluster()
	for i := range 5 {
		view.Known = append(view.Known, egresstest.Sealed(fmt.Sprintf("h%d.evil.test", i), egress.Port{Number: 443, Name: "tls", Protocol: "TLS"}))
	}
	r := &Reviewer{Mesh: egresstest.Mesh(), View: view, Policies: &policies{}}
	kinds := listed("{match: [{port: 443, sniHosts: ['*.evil.test', 'a%d.evil.test']}], route: [{destination: {host: local}}]}", 50)
	spec := fmt.Sprintf("{hosts: %s, exportTo: %s, tls: %s}", listed("h%d.evil.test", 5), listed("ns%d", 5), kinds)
	for i := range 10 {
		other := aged(t, "payments", fmt.Sprintf("other%d", i), spec, int64(i+2))
		view.Stored = append(view.Stored, egress.ReadRival(other, r.Mesh))
	}
	subject := &subject{Request: create(aged(t, "payments", "x", spec, 1)), Reviewer: r}
	assert.Less(t, testing.AllocsPerRun(1, func() { assert.Empty(t, rivals(subject), "what is left of them is not compared") }), 50_000.0)
	view.Stored = view.Stored[:1]
	assert.NotEmpty(t, rivals(subject), "or the test is none")
}

// TestOfTooManyKindsOfRoutesNothingIsTold: of part of them it might be wrong.
func TestOfTooManyKindsOfRoutesNothingIsTold(t *testing.T) {
	t.Parallel()
	for kinds, told := range map[int]int{50: 1, 150: 0} {
		view := egresstest.NewCluster()
		r := &Reviewer{Mesh: egresstest.Mesh(), View: view, Policies: &policies{}}
		routes := listed("{match: [{sniHosts: [tls.example.com, 'a%d.test']}], route: [{destination: {host: tls.example.com}}]}", kinds)
		spec := "{hosts: [tls.example.com], tls: " + routes + "}"
		view.Stored = []*egress.Rival{egress.ReadRival(aged(t, "payments", "other", spec, 1), r.Mesh)}
		assert.Len(t, rivals(&subject{Request: create(aged(t, "payments", "x", spec, 0)), Reviewer: r}), told, kinds)
	}
}

// TestSNIsAreASet: in another order, and twice, they are for the same calls.
func TestSNIsAreASet(t *testing.T) {
	t.Parallel()
	view := egresstest.NewCluster()
	r := &Reviewer{Mesh: egresstest.Mesh(), View: view, Policies: &policies{}}
	const spec = "{hosts: [tls.example.com], tls: [{match: [{sniHosts: [%s]}], route: [{destination: {host: tls.example.com}}]}]}"
	view.Stored = []*egress.Rival{egress.ReadRival(aged(t, "payments", "other", fmt.Sprintf(spec, "tls.example.com, a.test"), 1), r.Mesh)}
	assert.Len(t, rivals(&subject{Request: create(aged(t, "payments", "x", fmt.Sprintf(spec, "a.test, TLS.example.com, a.test"), 0)), Reviewer: r}), 1)
}

// counting counts what is asked of the routes and rules of others.
type counting struct {
	*egresstest.Cluster
	asked int
}

func (c *counting) Mapped(of egress.Mapping) []*egress.Seen {
	c.asked++
	return c.Cluster.Mapped(of)
}

func (c *counting) Rule(namespace, host string) *egress.Rule {
	c.asked++
	return c.Cluster.Rule(namespace, host)
}

// TestWhatIsAskedOfOthersIsBounded, though hosts, ports and clients multiply: those count that have rules or routes, and these to a bound.
func TestWhatIsAskedOfOthersIsBounded(t *testing.T) {
	t.Parallel()
	const hosts, ports, clients = 20, 100, 100
	for ruled, most := range map[bool]int{false: 10 * hosts * ports, true: 5 * maxPairs} {
		_, cluster := besideApp(t, egress.Plain, "")
		for i := range clients {
			name := fmt.Sprintf("ns%d", i)
			cluster.Namespaces[name] = nil
			if ruled {
				cluster.Rules = append(cluster.Rules, ruleOf(t, cluster.Mesh, name, "{host: '*.evil.test', trafficPolicy: {connectionPool: {tcp: {maxConnections: 9}}}}"))
			}
		}
		view := &counting{Cluster: cluster}
		spec := fmt.Sprintf("{hosts: %s, exportTo: %s, resolution: DNS, ports: %s}", listed("h%d.evil.test", hosts), listed("ns%d", clients), listed("{number: 1%03d, name: http-%[1]d, protocol: HTTP}", ports))
		r := &Reviewer{Mesh: cluster.Mesh, View: view, Policies: &policies{}}
		outcome, err := r.Review(t.Context(), stored(t, r, create(entry(t, spec))))
		require.NoError(t, err)
		assert.Equal(t, Allowed, outcome.Verdict, outcome.Message())
		assert.Greater(t, view.asked, hosts*ports, "or the test is none")
		assert.Less(t, view.asked, most, ruled)
	}
}

// TestWhoCallsByAnotherIsBounded: each list of clients is gone over once for each host.
func TestWhoCallsByAnotherIsBounded(t *testing.T) {
	view := egresstest.NewCluster()
	const hosts, clients, others = 5, 100, 40
	for i := range others {
		other := egresstest.Sealed("h0.evil.test", egress.Port{Number: 443, Name: "tls", Protocol: "TLS"})
		other.Namespace, other.Name, other.Gateway = "other", fmt.Sprintf("e%d", i), ""
		for k := range hosts {
			other.Hosts = append(other.Hosts, fmt.Sprintf("h%d.evil.test", k))
		}
		other.Hosts = slices.Compact(other.Hosts)
		for k := range clients {
			other.ExportTo = append(other.ExportTo, fmt.Sprintf("ns%d", k))
		}
		view.Known = append(view.Known, other)
	}
	r := &Reviewer{Mesh: egresstest.Mesh(), View: view, Policies: &policies{}}
	spec := fmt.Sprintf("{hosts: %s, exportTo: %s, resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}", listed("h%d.evil.test", hosts), listed("ns%d", clients))
	subject := &subject{Request: create(entry(t, spec)), Reviewer: r}
	subject.intent = subject.Object
	intent, err := subject.entry()
	require.NoError(t, err)
	for name, look := range map[string]func(){
		"taken":     func() { _ = taken(subject, intent) },
		"keepCalls": func() { assert.Empty(t, keepCalls(subject, intent)) },
	} {
		assert.Less(t, testing.AllocsPerRun(1, look), 600.0+others*hosts*3, name)
	}
}

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

// TestWorkIsBoundedBeforeItBegins: a manifest of two long lists is refused without a question to the cluster.
func TestWorkIsBoundedBeforeItBegins(t *testing.T) {
	t.Parallel()
	list := func(n int, format string) string {
		out := make([]string, n)
		for i := range out {
			out[i] = strings.ReplaceAll(format, "N", fmt.Sprint(i+1))
		}
		return "[" + strings.Join(out, ", ") + "]"
	}
	toGateway := "{route: [{destination: {host: " + egresstest.GatewayService + "}}]}"
	for name, object := range map[string]string{
		"hosts and routes":       "{hosts: " + list(1000, "hN.test") + ", http: " + list(1000, toGateway) + "}",
		"hosts and destinations": "{hosts: " + list(1000, "hN.test") + ", http: [{route: " + list(51, "{destination: {host: x.test}}") + "}]}",
	} {
		view := egresstest.NewCluster()
		r := &Reviewer{Mesh: egresstest.Mesh(), View: view, Policies: &policies{}}
		req := create(routes(t, object))
		_, err := r.Rewrite(req)
		require.Error(t, err, name)
		outcome, err := r.Review(t.Context(), req)
		require.NoError(t, err, name)
		assert.Equal(t, Refused, outcome.Verdict, name)
		assert.Equal(t, "too-large spec.hosts", outcome.Findings[0].Code+" "+outcome.Findings[0].Field, name)
		assert.Zero(t, view.Asked, name)
	}
	endpoints := entry(t, "{hosts: "+list(256, "hN.test")+", endpoints: "+list(200, "{address: 192.0.2.N}")+"}")
	assert.NotEmpty(t, boundEntry(endpoints))
	assert.NotEmpty(t, boundEntry(entry(t, "{hosts: "+list(256, "hN.test")+", exportTo: "+list(200, "nN")+"}")))
	assert.Empty(t, boundEntry(entry(t, "{hosts: "+list(256, "hN.test")+", ports: "+list(128, "{number: N}")+"}")))
	assert.Empty(t, slices.Concat(boundRoutes(routes(t, "{}")), boundEntry(entry(t, "null"))))
}

// TestANamespaceHasSoManyHosts: the objects that its exits take are bounded, and what is stored may be written.
func TestANamespaceHasSoManyHosts(t *testing.T) {
	t.Parallel()
	mesh := egresstest.Mesh()
	mesh.MaxHosts = 3
	known := egresstest.Sealed("a.test", egress.Port{Number: 443, Name: "tls", Protocol: "TLS"})
	known.Hosts = []string{"a.test", "b.test"}
	r := &Reviewer{Mesh: mesh, View: &egresstest.Cluster{Known: []*egress.Entry{known}}, Policies: &policies{}}
	const ports = ", resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}"
	for hosts, want := range map[string][]string{"[c.test]": nil, "[c.test, d.test]": {"too-many-hosts spec.hosts"}} {
		outcome, err := r.Review(t.Context(), stored(t, r, create(entry(t, "{hosts: "+hosts+ports))))
		require.NoError(t, err)
		assert.Equal(t, want, codes(outcome), hosts)
	}
	req := stored(t, r, create(entry(t, "{hosts: [c.test, d.test]"+ports)))
	req.Operation, req.Old = Update, req.Object.DeepCopy()
	outcome, err := r.Review(t.Context(), req)
	require.NoError(t, err)
	assert.Empty(t, codes(outcome))
}

// BenchmarkLargestRoutes is the largest VirtualService that is looked at.
func BenchmarkLargestRoutes(b *testing.B) {
	var hosts, list []string
	for i := range 223 {
		hosts = append(hosts, fmt.Sprintf("h%d.test", i))
		list = append(list, "{route: [{destination: {host: "+egresstest.GatewayService+"}}]}")
	}
	r := &Reviewer{Mesh: egresstest.Mesh(), View: egresstest.NewCluster(), Policies: &policies{}}
	req := create(routes(b, "{hosts: ["+strings.Join(hosts, ", ")+"], http: ["+strings.Join(list, ", ")+"]}"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Review(b.Context(), req); err != nil {
			b.Fatal(err)
		}
	}
}

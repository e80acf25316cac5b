package review

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// TestWhatIsKeptOfANamespaceIsBounded: its routes and its rules, however many objects they are spread over; what is stored may be
// written, and made less.
func TestWhatIsKeptOfANamespaceIsBounded(t *testing.T) {
	t.Parallel()
	mesh := egresstest.Mesh()
	mesh.MaxHosts = 1
	view := &egresstest.Cluster{Led: 8, Known: []*egress.Entry{{Namespace: "payments", Name: "other", ExportTo: make([]string, 47)}}, Rules: []*egress.Rule{{Namespace: "payments", Name: "other", Host: "other.test", Policy: map[string]any{"x": make([]any, 44)}}}}
	r := &Reviewer{Mesh: mesh, View: view, Policies: &policies{}}
	ruleOf := func(host, subset string) string {
		return "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: x, namespace: payments}\nspec: {host: " + host + ", subsets: [{name: a, labels: {" + subset + "}}]}"
	}
	rule := func(subset string) string { return ruleOf("a.test", subset) }
	few, many := object(t, rule("a: b")), object(t, rule("a: b, c: d, e: f"))
	led := func(hosts string) string {
		return "{hosts: [" + hosts + "], http: [{route: [{destination: {host: x.payments.svc.cluster.local}}]}]}"
	}
	exported := func(names string) Request {
		return create(entry(t, "{hosts: [a.test], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}], exportTo: ["+names+"]}"))
	}
	for _, tc := range []struct {
		name string
		req  Request
		want []string
	}{
		{"routes that fit", create(routes(t, led("a.test, b.test"))), nil},
		{"routes that do not", create(routes(t, led("a.test, b.test, c.test"))), []string{"too-large spec.hosts"}},
		{"routes within the mesh", create(routes(t, led("a.test, b.test, c.payments.svc.cluster.local"))), nil},
		{"an entry that fits", exported("b, c, d"), nil},
		{"an entry that does not", exported("b, c, d, e"), []string{"too-large spec.exportTo"}},
		{"a rule that fits", create(few), nil},
		{"a rule that does not", create(many), []string{"too-large spec.trafficPolicy"}},
		{"a rule within the mesh", create(object(t, ruleOf("web", "a: b, c: d, e: f"))), nil},
		{"a rule that had as much", Request{Operation: Update, Object: many, Old: many, Namespace: create(many).Namespace}, nil},
		{"a rule that has more than before", Request{Operation: Update, Object: many, Old: few, Namespace: create(many).Namespace}, []string{"too-large spec.trafficPolicy"}},
	} {
		outcome, err := r.Review(t.Context(), stored(t, r, tc.req))
		require.NoError(t, err, tc.name)
		assert.Equal(t, tc.want, codes(outcome), tc.name)
	}
	mesh.MaxHosts = 0
	outcome, err := r.Review(t.Context(), stored(t, r, create(many)))
	require.NoError(t, err)
	assert.Empty(t, codes(outcome), "no bound")
}

package review

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// TestNoRuleComesIntoForceUnderOthers because the one before it is deleted, is for another host from now on, or says nothing any
// more. A rule that others have nothing to do with goes as its author pleases.
func TestNoRuleComesIntoForceUnderOthers(t *testing.T) {
	t.Parallel()
	const (
		secure   = `{host: api.example.com, trafficPolicy: {tls: {mode: SIMPLE}}}`
		wildcard = `{host: "*.example.com", trafficPolicy: {tls: {mode: SIMPLE, insecureSkipVerify: true}}}`
		another  = `{host: api.example.com, trafficPolicy: {tls: {mode: SIMPLE, sni: other.example.com}}}`
		pools    = `{host: "*.example.com", trafficPolicy: {tls: {mode: SIMPLE}, connectionPool: {tcp: {maxConnections: 1}}}}`
	)
	for name, tc := range map[string]struct {
		behind  string
		alone   bool
		refused bool
	}{
		"a wildcard":             {behind: wildcard, refused: true},
		"a second one":           {behind: another, refused: true},
		"pools":                  {behind: pools},
		"nobody shares the exit": {behind: wildcard, alone: true},
		"no other":               {},
		"one that says the same": {behind: `{host: "*.com", trafficPolicy: {tls: {mode: SIMPLE}}}`},
		"one without a policy":   {behind: `{host: "*.example.com", subsets: [{name: v1}]}`},
	} {
		port := egress.Port{Number: 80, Name: "http", Protocol: "HTTP"}
		own, theirs := egresstest.Sealed("api.example.com", port), egresstest.Sealed("api.example.com", port)
		own.Created, theirs.Namespace, theirs.Created = time.Unix(1, 0), "others", time.Unix(2, 0)
		view := &egresstest.Cluster{Mesh: egresstest.Mesh(), Known: []*egress.Entry{own}}
		if !tc.alone {
			view.Known = append(view.Known, theirs)
		}
		r := &Reviewer{Mesh: view.Mesh, View: view, Policies: &policies{}}
		read := func(namespace, name, spec string) {
			rule := view.Mesh.ReadRule(destinationRule(t, spec))
			rule.Namespace, rule.Name = namespace, name
			view.Rules = append(view.Rules, rule)
		}
		front := stored(t, r, create(destinationRule(t, secure)))
		read(own.Namespace, front.Object.GetName(), secure)
		read("others", "theirs", secure)
		if tc.behind != "" {
			read(own.Namespace, "behind", tc.behind)
		}
		var want []string
		if tc.refused {
			want = []string{"rule-conflict spec.host"}
		}
		gone := front
		gone.Operation = Delete
		outcome, err := r.Review(t.Context(), gone)
		require.NoError(t, err, name)
		assert.Equal(t, want, codes(outcome), name)
		for _, finding := range outcome.Findings {
			assert.Contains(t, finding.Message, "DestinationRule "+own.Namespace+"/behind would come into force in its place", name)
			assert.Contains(t, finding.Fix, "behind", name)
		}
		moved := create(destinationRule(t, `{host: elsewhere.example.net, trafficPolicy: {tls: {mode: SIMPLE}}}`))
		moved.Operation, moved.Old = Update, front.Object
		outcome, err = r.Review(t.Context(), stored(t, r, moved))
		require.NoError(t, err, name)
		assert.Equal(t, want, codes(outcome), name+": for another host")
	}
	_, err := newReviewer().Review(t.Context(), Request{Operation: Delete, Object: entry(t, https)})
	require.ErrorContains(t, err, "nobody decides on the deletion of a ServiceEntry")
}

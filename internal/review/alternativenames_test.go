package review

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// TestTwoRulesEncryptAlikeUnderTheNamesOfTheEntry: what the entry says of the host's certificate is the exit's for both.
func TestTwoRulesEncryptAlikeUnderTheNamesOfTheEntry(t *testing.T) {
	t.Parallel()
	port := egress.Port{Number: 80, Name: "http", Protocol: "HTTP"}
	theirs := egresstest.Sealed("api.example.com", port)
	theirs.Namespace = "others"
	theirs.Definition = (&egress.ServiceEntry{Resolution: "DNS", Ports: []egress.Port{port}, SubjectAltNames: []string{"edge.example.net"}}).Define()
	view := &egresstest.Cluster{Mesh: egresstest.Mesh(), Known: []*egress.Entry{theirs}}
	rule := view.Mesh.ReadRule(destinationRule(t, simple))
	rule.Namespace = "others"
	view.Rules = []*egress.Rule{rule}
	assert.True(t, view.Mesh.Seals(rule, view), "the owner's own rule is sealed")
	r := &Reviewer{Mesh: view.Mesh, View: view, Policies: &policies{}}
	for spec, want := range map[string][]string{
		simple: nil,
		`{host: api.example.com, trafficPolicy: {tls: {mode: SIMPLE, subjectAltNames: [edge.example.net]}}}`: nil,
		`{host: api.example.com, trafficPolicy: {tls: {mode: SIMPLE, subjectAltNames: [else.example.net]}}}`: {"rule-conflict spec.trafficPolicy"},
	} {
		outcome, err := r.Review(t.Context(), stored(t, r, create(destinationRule(t, spec))))
		require.NoError(t, err)
		assert.Equal(t, want, codes(outcome), spec)
	}
}

package policy_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/policies"
)

// TestPolicyOfTheDocuments runs the policy that docs/policies.md shows, as it stands there.
func TestPolicyOfTheDocuments(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../docs/policies.md")
	require.NoError(t, err)
	_, block, found := strings.Cut(string(raw), "\n    # METADATA\n")
	require.True(t, found)
	block, _, found = strings.Cut("    # METADATA\n"+block, "\n\n- ")
	require.True(t, found)
	rego := strings.ReplaceAll("\n"+block, "\n    ", "\n")
	e, err := policy.NewEngine(policies.Library())
	require.NoError(t, err)
	require.Error(t, e.Check(egressPolicy("owned", v1alpha1.EgressPolicySpec{Rego: rego})), "its parameter is required")
	require.NoError(t, e.Set(egressPolicy("owned", v1alpha1.EgressPolicySpec{Rego: rego, Parameters: parameters(`{"label": "owner"}`)})))
	got := e.Evaluate(t.Context(), policy.Review{Kind: "ServiceEntry", Document: map[string]any{
		"object": map[string]any{"metadata": map[string]any{}},
		"egress": map[string]any{"hosts": []any{map[string]any{"wildcard": true}}},
	}})
	assert.Equal(t, []policy.Violation{{Policy: "owned", Code: "no-owner", Field: "metadata.labels", Message: "names no owner", Fix: `add the label "owner"`}}, got.Denied)
	assert.Equal(t, []policy.Violation{{Policy: "owned", Message: "wildcards are hard to audit"}}, got.Warned)
}

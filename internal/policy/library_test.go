package policy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/policies"
)

// TestLibrarySpeaksByItsMetadata wants the METADATA of a rule in the engine's violations, in every policy made of it.
func TestLibrarySpeaksByItsMetadata(t *testing.T) {
	t.Parallel()
	e, err := policy.NewEngine(policies.Library())
	require.NoError(t, err)
	for _, name := range []string{"one", "two"} {
		require.NoError(t, e.Set(egressPolicy(name, v1alpha1.EgressPolicySpec{Policy: "allowed-hosts", Parameters: parameters(`{"hosts": ["ok.example.com"]}`)})))
	}
	got := e.Evaluate(t.Context(), policy.Review{Kind: "ServiceEntry", Namespace: policy.Namespace{Name: "payments"}, Document: map[string]any{
		"egress": map[string]any{"hosts": []any{
			map[string]any{"host": "evil.io", "patterns": []any{"evil.io", "*.io", "*"}, "leaves": true, "field": "spec.hosts[0]"},
		}},
	}})
	want := policy.Violation{
		Policy: "one", Library: "allowed-hosts", Code: "host-not-allowed", Field: "spec.hosts[0]",
		Message: `host "evil.io" is not allowed in namespace "payments"`,
		Fix:     "ask the platform team to add it to this EgressPolicy, or use one of: ok.example.com",
	}
	other := want
	other.Policy = "two"
	assert.Equal(t, []policy.Violation{want, other}, got.Denied)
}

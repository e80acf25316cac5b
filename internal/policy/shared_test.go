package policy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// TestWithoutTheParametersThatItSharesAPolicyIsNotInForce: it is checked but for them, the version before stays, and where there
// is none it cannot be evaluated; no schema takes the want of them for an empty list.
func TestWithoutTheParametersThatItSharesAPolicyIsNotInForce(t *testing.T) {
	t.Parallel()
	for name, spec := range map[string]v1alpha1.EgressPolicySpec{
		"required": {Policy: "listed"}, "optional": {Rego: "package any\ndeny contains \"no\" if input.name in input.parameters.names"},
	} {
		e := engine(t)
		whole := egressPolicy("p", spec)
		whole.Spec.Parameters = parameters(`{"names": ["good"]}`)
		spec.ParametersFrom = &v1alpha1.ParametersSource{ConfigMap: "c", Key: "k"}
		p := egressPolicy("p", spec)
		require.NoError(t, e.Check(p), name)
		require.ErrorContains(t, e.Set(p), "spec.parametersFrom: ")
		got := e.Evaluate(t.Context(), review("good"))
		require.Len(t, got.Failed, 1, name)
		require.ErrorContains(t, got.Failed[0].Err, "the parameters are not there")
		require.NoError(t, e.Set(whole))
		want := e.Evaluate(t.Context(), review("good"))
		require.Error(t, e.Set(p))
		assert.Equal(t, want, e.Evaluate(t.Context(), review("good")), name)
		assert.Empty(t, want.Failed)
	}
	bad := egressPolicy("p", v1alpha1.EgressPolicySpec{Rego: "package any\ndeny contains", ParametersFrom: &v1alpha1.ParametersSource{ConfigMap: "c", Key: "k"}})
	require.ErrorContains(t, engine(t).Check(bad), "p.rego:2")
}

package policy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/policies"
)

func TestACloneChangesByItself(t *testing.T) {
	t.Parallel()
	of, err := policy.NewEngine(policies.Library())
	require.NoError(t, err)
	require.NoError(t, of.Set(egressPolicy("first", v1alpha1.EgressPolicySpec{Policy: "tls-only"})))
	clone := of.Clone()
	require.NoError(t, clone.Set(egressPolicy("second", v1alpha1.EgressPolicySpec{Policy: "no-wildcards"})))
	of.Remove("first")
	assert.Nil(t, of.KindsOf("first"))
	assert.Nil(t, of.KindsOf("second"))
	assert.NotNil(t, clone.KindsOf("first"))
	assert.NotNil(t, clone.KindsOf("second"))
}

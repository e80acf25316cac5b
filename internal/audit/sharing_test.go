package audit

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apimeta "k8s.io/apimachinery/pkg/api/meta"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// TestNobodyConfirmedWhatIsSharedSince: parameters that policies share change without a generation, and what was confirmed of
// those before holds for no others.
func TestNobodyConfirmedWhatIsSharedSince(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for i := range 8 {
		s.store("app", fmt.Sprintf("e%d", i), fmt.Sprintf("h%d.test", i))
	}
	whole := s.hosts("p", 1, v1alpha1.Suspend, "'*'")
	stored := s.policy("p")
	stored.Spec.Parameters, stored.Spec.ParametersFrom = nil, &v1alpha1.ParametersSource{ConfigMap: "c", Key: "k"}
	stored.Annotations = map[string]string{v1alpha1.AnnotationConfirmSuspend: "1-" + s.engine.ParametersOf("p")}
	require.NoError(t, s.cluster.Update(t.Context(), stored))
	before, err := s.readPolicies(t.Context())
	require.NoError(t, err)
	assert.True(t, before["p"].confirmed)

	whole.Spec.Parameters.Raw = []byte(`{"hosts":["ok.test"]}`)
	require.NoError(t, s.engine.Set(whole))
	require.NoError(t, s.stillConfirmed(t.Context(), before))
	assert.False(t, before["p"].confirmed, "it changed while it was judged by")
	for _, word := range []string{stored.Annotations[v1alpha1.AnnotationConfirmSuspend], "1", "1-"} {
		stored = s.policy("p")
		stored.Annotations[v1alpha1.AnnotationConfirmSuspend] = word
		require.NoError(t, s.cluster.Update(t.Context(), stored))
		s.audited()
		assert.Empty(t, s.registry.Suspensions(), word)
	}
	stored = s.policy("p")
	held := apimeta.FindStatusCondition(stored.Status.Conditions, v1alpha1.ConditionSuspendHeld)
	require.NotNil(t, held)
	word := "1-" + s.engine.ParametersOf("p")
	assert.Contains(t, held.Message, fmt.Sprintf("%q", word))
	stored.Annotations[v1alpha1.AnnotationConfirmSuspend] = word
	require.NoError(t, s.cluster.Update(t.Context(), stored))
	s.audited()
	assert.Len(t, s.registry.Suspensions(), 8)
}

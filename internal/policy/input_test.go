package policy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestWhatNoPolicyReadsIsNotConverted: of a large object most is not, and what cannot be fails those alone that read it.
func TestWhatNoPolicyReadsIsNotConverted(t *testing.T) {
	t.Parallel()
	e := engine(t)
	require.NoError(t, e.Set(inline("name", `deny contains "bad" if input.object.metadata.name == "x"`)))
	in := review("x")
	in.Document["object"] = map[string]any{"metadata": map[string]any{"name": "x"}, "spec": make(chan int)}
	decision := e.Evaluate(t.Context(), in)
	assert.Len(t, decision.Denied, 1)
	assert.Empty(t, decision.Failed)

	require.NoError(t, e.Set(inline("spec", `deny contains "bad" if input.object.spec`)))
	require.NoError(t, e.Set(inline("whole", `deny contains "bad" if count(input) > 0`+"\n"+`deny contains "worse" if some _ in input.object`)))
	decision = e.Evaluate(t.Context(), in)
	assert.Len(t, decision.Denied, 1)
	require.Len(t, decision.Failed, 2)
	assert.Equal(t, "spec", decision.Failed[0].Policy)
	assert.ErrorContains(t, decision.Failed[0].Err, "panicked")
}

package controller

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAConditionStandsAmongTheOthers(t *testing.T) {
	t.Parallel()
	start := time.Unix(0, 0)
	others := []any{map[string]any{"type": "Reconciled", "status": "True"}}
	first, changed := condition{Type: "Ready", Status: "False", Reason: "A", Message: "a"}.among(others, start)
	require.True(t, changed)
	require.Len(t, others, 1, "the given conditions are not touched")
	_, changed = condition{Type: "Ready", Status: "False", Reason: "A", Message: "a"}.among(first, start.Add(time.Hour))
	require.False(t, changed)
	second, changed := condition{Type: "Ready", Status: "False", Reason: "B", Message: "b"}.among(first, start.Add(time.Hour))
	require.True(t, changed)
	require.Len(t, second, 2)
	assert.Equal(t, "1970-01-01T00:00:00Z", second[1].(map[string]any)["lastTransitionTime"], "the status is the same")
	third, changed := condition{Type: "Ready", Status: "True", Reason: "C", Message: "c"}.among(second, start.Add(time.Hour))
	require.True(t, changed)
	assert.Equal(t, "1970-01-01T01:00:00Z", third[1].(map[string]any)["lastTransitionTime"])
	assert.Equal(t, others[0], third[0])
}

package condition_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/condition"
)

func TestSetKeepsTheOthers(t *testing.T) {
	t.Parallel()
	object := &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{
		"addresses": []any{"x"}, "conditions": []any{map[string]any{"type": "Reconciled", "status": "True"}},
	}}}
	start := time.Unix(0, 0)
	require.True(t, condition.Set(object, condition.Condition{Type: "Ready", Status: "False", Reason: "A", Message: "a"}, start))
	require.False(t, condition.Set(object, condition.Condition{Type: "Ready", Status: "False", Reason: "A", Message: "a"}, start.Add(time.Hour)))
	require.True(t, condition.Set(object, condition.Condition{Type: "Ready", Status: "False", Reason: "B", Message: "b"}, start.Add(time.Hour)))
	conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	require.Len(t, conditions, 2)
	assert.Equal(t, "1970-01-01T00:00:00Z", conditions[1].(map[string]any)["lastTransitionTime"], "the status is the same")
	require.True(t, condition.Set(object, condition.Condition{Type: "Ready", Status: "True", Reason: "C", Message: "c"}, start.Add(time.Hour)))
	conditions, _, _ = unstructured.NestedSlice(object.Object, "status", "conditions")
	assert.Equal(t, "1970-01-01T01:00:00Z", conditions[1].(map[string]any)["lastTransitionTime"])
	assert.Equal(t, []any{"x"}, object.Object["status"].(map[string]any)["addresses"])
}

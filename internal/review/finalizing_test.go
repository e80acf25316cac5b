package review

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestATerminatingObjectMayLoseFinalizersAndNothingElse: Istio goes by what is stored until it is gone.
func TestATerminatingObjectMayLoseFinalizersAndNothingElse(t *testing.T) {
	t.Parallel()
	set := func(value any, path ...string) func(*testing.T, *unstructured.Unstructured) {
		return func(t *testing.T, o *unstructured.Unstructured) {
			require.NoError(t, unstructured.SetNestedField(o.Object, value, path...))
		}
	}
	for name, tc := range map[string]struct {
		change func(*testing.T, *unstructured.Unstructured)
		want   bool
	}{
		"finalizers":            {func(_ *testing.T, o *unstructured.Unstructured) { o.SetFinalizers(nil) }, true},
		"what the server keeps": {set("7", "metadata", "resourceVersion"), true},
		"spec":                  {set("NONE", "spec", "resolution"), false},
		"an annotation":         {set("x", "metadata", "annotations", "egress-governor.io/intent"), false},
		"a label":               {set("x", "metadata", "labels", "a"), false},
		"an owner":              {set([]any{}, "metadata", "ownerReferences"), false},
	} {
		old := entry(t, `{hosts: [a.example.com], resolution: DNS}`)
		old.SetDeletionTimestamp(&metav1.Time{Time: time.Unix(1, 0)})
		old.SetFinalizers([]string{"tenant.example/hold"})
		next := old.DeepCopy()
		tc.change(t, next)
		assert.Equal(t, tc.want, Finalizing(next, old), name)
		assert.False(t, Finalizing(next, nil), "%s: created like that", name)
		old.SetDeletionTimestamp(nil)
		assert.False(t, Finalizing(next, old), "%s: nobody deleted it", name)
	}
}

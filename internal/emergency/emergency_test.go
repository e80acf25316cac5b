package emergency

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

func configuration() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"kind": "ValidatingWebhookConfiguration", "metadata": map[string]any{"name": "egress-governor"},
		"webhooks": []any{
			map[string]any{"name": "a", "matchConditions": []any{map[string]any{"name": "not-finalized", "expression": "true"}}},
			map[string]any{"name": "b"},
		},
	}}
}

func guard() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"kind":     "ValidatingAdmissionPolicy",
		"metadata": map[string]any{"name": "egress-governor-entries", "annotations": map[string]any{"meta.helm.sh/release-name": "egress-governor"}},
		"spec":     map[string]any{"matchConditions": []any{map[string]any{"name": "not-exempt", "expression": "true"}}},
	}}
}

// TestStartUndoesStopExactly, of whatever has conditions and of what has none, however often either is said.
func TestStartUndoesStopExactly(t *testing.T) {
	t.Parallel()
	for _, before := range []*unstructured.Unstructured{configuration(), guard()} {
		object := before.DeepCopy()
		assert.True(t, Stop(object, Note{Since: "since then"}))
		stopped, of := State(object)
		assert.Equal(t, of, stopped, "all of it")
		assert.Equal(t, "since then", object.GetAnnotations()[Annotation])
		again := object.DeepCopy()
		assert.False(t, Stop(again, Note{Since: "once more"}), "it is stopped already")
		assert.Equal(t, object, again, "and says so as before")

		assert.True(t, Start(object))
		stopped, _ = State(object)
		assert.Zero(t, stopped)
		assert.Equal(t, before.Object["webhooks"], object.Object["webhooks"])
		assert.Equal(t, before.Object["spec"], object.Object["spec"])
		assert.NotContains(t, object.GetAnnotations(), Annotation)
		assert.Len(t, object.GetAnnotations(), len(before.GetAnnotations()))
		assert.False(t, Start(object), "there is nothing to undo")
	}
}

// TestAReasonIsAdded to what is stopped already, once.
func TestAReasonIsAdded(t *testing.T) {
	t.Parallel()
	object := configuration()
	require.True(t, Stop(object, Note{Since: "since then by system:serviceaccount:a:b"}))
	for _, step := range []struct {
		reason, says string
		changes      bool
	}{
		{"INC-1", "since then by system:serviceaccount:a:b: INC-1", true},
		{"INC-1", "since then by system:serviceaccount:a:b: INC-1", false},
		{"", "since then by system:serviceaccount:a:b: INC-1", false},
		{"INC-12", "since then by system:serviceaccount:a:b: INC-1; INC-12", true},
		{"INC-1", "since then by system:serviceaccount:a:b: INC-1; INC-12", false},
	} {
		assert.Equal(t, step.changes, Stop(object, Note{Since: "once more", Reason: step.reason}), step.reason)
		assert.Equal(t, step.says, object.GetAnnotations()[Annotation])
	}
	stopped, of := State(object)
	assert.Equal(t, of, stopped)
}

// TestAWebhookThatCameMeanwhileIsSeen: an upgrade may bring one, and what is stopped in part is said to be.
func TestAWebhookThatCameMeanwhileIsSeen(t *testing.T) {
	t.Parallel()
	object := configuration()
	Stop(object, Note{Since: "why"})
	object.Object["webhooks"] = append(object.Object["webhooks"].([]any), map[string]any{"name": "c"})
	stopped, of := State(object)
	assert.Equal(t, [2]int{2, 3}, [2]int{stopped, of})
	assert.True(t, Stop(object, Note{Since: "again"}))
	stopped, _ = State(object)
	assert.Equal(t, 3, stopped)
}

// TestAThreeWayApplyLeavesAStop: kubectl apply, Helm 3 and Argo CD send what differs between the chart's last word and the new one, and
// take away from lists with names none but what they put there.
func TestAThreeWayApplyLeavesAStop(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		chart *unstructured.Unstructured
		of    any
	}{{configuration(), admissionv1.ValidatingWebhookConfiguration{}}, {guard(), admissionv1.ValidatingAdmissionPolicy{}}} {
		stopped := tc.chart.DeepCopy()
		Stop(stopped, Note{Since: "why"})
		chart, err := tc.chart.MarshalJSON()
		require.NoError(t, err)
		live, err := stopped.MarshalJSON()
		require.NoError(t, err)
		schema, err := strategicpatch.NewPatchMetaFromStruct(tc.of)
		require.NoError(t, err)
		patch, err := strategicpatch.CreateThreeWayMergePatch(chart, chart, live, schema, true)
		require.NoError(t, err)
		after, err := strategicpatch.StrategicMergePatchUsingLookupPatchMeta(live, patch, schema)
		require.NoError(t, err)
		var got unstructured.Unstructured
		require.NoError(t, got.UnmarshalJSON(after))
		now, of := State(&got)
		assert.Equal(t, of, now, tc.chart.GetKind())
		assert.Equal(t, "why", got.GetAnnotations()[Annotation])
	}
}

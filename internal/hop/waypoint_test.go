package hop

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

func labelled(labels map[string]any) *unstructured.Unstructured {
	metadata := map[string]any{"name": "api", "namespace": egresstest.Namespace}
	if labels != nil {
		metadata["labels"] = labels
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": metadata,
		"spec": map[string]any{"hosts": []any{"api.example.com"}, "resolution": "DNS", "ports": []any{map[string]any{"number": int64(80), "name": "http", "protocol": "HTTP"}}},
	}}
}

// TestAnEntryIsBoundAndGivenBack with the author's own labels, to whichever gateway it goes next.
func TestAnEntryIsBoundAndGivenBack(t *testing.T) {
	t.Parallel()
	mesh := egresstest.Ambient()
	for name, labels := range map[string]map[string]any{"none": nil, "its own": {"team": "a"}, "ours as well": {"istio.io/use-waypoint": "waypoint"}} {
		written := labelled(labels)
		sealed, err := Seal(written, mesh.Gateways[0], mesh)
		require.NoError(t, err, name)
		assert.Equal(t, egress.Waypoint{Namespace: "egress", Name: "waypoint"}, BoundTo(sealed), name)
		_, is := SealedTo(sealed, mesh)
		assert.True(t, is, "%s: it is sealed as well", name)
		intent, err := EntryIntent(sealed, mesh)
		require.NoError(t, err, name)
		assert.Equal(t, written.Object, intent.Object, name)

		unbound := egresstest.Mesh()
		moved, err := Seal(sealed, unbound.Gateways[0], unbound)
		require.NoError(t, err, name)
		want, err := Seal(written, unbound.Gateways[0], unbound)
		require.NoError(t, err, name)
		assert.Equal(t, want.Object, moved.Object, "%s: a gateway without a waypoint", name)
	}
}

// TestTheRecordOfLabelsIsNotTrusted: what it gives back is refused as if the author had written it, and what no label can be is
// nothing.
func TestTheRecordOfLabelsIsNotTrusted(t *testing.T) {
	t.Parallel()
	mesh := egresstest.Ambient()
	for record, code := range map[string]string{
		`[{"was":"none","now":"waypoint","paths":["metadata.labels[istio.io/use-waypoint]"]}]`:                        "other-waypoint",
		`[{"was":{"a":"b"},"now":"waypoint","paths":["metadata.labels[istio.io/use-waypoint]"]}]`:                     "",
		`[{"was":["a"],"now":"waypoint","paths":["metadata.labels[team]","metadata.labels[istio.io/use-waypoint]"]}]`: "",
		`[{"was":"none","now":"a","paths":["metadata.labels[team]"]}]`:                                                "",
	} {
		sealed, err := Seal(labelled(map[string]any{"team": "a"}), mesh.Gateways[0], mesh)
		require.NoError(t, err)
		sealed.SetAnnotations(map[string]string{IntentAnnotation: record})
		again, err := Seal(sealed, mesh.Gateways[0], mesh)
		if code != "" {
			var refusals Refusals
			require.ErrorAs(t, err, &refusals)
			assert.Equal(t, code, refusals[0].Code)
			continue
		}
		require.NoError(t, err, record)
		assert.Equal(t, map[string]string{"team": "a", "istio.io/use-waypoint": "waypoint", "istio.io/use-waypoint-namespace": "egress"}, again.GetLabels(), record)
	}
}

// TestALabelThatIsNoStringIsRefused: it is not that of the waypoint, and no reader of labels sees the others beside it.
func TestALabelThatIsNoStringIsRefused(t *testing.T) {
	t.Parallel()
	mesh := egresstest.Ambient()
	_, err := Seal(labelled(map[string]any{"team": int64(1), "istio.io/use-waypoint-canary": "mine"}), mesh.Gateways[0], mesh)
	var refusals Refusals
	require.ErrorAs(t, err, &refusals)
	assert.Equal(t, "metadata.labels[istio.io/use-waypoint-canary]", refusals[0].Field)
}

// TestWhatIstiodReadsOtherwiseIsRefused: each label and annotation of the list, whatever its value, and those that nobody has thought of yet
// of what istiod marks as its own; beside a waypoint alone.
func TestWhatIstiodReadsOtherwiseIsRefused(t *testing.T) {
	t.Parallel()
	mesh, unbound := egresstest.Ambient(), egresstest.Mesh()
	labels, annotations, prefix := egress.Bending()
	refused := func(entry *unstructured.Unstructured, field string) {
		t.Helper()
		_, err := Seal(entry, mesh.Gateways[0], mesh)
		var refusals Refusals
		require.ErrorAs(t, err, &refusals, field)
		assert.Equal(t, "other-waypoint", refusals[0].Code)
		assert.Equal(t, field, refusals[0].Field)
		_, err = Seal(entry, unbound.Gateways[0], unbound)
		require.NoError(t, err, field)
	}
	for _, key := range append(labels, prefix+"anything") {
		refused(labelled(map[string]any{key: "a", "team": "a"}), "metadata.labels["+key+"]")
	}
	for _, key := range append(annotations, prefix+"anything") {
		entry := labelled(nil)
		entry.SetAnnotations(map[string]string{key: "a", "team": "a"})
		refused(entry, "metadata.annotations["+key+"]")
	}
}

package review

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestWhatIsSentIsNotTouched: its author's form may be the object itself, and so may what policies are asked about. Who is given the
// author's form may do with it what he likes.
func TestWhatIsSentIsNotTouched(t *testing.T) {
	t.Parallel()
	r := newReviewer()
	for _, object := range []*unstructured.Unstructured{
		entry(t, benchEntry), routes(t, `{hosts: [local], http: [{route: [{destination: {host: local}}]}]}`),
		routes(t, `{hosts: [api.example.com], http: [{route: [{destination: {host: api.example.com}}]}]}`),
	} {
		object.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "kubectl"}})
		for _, req := range []Request{create(object), stored(t, r, create(object))} {
			before := req.Object.DeepCopy()
			_, err := r.Rewrite(req)
			require.NoError(t, err)
			outcome, err := r.Review(t.Context(), req)
			require.NoError(t, err)
			assert.Equal(t, before, req.Object)
			assert.NotContains(t, outcome.Input["object"].(map[string]any)["metadata"], "managedFields")
			intent, err := r.Intent(req)
			require.NoError(t, err)
			intent.Object["spec"].(map[string]any)["hosts"] = nil
			intent.SetName("other")
			assert.Equal(t, before, req.Object)
		}
	}
}

// TestWhatIsReadOnceIsNotTouched: whoever looks next has it as it was read.
func TestWhatIsReadOnceIsNotTouched(t *testing.T) {
	t.Parallel()
	r := newReviewer()
	req := stored(t, r, create(entry(t, benchEntry)))
	req.Object.SetCreationTimestamp(metav1.Unix(1e9, 0))
	s, err := r.judged(req)
	require.NoError(t, err)
	_, refusals := s.facts(t.Context())
	require.Empty(t, refusals)
	intent, err := s.entry()
	require.NoError(t, err)
	assert.Equal(t, s.listening(s.Object, intent), s.listens(intent))
	assert.Equal(t, intent.Define(), s.defines(intent))
	again, err := r.judged(req)
	require.NoError(t, err)
	fresh, err := again.entry()
	require.NoError(t, err)
	assert.Equal(t, fresh, intent)
}

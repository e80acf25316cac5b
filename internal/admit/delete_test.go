package admit_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/egress-governor/egress-governor/internal/policy"
)

// TestDeletionsThatNobodyDecidesOnAreErrors: a rule of a webhook configuration that is too wide is no allow. Policies are not asked.
func TestDeletionsThatNobodyDecidesOnAreErrors(t *testing.T) {
	t.Parallel()
	deletion := func(kind, object string) admission.Request {
		out := request(kind, "")
		out.Operation, out.Object, out.OldObject = admissionv1.Delete, runtime.RawExtension{}, runtime.RawExtension{Raw: []byte(object)}
		return out
	}
	const rule = `{"apiVersion":"networking.istio.io/v1","kind":"DestinationRule","metadata":{"name":"x","namespace":"payments"},"spec":{"host":"api.example.com"}}`
	h := handler(t, evaluator(func(policy.Review) policy.Decision {
		t.Error("a policy is asked")
		return policy.Decision{}
	}))
	response := h.Validate(t.Context(), deletion("DestinationRule", rule))
	assert.True(t, response.Allowed, response.Result)
	for name, response := range map[string]admission.Response{
		"of an entry":             h.Validate(t.Context(), deletion("ServiceEntry", entryJSON(goodSpec))),
		"of nothing":              h.Validate(t.Context(), deletion("DestinationRule", "")),
		"of something else":       h.Validate(t.Context(), deletion("DestinationRule", entryJSON(goodSpec))),
		"that is to be rewritten": h.Mutate(t.Context(), deletion("DestinationRule", rule)),
	} {
		require.False(t, response.Allowed, name)
		assert.EqualValues(t, http.StatusBadRequest, response.Result.Code, name)
	}
}

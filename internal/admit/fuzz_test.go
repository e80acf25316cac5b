package admit_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/egress-governor/egress-governor/internal/admit"
	"github.com/egress-governor/egress-governor/internal/review"
)

// FuzzReviews: whatever is posted gets one AdmissionReview back, yes or no with a reason. What it says yes to is of a governed
// kind and in its stored form, and stays so.
func FuzzReviews(f *testing.F) {
	for _, of := range []admission.Request{
		request("ServiceEntry", entryJSON(goodSpec)), request("ServiceEntry", sealedJSON()), request("VirtualService", entryJSON(goodSpec)),
		request("ServiceEntry", `{"spec":7}`), request("ServiceEntry", "[]"), request("Pod", "{}"),
		request("EgressPolicy", `{"apiVersion":"egress-governor.io/v1alpha1","kind":"EgressPolicy","metadata":{"name":"x"},"spec":{"policy":"x"}}`),
	} {
		raw, err := json.Marshal(admissionv1.AdmissionReview{Request: &of.AdmissionRequest})
		require.NoError(f, err)
		f.Add(raw)
		f.Add(bytes.Replace(raw, []byte(`"CREATE"`), []byte(`"UPDATE","oldObject":{}`), 1))
		f.Add(bytes.Replace(raw, []byte(`"metadata":{`), []byte(`"metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z","finalizers":["a/b"],`), 1))
	}
	for _, raw := range []string{"", "null", "{", `{"request":null}`, `{"request":{"object":7}}`, `{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","request":{"uid":"1"}}`} {
		f.Add([]byte(raw))
	}
	h := handler(f, evaluator(silent))
	f.Fuzz(func(t *testing.T, body []byte) {
		mutated := posted(t, h.Mutate, body)
		validated := posted(t, h.Validate, body)
		posted(t, h.ValidatePolicy, body)
		var in admissionv1.AdmissionReview
		if json.Unmarshal(body, &in) != nil || in.Request == nil {
			require.False(t, mutated.Allowed || validated.Allowed, "what cannot be read is no yes")
			return
		}
		if mutated.Allowed || validated.Allowed {
			resource, known := review.ResourceOf(in.Request.Kind.Kind)
			require.True(t, known && in.Request.Kind.Group == resource.Group)
			require.Contains(t, []admissionv1.Operation{admissionv1.Create, admissionv1.Update}, in.Request.Operation)
		}
		if validated.Allowed {
			require.True(t, mutated.Allowed)
			require.Empty(t, steering(t, mutated.Patch), "what is stored has its stored form")
		}
		if mutated.Allowed && len(mutated.Patch) > 0 {
			staysPatched(t, h, in, mutated.Patch)
		}
	})
}

// steering are the paths of a patch but those of annotations: a record may say the same in other words, as earlier versions do.
func steering(t *testing.T, raw []byte) (out []string) {
	t.Helper()
	if len(raw) == 0 {
		return nil
	}
	patch, err := jsonpatch.DecodePatch(raw)
	require.NoError(t, err)
	for _, operation := range patch {
		path, err := operation.Path()
		require.NoError(t, err)
		if !strings.HasPrefix(path, "/metadata/annotations") {
			out = append(out, path)
		}
	}
	return out
}

// staysPatched wants the patched object to be left as it is.
func staysPatched(t *testing.T, h *admit.Handler, in admissionv1.AdmissionReview, raw []byte) {
	t.Helper()
	patch, err := jsonpatch.DecodePatch(raw)
	require.NoError(t, err)
	in.Request.Object.Raw, err = patch.Apply(in.Request.Object.Raw)
	require.NoError(t, err)
	body, err := json.Marshal(in)
	require.NoError(t, err)
	again := posted(t, h.Mutate, body)
	require.True(t, again.Allowed)
	require.Empty(t, again.Patch, "what was rewritten stays")
}

// posted returns the answer to a body, as the API server gets it.
func posted(t *testing.T, handle admission.HandlerFunc, body []byte) *admissionv1.AdmissionResponse {
	t.Helper()
	of := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body))
	of.Header.Set("Content-Type", "application/json")
	answer := httptest.NewRecorder()
	(&admission.Webhook{Handler: handle}).ServeHTTP(answer, of)
	require.Equal(t, http.StatusOK, answer.Code)
	var out admissionv1.AdmissionReview
	require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &out))
	require.NotNil(t, out.Response)
	if !out.Response.Allowed {
		require.NotNil(t, out.Response.Result)
		require.GreaterOrEqual(t, out.Response.Result.Code, int32(400))
		require.NotEmpty(t, out.Response.Result.Message)
		require.Empty(t, out.Response.Patch)
	}
	return out.Response
}

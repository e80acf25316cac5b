package admit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/admit"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/internal/registry"
	"github.com/egress-governor/egress-governor/test/draw"
)

const gatewayService = draw.GatewayService

func mesh() *egress.Mesh { return draw.Mesh() }

// namespaces knows the namespace payments and nothing else.
type namespaces struct{ client.Reader }

func (namespaces) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	namespace, ok := object.(*corev1.Namespace)
	if !ok || key.Name != "payments" {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, key.Name)
	}
	namespace.Name, namespace.Labels = key.Name, map[string]string{"team": "payments"}
	return nil
}

type judge func(policy.Review) policy.Decision

func (j judge) Judge(_ context.Context, review policy.Review) policy.Decision { return j(review) }

type checker struct{ err error }

func (c checker) Check(*v1alpha1.EgressPolicy) error { return c.err }

func silent(policy.Review) policy.Decision { return policy.Decision{} }

func governor(t testing.TB, j admit.Judge) *admit.Governor {
	t.Helper()
	m := mesh()
	scheme := runtime.NewScheme()
	require.NoError(t, v1alpha1.AddToScheme(scheme))
	out, err := admit.New(admit.Options{
		Mesh: m, World: registry.New(m), Judge: j, Checker: checker{}, Namespaces: namespaces{}, Live: namespaces{}, Scheme: scheme,
	})
	require.NoError(t, err)
	return out
}

func request(kind, object string) admission.Request {
	return admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
		UID: "1", Kind: metav1.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: kind},
		Namespace: "payments", Name: "x", Operation: admissionv1.Create, Object: runtime.RawExtension{Raw: []byte(object)},
	}}
}

func entryJSON(spec string) string {
	return `{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"name":"x","namespace":"payments"},"spec":` + spec + `}`
}

const goodSpec = `{"hosts":["api.example.com"],"resolution":"DNS","ports":[{"number":443,"name":"tls","protocol":"TLS"}]}`

const sealedSpec = `{"hosts":["api.example.com"],"resolution":"DNS","ports":[{"number":443,"name":"tls","protocol":"TLS"}],"endpoints":[{"address":"` + gatewayService + `","ports":{"tls":443}}]}`

func sealedJSON() string {
	return strings.Replace(entryJSON(sealedSpec), `"namespace":"payments"}`,
		`"namespace":"payments","annotations":{"egress-governor.io/intent":"{\"gateway\":\"`+gatewayService+`\",\"resolution\":\"DNS\"}"}}`, 1)
}

func TestMutatePatchesOnlyWhatItSeals(t *testing.T) {
	t.Parallel()
	response := governor(t, judge(silent)).Mutate(t.Context(), request("ServiceEntry", entryJSON(goodSpec)))
	require.True(t, response.Allowed)
	var paths []string
	for _, operation := range response.Patches {
		paths = append(paths, operation.Operation+" "+operation.Path)
	}
	assert.ElementsMatch(t, []string{"add /metadata/annotations", "add /spec/endpoints"}, paths)
	again := governor(t, judge(silent)).Mutate(t.Context(), request("ServiceEntry", sealedJSON()))
	assert.True(t, again.Allowed)
	assert.Empty(t, again.Patches)
}

func TestUnsealedEntryDoesNotPassValidation(t *testing.T) {
	t.Parallel()
	response := governor(t, judge(silent)).Validate(t.Context(), request("ServiceEntry", entryJSON(goodSpec)))
	assert.False(t, response.Allowed)
	assert.Equal(t, int32(http.StatusUnprocessableEntity), response.Result.Code)
	assert.Contains(t, response.Result.Message, "not-sealed")
	response = governor(t, judge(silent)).Validate(t.Context(), request("ServiceEntry", sealedJSON()))
	assert.True(t, response.Allowed, response.Result)
}

func TestPolicySeesTheIntentAndTheFacts(t *testing.T) {
	t.Parallel()
	var seen policy.Review
	response := governor(t, judge(func(review policy.Review) policy.Decision {
		seen = review
		return policy.Decision{}
	})).Validate(t.Context(), request("ServiceEntry", sealedJSON()))
	require.True(t, response.Allowed)
	raw, err := json.Marshal(seen.Document)
	require.NoError(t, err)
	assert.JSONEq(t, `{
		"apiVersion": "input.egress-governor.io/v1alpha1", "operation": "CREATE", "kind": "ServiceEntry", "name": "x", "dryRun": false,
		"namespace": {"name": "payments", "labels": {"team": "payments"}, "annotations": {}}, "user": {"name": "", "groups": []},
		"object": `+entryJSON(goodSpec)+`, "oldObject": null,
		"egress": {"clusterDomain": "cluster.local", "gateway": "default", "conflicts": [],
			"hosts": [{"host": "api.example.com", "canonical": "api.example.com", "patterns": ["api.example.com", "*.example.com", "*.com", "*"], "wildcard": false, "ip": false, "inMesh": false, "leaves": true, "field": "spec.hosts[0]"}],
			"routes": [{"host": "api.example.com", "port": 443, "protocol": "TLS", "from": "mesh", "via": "gateway", "gateway": "default", "field": "spec.ports[0]"}]}
	}`, string(raw))
}

func TestTheThreeNoesDiffer(t *testing.T) {
	t.Parallel()
	violation := policy.Violation{Policy: "p", Library: "lib", Field: "spec", Message: "bad", Fix: "mend"}
	for name, tc := range map[string]struct {
		decision policy.Decision
		code     int32
		reason   metav1.StatusReason
		message  string
	}{
		"denied": {policy.Decision{Denied: []policy.Violation{violation}}, 403, metav1.StatusReasonForbidden, "p: spec: bad (lib).\nFix: mend"},
		"failed": {policy.Decision{Failed: []policy.Failure{{Policy: "p", Err: errors.New("boom")}}}, 500, metav1.StatusReasonInternalError, "p: policy could not be evaluated: boom\nFix: this is not your object's fault; ask the platform team"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			response := governor(t, judge(func(policy.Review) policy.Decision { return tc.decision })).Validate(t.Context(), request("ServiceEntry", sealedJSON()))
			assert.False(t, response.Allowed)
			assert.Equal(t, tc.code, response.Result.Code)
			assert.Equal(t, tc.reason, response.Result.Reason)
			assert.Equal(t, tc.message, response.Result.Message)
		})
	}
}

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	many := make([]policy.Violation, 5000)
	for i := range many {
		many[i] = policy.Violation{Policy: "p", Message: fmt.Sprint(i)}
	}
	response := governor(t, judge(func(policy.Review) policy.Decision {
		return policy.Decision{Denied: many, Warned: many, Audited: many}
	})).Validate(t.Context(), request("ServiceEntry", sealedJSON()))
	assert.Contains(t, response.Result.Message, "… and 4980 more")
	assert.Less(t, strings.Count(response.Result.Message, "\n"), 50)
	assert.LessOrEqual(t, len(response.Warnings), 21)
	assert.Less(t, len(response.AuditAnnotations["violations"]), 2000)
}

func TestWhatCannotBeReadIsNotAllowed(t *testing.T) {
	t.Parallel()
	change := func(f func(*admission.Request)) admission.Request {
		out := request("ServiceEntry", entryJSON(goodSpec))
		f(&out)
		return out
	}
	for name, tc := range map[string]struct {
		request admission.Request
		code    int32
	}{
		"no object":            {request("ServiceEntry", ""), 400},
		"not JSON":             {request("ServiceEntry", "{"), 400},
		"not an object":        {request("ServiceEntry", "[]"), 400},
		"another kind inside":  {request("VirtualService", entryJSON(goodSpec)), 400},
		"an ungoverned kind":   {request("Gateway", `{"apiVersion":"networking.istio.io/v1","kind":"Gateway"}`), 400},
		"another group":        {change(func(r *admission.Request) { r.Kind.Group = "example.com" }), 400},
		"an unknown version":   {change(func(r *admission.Request) { r.Kind.Version = "v9" }), 400},
		"no namespace":         {change(func(r *admission.Request) { r.Namespace = "" }), 400},
		"another operation":    {change(func(r *admission.Request) { r.Operation = admissionv1.Delete }), 400},
		"an update of nothing": {change(func(r *admission.Request) { r.Operation = admissionv1.Update }), 400},
		"an unknown namespace": {change(func(r *admission.Request) { r.Namespace = "gone" }), 500},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := governor(t, judge(silent))
			for _, handle := range []func(context.Context, admission.Request) admission.Response{g.Mutate, g.Validate} {
				response := handle(t.Context(), tc.request)
				assert.False(t, response.Allowed)
				assert.Equal(t, tc.code, response.Result.Code, response.Result.Message)
				assert.NotEmpty(t, response.Result.Message)
			}
		})
	}
}

func TestOddSpecsNeitherPassNorPanic(t *testing.T) {
	t.Parallel()
	for _, spec := range []string{`null`, `7`, `[]`, `{}`, `{"hosts":7}`, `{"hosts":[7]}`, `{"ports":{}}`, `{"endpoints":[null]}`, `{"hosts":["a.b"],"ports":[null]}`} {
		g := governor(t, judge(silent))
		g.Mutate(t.Context(), request("ServiceEntry", entryJSON(spec)))
		assert.False(t, g.Validate(t.Context(), request("ServiceEntry", entryJSON(spec))).Allowed, spec)
		vs := strings.Replace(entryJSON(spec), "ServiceEntry", "VirtualService", 1)
		assert.NotPanics(t, func() {
			g.Mutate(t.Context(), request("VirtualService", vs))
			g.Validate(t.Context(), request("VirtualService", vs))
		}, spec)
	}
	for _, spec := range []string{`{"http":7}`, `{"http":[7]}`, `{"http":[{"route":7}]}`, `{"http":[{"route":[{"destination":7}]}]}`, `{"http":[{"route":[{"destination":{"host":7,"port":7}}],"match":[7]}]}`, `{"tls":[{"match":[{"sniHosts":7}],"route":[{"destination":{"host":"a.b"}}]}]}`} {
		vs := strings.Replace(entryJSON(spec), "ServiceEntry", "VirtualService", 1)
		g := governor(t, judge(silent))
		assert.NotPanics(t, func() {
			g.Mutate(t.Context(), request("VirtualService", vs))
			g.Validate(t.Context(), request("VirtualService", vs))
		}, spec)
	}
}

func TestOnTheWire(t *testing.T) {
	t.Parallel()
	review := func(object string) string {
		return `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","kind":{"group":"networking.istio.io","version":"v1","kind":"ServiceEntry"},"namespace":"payments","operation":"CREATE","object":` + object + `}}`
	}
	for name, tc := range map[string]struct {
		contentType, body string
		judge             judge
		wantCode          int32
	}{
		"an empty body":        {"application/json", "", silent, 400},
		"not JSON":             {"application/json", "{", silent, 400},
		"another content type": {"text/plain", review(entryJSON(goodSpec)), silent, 400},
		"no request":           {"application/json", `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`, silent, 400},
		"another document":     {"application/json", `{"apiVersion":"v1","kind":"Pod"}`, silent, 400},
		"a panic": {"application/json", review(sealedJSON()), func(policy.Review) policy.Decision {
			panic("boom")
		}, 500},
		"too large": {"application/json", review(entryJSON(`{"x":"` + strings.Repeat("a", 8<<20) + `"}`)), silent, 413},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			handler := &admission.Webhook{Handler: admission.HandlerFunc(governor(t, tc.judge).Validate)}
			recorder := httptest.NewRecorder()
			httpRequest := httptest.NewRequest(http.MethodPost, "/validate", bytes.NewBufferString(tc.body))
			httpRequest.Header.Set("Content-Type", tc.contentType)
			handler.ServeHTTP(recorder, httpRequest)
			var answer admissionv1.AdmissionReview
			require.NoError(t, json.Unmarshal(recorder.Body.Bytes(), &answer))
			require.NotNil(t, answer.Response)
			assert.False(t, answer.Response.Allowed)
			assert.Equal(t, tc.wantCode, answer.Response.Result.Code, answer.Response.Result.Message)
		})
	}
}

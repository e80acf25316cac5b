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
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
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
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/internal/record"
	"github.com/egress-governor/egress-governor/internal/registry"
	"github.com/egress-governor/egress-governor/internal/review"
)

const gatewayService = egresstest.GatewayService

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

type evaluator func(policy.Review) policy.Decision

func (e evaluator) Evaluate(_ context.Context, review policy.Review) policy.Decision {
	return e(review)
}

type checker struct{ err error }

func (c checker) Check(_ context.Context, of *v1alpha1.EgressPolicy) ([]string, error) {
	return of.Spec.Warnings(), c.err
}

func silent(policy.Review) policy.Decision { return policy.Decision{} }

func handler(t testing.TB, policies review.Evaluator) *admit.Handler {
	t.Helper()
	mesh := egresstest.Mesh()
	scheme := runtime.NewScheme()
	require.NoError(t, v1alpha1.AddToScheme(scheme))
	recorder, err := record.New(nil)
	require.NoError(t, err)
	return admit.New(admit.Options{
		Reviewer: &review.Reviewer{Mesh: mesh, View: registry.New(mesh), Policies: policies}, Recorder: recorder,
		Checker: checker{}, Namespaces: namespaces{}, Live: namespaces{}, Scheme: scheme,
	})
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

// sealedJSON is the stored form of goodSpec.
func sealedJSON() string {
	return strings.Replace(entryJSON(sealedSpec), `"namespace":"payments"}`, `"namespace":"payments","annotations":{"egress-governor.io/intent":`+
		`"[{\"now\":[{\"address\":\"`+gatewayService+`\",\"ports\":{\"tls\":443}}],\"paths\":[\"spec.endpoints\"]}]"}}`, 1)
}

func TestMutatePatchesOnlyWhatItSeals(t *testing.T) {
	t.Parallel()
	response := handler(t, evaluator(silent)).Mutate(t.Context(), request("ServiceEntry", entryJSON(goodSpec)))
	require.True(t, response.Allowed)
	var paths []string
	for _, operation := range response.Patches {
		paths = append(paths, operation.Operation+" "+operation.Path)
	}
	assert.ElementsMatch(t, []string{"add /metadata/annotations", "add /spec/endpoints"}, paths)
	again := handler(t, evaluator(silent)).Mutate(t.Context(), request("ServiceEntry", sealedJSON()))
	assert.True(t, again.Allowed)
	assert.Empty(t, again.Patches)
}

// TestMutateRefusesWhatHasNoStoredForm, with what else speaks against it: the API server's own policies come before Validate.
func TestMutateRefusesWhatHasNoStoredForm(t *testing.T) {
	t.Parallel()
	denying := evaluator(func(policy.Review) policy.Decision {
		return policy.Decision{Denied: []policy.Violation{{Policy: "p", Code: "bad-host", Field: "spec.hosts[0]", Message: "bad", Fix: "mend"}}}
	})
	for name, tc := range map[string]struct{ spec, says string }{
		"not to be sealed":       {`{"hosts":["api.example.com"],"resolution":"DYNAMIC_DNS","ports":[{"number":443,"name":"tls","protocol":"TLS"}]}`, "spec.resolution"},
		"not shown to be inside": {`{"hosts":["api.example.com"],"location":"MESH_INTERNAL","resolution":"DNS","ports":[{"number":443,"name":"tls","protocol":"TLS"}]}`, "spec.endpoints"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			response := handler(t, denying).Mutate(t.Context(), request("ServiceEntry", entryJSON(tc.spec)))
			require.False(t, response.Allowed)
			assert.Contains(t, response.Result.Message, tc.says)
			assert.Contains(t, response.Result.Message, "p: spec.hosts[0]: bad")
			assert.Empty(t, response.Patches)
		})
	}
	response := handler(t, denying).Mutate(t.Context(), request("ServiceEntry", entryJSON(goodSpec)))
	assert.True(t, response.Allowed, "policies are Validate's to ask, of what has one")
}

func TestUnsealedEntryDoesNotPassValidation(t *testing.T) {
	t.Parallel()
	response := handler(t, evaluator(silent)).Validate(t.Context(), request("ServiceEntry", entryJSON(goodSpec)))
	assert.False(t, response.Allowed)
	assert.Equal(t, int32(http.StatusUnprocessableEntity), response.Result.Code)
	assert.Contains(t, response.Result.Message, "not-sealed")
	response = handler(t, evaluator(silent)).Validate(t.Context(), request("ServiceEntry", sealedJSON()))
	assert.True(t, response.Allowed, response.Result)
}

// TestTheThreeNoesDiffer in code, reason and sentence; a program finds the codes of the findings where kubectl does not
// print them in place of the message.
func TestTheThreeNoesDiffer(t *testing.T) {
	t.Parallel()
	violation := policy.Violation{Policy: "p", Library: "lib", Code: "bad-spec", Field: "spec", Message: "bad", Fix: "mend"}
	for name, tc := range map[string]struct {
		object   string
		decision policy.Decision
		code     int32
		reason   metav1.StatusReason
		message  string
		causes   []metav1.StatusCause
	}{
		"denied": {
			object: sealedJSON(), decision: policy.Decision{Denied: []policy.Violation{violation}},
			code: 403, reason: metav1.StatusReasonForbidden, message: "p: spec: bad (lib).\nFix: mend",
			causes: []metav1.StatusCause{{Type: "bad-spec", Field: "spec", Message: "bad"}},
		},
		"failed": {
			object: sealedJSON(), decision: policy.Decision{Failed: []policy.Failure{{Policy: "p", Err: errors.New("boom")}}},
			code: 500, reason: metav1.StatusReasonInternalError,
			message: "p: policy could not be evaluated: boom\nFix: this is not your object's fault; ask the platform team",
			causes:  []metav1.StatusCause{{Type: "evaluation-failed", Message: "policy could not be evaluated: boom"}},
		},
		"refused": {
			object: entryJSON(`{"hosts":["db.example.com"],"resolution":"DNS","ports":[{"number":5432,"name":"db","protocol":"TCP"}]}`),
			code:   422, reason: metav1.StatusReasonInvalid,
			message: `egress-governor: spec.ports[0].protocol: protocol "TCP" of port 5432 carries no host name, so the gateway cannot tell where it goes (raw-protocol).` +
				"\nFix: declare TLS if the connection starts with TLS, HTTP, HTTP2 or GRPC if it is plain HTTP; for any other, ask the platform team for an egress gateway with transport MutualTLS",
		},
		"denied before refused": {
			object:   entryJSON(`{"hosts":["db.example.com"],"resolution":"DNS","ports":[{"number":5432,"name":"db","protocol":"TCP"}]}`),
			decision: policy.Decision{Denied: []policy.Violation{violation}},
			code:     403, reason: metav1.StatusReasonForbidden,
			message: "p: spec: bad (lib).\nFix: mend\n" +
				`egress-governor: spec.ports[0].protocol: protocol "TCP" of port 5432 carries no host name, so the gateway cannot tell where it goes (raw-protocol).` +
				"\nFix: declare TLS if the connection starts with TLS, HTTP, HTTP2 or GRPC if it is plain HTTP; for any other, ask the platform team for an egress gateway with transport MutualTLS",
			causes: []metav1.StatusCause{
				{Type: "bad-spec", Field: "spec", Message: "bad"},
				{Type: "raw-protocol", Field: "spec.ports[0].protocol", Message: `protocol "TCP" of port 5432 carries no host name, so the gateway cannot tell where it goes`},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			policies := evaluator(func(policy.Review) policy.Decision { return tc.decision })
			response := handler(t, policies).Validate(t.Context(), request("ServiceEntry", tc.object))
			assert.False(t, response.Allowed)
			assert.Equal(t, tc.code, response.Result.Code)
			assert.Equal(t, tc.reason, response.Result.Reason)
			assert.Equal(t, tc.message, response.Result.Message)
			if tc.causes == nil {
				assert.Nil(t, response.Result.Details)
				return
			}
			assert.Equal(t, tc.causes, response.Result.Details.Causes)
		})
	}
}

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	many := make([]policy.Violation, 5000)
	for i := range many {
		many[i] = policy.Violation{Policy: "p", Message: fmt.Sprint(i)}
	}
	response := handler(t, evaluator(func(policy.Review) policy.Decision {
		return policy.Decision{Denied: many, Warned: many, Audited: many}
	})).Validate(t.Context(), request("ServiceEntry", sealedJSON()))
	assert.Contains(t, response.Result.Message, "… and 4980 more")
	assert.Less(t, strings.Count(response.Result.Message, "\n"), 50)
	assert.LessOrEqual(t, len(response.Warnings), 21)
	assert.LessOrEqual(t, len(response.Result.Details.Causes), 20)
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
		"an ungoverned kind":   {request("Telemetry", `{"apiVersion":"networking.istio.io/v1","kind":"Telemetry"}`), 400},
		"another group":        {change(func(r *admission.Request) { r.Kind.Group = "example.com" }), 400},
		"another kind's group": {change(func(r *admission.Request) { r.Kind.Group, r.Kind.Kind = "gateway.networking.k8s.io", "Gateway" }), 400},
		"an unknown version":   {change(func(r *admission.Request) { r.Kind.Version = "v9" }), 400},
		"no namespace":         {change(func(r *admission.Request) { r.Namespace = "" }), 400},
		"another operation":    {change(func(r *admission.Request) { r.Operation = admissionv1.Delete }), 400},
		"an update of nothing": {change(func(r *admission.Request) { r.Operation = admissionv1.Update }), 400},
		"an unknown namespace": {change(func(r *admission.Request) { r.Namespace = "gone" }), 500},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := handler(t, evaluator(silent))
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
		g := handler(t, evaluator(silent))
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
		g := handler(t, evaluator(silent))
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
		policies          evaluator
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
			handler := &admission.Webhook{Handler: admission.HandlerFunc(handler(t, tc.policies).Validate)}
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

// TestPoliciesAreToldTheTime: they have no clock of their own.
func TestPoliciesAreToldTheTime(t *testing.T) {
	t.Parallel()
	var told string
	response := handler(t, evaluator(func(review policy.Review) policy.Decision {
		told, _ = review.Document["time"].(string)
		return policy.Decision{}
	})).Validate(t.Context(), request("ServiceEntry", sealedJSON()))
	require.True(t, response.Allowed)
	at, err := time.Parse(time.RFC3339, told)
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now(), at, time.Minute)
}

// unhurried evaluates for longer than the view of the cluster may lag.
type unhurried struct{}

func (unhurried) Evaluate(ctx context.Context, _ policy.Review) policy.Decision {
	select {
	case <-ctx.Done():
		return policy.Decision{Failed: []policy.Failure{{Policy: "slow", Err: ctx.Err()}}}
	case <-time.After(600 * time.Millisecond):
		return policy.Decision{}
	}
}

// TestPoliciesHaveTheirOwnTime, however soon the view of the cluster has caught up.
func TestPoliciesHaveTheirOwnTime(t *testing.T) {
	t.Parallel()
	response := handler(t, unhurried{}).Validate(t.Context(), request("ServiceEntry", sealedJSON()))
	assert.True(t, response.Allowed, response.Result)
}

// TestWhoIsExcludedIsTold, and noted down, whatever the answer.
func TestWhoIsExcludedIsTold(t *testing.T) {
	t.Parallel()
	for _, decision := range []policy.Decision{
		{Exempt: []string{"a", "b"}},
		{Exempt: []string{"a", "b"}, Denied: []policy.Violation{{Policy: "c", Message: "no"}}},
	} {
		in := request("ServiceEntry", sealedJSON())
		in.UserInfo.Username = "firefighter"
		response := handler(t, evaluator(func(asked policy.Review) policy.Decision {
			assert.Equal(t, "firefighter", asked.User.Name)
			return decision
		})).Validate(t.Context(), in)
		assert.Equal(t, decision.Denied == nil, response.Allowed)
		require.NotEmpty(t, response.Warnings)
		assert.Equal(t, "user firefighter is excluded from EgressPolicy a, b, which did not look at this. Fix: write as another user where that is not meant (spec.match.excludeUsers, excludeGroups)", response.Warnings[0])
		assert.Equal(t, map[string]string{"exempt-user": "firefighter", "exempt-from": "EgressPolicy a, b", "request-id": "1"}, response.AuditAnnotations)
	}
}

// TestALabelIsNoWall: whoever has a policy deny by the labels of objects is told that their authors set them.
func TestALabelIsNoWall(t *testing.T) {
	t.Parallel()
	const by = `"match":{"objectSelector":{"matchLabels":{"tier":"new"}}}`
	for spec, told := range map[string]bool{by: true, by + `,"enforcement":"Deny"`: true, by + `,"enforcement":"Audit"`: false, `"match":{"objectSelector":{}}`: false, `"match":{}`: false} {
		response := handler(t, evaluator(silent)).ValidatePolicy(t.Context(), admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
			Kind: metav1.GroupVersionKind{Group: v1alpha1.GroupVersion.Group, Version: "v1alpha1", Kind: "EgressPolicy"}, Operation: admissionv1.Create,
			Object: runtime.RawExtension{Raw: []byte(`{"apiVersion":"egress-governor.io/v1alpha1","kind":"EgressPolicy","metadata":{"name":"p"},"spec":{"policy":"x",` + spec + `}}`)},
		}})
		assert.True(t, response.Allowed)
		assert.Equal(t, told, strings.Contains(strings.Join(response.Warnings, "\n"), "whoever labels it otherwise escapes"), spec)
	}
}

// TestEachNoHasOneLine of the log, by the ID under which the API server's audit log has the request; a yes has none.
func TestEachNoHasOneLine(t *testing.T) {
	t.Parallel()
	policyRequest := func(h *admit.Handler) func(context.Context, admission.Request) admission.Response {
		h.Checker = checker{errors.New("hosts.rego:3: of 10 hosts")}
		return h.ValidatePolicy
	}
	malformed := request("ServiceEntry", "{")
	egressPolicy := request("EgressPolicy", `{"apiVersion":"egress-governor.io/v1alpha1","kind":"EgressPolicy","metadata":{"name":"p"},"spec":{}}`)
	egressPolicy.Kind.Group = v1alpha1.GroupVersion.Group
	for name, of := range map[string]struct {
		by   func(*admit.Handler) func(context.Context, admission.Request) admission.Response
		in   admission.Request
		line string
	}{
		"denied":    {func(h *admit.Handler) func(context.Context, admission.Request) admission.Response { return h.Validate }, request("ServiceEntry", sealedJSON()), `"verdict"="denied" "operation"="CREATE" "reasons"=["host-denied at spec.hosts[0] by p"]`},
		"and more":  {func(h *admit.Handler) func(context.Context, admission.Request) admission.Response { return h.Mutate }, request("ServiceEntry", entryJSON(`{"hosts":["10.0.0.1"],"ports":[{"number":443,"name":"tls","protocol":"TLS"}]}`)), `"ip-host at spec.hosts[0]"`},
		"malformed": {func(h *admit.Handler) func(context.Context, admission.Request) admission.Response { return h.Validate }, malformed, `"verdict"="failed" "operation"="CREATE" "status"=400`},
		"a policy":  {policyRequest, egressPolicy, `"verdict"="refused" "operation"="CREATE" "reasons"=["unfit-policy"]`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := handler(t, evaluator(func(policy.Review) policy.Decision {
				return policy.Decision{Denied: []policy.Violation{{Policy: "p", Code: "host-denied", Field: "spec.hosts[0]", Message: "no"}}}
			}))
			var lines []string
			logger := funcr.New(func(_, line string) { lines = append(lines, line) }, funcr.Options{})
			response := of.by(h)(logr.NewContext(t.Context(), logger), of.in)
			require.False(t, response.Allowed)
			assert.Equal(t, "1", response.AuditAnnotations["request-id"])
			require.Len(t, lines, 1)
			assert.Contains(t, lines[0], `"msg"="Not allowed"`)
			assert.Contains(t, lines[0], of.line)
		})
	}
	h := handler(t, evaluator(silent))
	assert.Empty(t, h.Validate(t.Context(), request("ServiceEntry", sealedJSON())).AuditAnnotations)
}

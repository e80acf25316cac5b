package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "go.opentelemetry.io/proto/otlp/trace/v1"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/admit"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/internal/record"
	"github.com/egress-governor/egress-governor/internal/registry"
	"github.com/egress-governor/egress-governor/internal/review"
	"github.com/egress-governor/egress-governor/policies"
)

// admission is the handler of admission as run puts it together, in front of a cluster of one namespace.
func (t *tracing) admission(test *testing.T) http.Handler {
	test.Helper()
	engine, err := policy.NewEngine(policies.Library())
	require.NoError(test, err)
	for _, name := range []string{"first", "second"} {
		rego := "package " + name + "\nimport rego.v1\ndeny contains {\"msg\": \"no\", \"code\": \"not-" + name + "\"} if input.operation == \"CREATE\"\n"
		require.NoError(test, engine.Set(&v1alpha1.EgressPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.EgressPolicySpec{Rego: rego}}))
	}
	recorder, err := record.New(nil)
	require.NoError(test, err)
	scheme := runtime.NewScheme()
	require.NoError(test, corev1.AddToScheme(scheme))
	cluster := fake.NewClientBuilder().WithScheme(scheme).WithObjects(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "payments"}}).Build()
	server := t.serving(webhook.NewServer(webhook.Options{}))
	mesh := egresstest.Mesh()
	admit.New(admit.Options{
		Reviewer: &review.Reviewer{Mesh: mesh, View: registry.New(mesh), Policies: engine}, Recorder: recorder,
		Namespaces: cluster, Live: cluster, Scheme: scheme,
	}).Register(server)
	return server.WebhookMux()
}

// asked sends a request to a path as the API server does.
func asked(t *testing.T, handler http.Handler, path, traceparent string) *admissionv1.AdmissionResponse {
	t.Helper()
	object := `{"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": {"name": "api"},
		"spec": {"hosts": ["api.example.com"], "ports": [{"number": 443, "name": "tls", "protocol": "TLS"}], "resolution": "DNS",
		"endpoints": [{"address": "` + egresstest.GatewayService + `", "ports": {"tls": 443}}]}}`
	raw, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: "11111111-2222", Kind: metav1.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "ServiceEntry"},
			Operation: admissionv1.Create, Namespace: "payments", Name: "api", Object: runtime.RawExtension{Raw: []byte(object)},
			UserInfo: authenticationv1.UserInfo{Username: strings.Repeat("u", 1000)},
		},
	})
	require.NoError(t, err)
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, bytes.NewReader(raw))
	request.Header.Set("Content-Type", "application/json")
	if traceparent != "" {
		request.Header.Set("Traceparent", traceparent)
	}
	answer := deadlined{httptest.NewRecorder()}
	handler.ServeHTTP(answer, request)
	var out admissionv1.AdmissionReview
	require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &out))
	return out.Response
}

// deadlined takes deadlines as a server's writer does.
type deadlined struct{ *httptest.ResponseRecorder }

func (deadlined) SetReadDeadline(time.Time) error { return nil }

// TestAnOTLPReceiverHearsOfARequestAndItsParts, by either protocol: as part of what the API server traces.
func TestAnOTLPReceiverHearsOfARequestAndItsParts(t *testing.T) {
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			collected := received(t)
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", map[string]string{"grpc": collected.grpc, "http/protobuf": collected.http}[protocol])
			t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
			t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20secret")
			t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.cluster.name=one")
			spans, err := newTracing(t.Context(), logr.Discard())
			require.NoError(t, err)
			handler := spans.admission(t)
			assert.False(t, asked(t, handler, admit.ValidatePath, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").Allowed)
			asked(t, handler, admit.MutatePath, "")
			require.NoError(t, spans.stop(t.Context()))

			whole := collected.named("admission validate", "egress_governor.request_id")["11111111-2222"]
			require.NotNil(t, whole)
			assert.Equal(t, "0af7651916cd43dd8448eb211c80319c", hex.EncodeToString(whole.TraceId), "of the API server's trace")
			assert.Equal(t, "b7ad6b7169203331", hex.EncodeToString(whole.ParentSpanId))
			assert.Equal(t, v1.Span_SPAN_KIND_SERVER, whole.Kind)
			assert.Equal(t, "denied", valueOf(whole, "egress_governor.verdict"))
			assert.Len(t, valueOf(whole, "egress_governor.user"), maxAttribute, "attributes are bounded")
			for _, part := range []string{"turn", "decode", "review"} {
				for _, of := range collected.named(part, "") {
					assert.NotEmpty(t, of.ParentSpanId, part)
				}
				assert.NotEmpty(t, collected.named(part, ""), part)
			}
			assert.NotEmpty(t, collected.named("facts", ""))
			asked := collected.named("policy", "egress_governor.policy")
			require.Contains(t, asked, "first")
			require.Contains(t, asked, "second")
			assert.Equal(t, whole.TraceId, asked["first"].TraceId)
			mutated := collected.named("admission mutate", "")[""]
			require.NotNil(t, mutated)
			assert.NotEqual(t, whole.TraceId, mutated.TraceId, "a trace of its own")
			assert.Equal(t, mutated.SpanId, collected.named("seal", "")[""].ParentSpanId)
			assert.Equal(t, "egress-governor", collected.service["service.name"])
			assert.Equal(t, "one", collected.service["k8s.cluster.name"])
			if protocol != "grpc" {
				assert.Equal(t, "Bearer secret", collected.headers.Get("Authorization"))
			}
			for _, span := range collected.spans {
				assert.NotContains(t, span.String(), "secret")
				assert.NotContains(t, span.String(), "api.example.com", "what authors write is in no span")
			}
		})
	}
}

// TestWhatTheAPIServerDoesNotSampleIsNotSent, by default.
func TestWhatTheAPIServerDoesNotSampleIsNotSent(t *testing.T) {
	collected := received(t)
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", collected.http+"/v1/traces")
	spans, err := newTracing(t.Context(), logr.Discard())
	require.NoError(t, err)
	asked(t, spans.admission(t), admit.ValidatePath, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")
	require.NoError(t, spans.stop(t.Context()))
	assert.Empty(t, collected.spans)
}

// TestCallsOfTheAPIServerArePartsOfWhatTheyAreFor, and those that are for nothing are no traces of their own.
func TestCallsOfTheAPIServerArePartsOfWhatTheyAreFor(t *testing.T) {
	collected := received(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collected.http)
	spans, err := newTracing(t.Context(), logr.Discard())
	require.NoError(t, err)
	var parents []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { parents = append(parents, r.Header.Get("Traceparent")) }))
	defer server.Close()
	call := func(ctx context.Context) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
		require.NoError(t, err)
		response, err := spans.transport(http.DefaultTransport).RoundTrip(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
	}
	call(spans.context())
	ctx, turn := spans.tracer().Start(spans.context(), "reconcile exits")
	call(ctx)
	turn.End()
	require.NoError(t, spans.stop(t.Context()))
	require.Len(t, parents, 2)
	assert.Empty(t, parents[0])
	assert.Contains(t, parents[1], turn.SpanContext().TraceID().String())
	assert.Len(t, collected.spans, 2)
}

// TestTracingIsAskedFor by OpenTelemetry's variables, and by nothing else; wrong ones are named.
func TestTracingIsAskedFor(t *testing.T) {
	for name, of := range map[string]struct {
		variables map[string]string
		on        bool
		says      string
	}{
		"nothing":         {},
		"switched off":    {variables: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1", "OTEL_SDK_DISABLED": "true"}},
		"no exporter":     {variables: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1", "OTEL_TRACES_EXPORTER": "none"}},
		"an endpoint":     {variables: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://a:1"}, on: true},
		"one for traces":  {variables: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://a:1"}, on: true},
		"no URL":          {variables: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317"}, says: "OTEL_EXPORTER_OTLP_ENDPOINT must be"},
		"no such dialect": {variables: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, says: `is "http/json"`},
	} {
		t.Run(name, func(t *testing.T) {
			for variable, value := range of.variables {
				t.Setenv(variable, value)
			}
			spans, err := newTracing(t.Context(), logr.Discard())
			if of.says != "" {
				require.ErrorContains(t, err, of.says)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, of.on, spans != nil)
			if !of.on {
				assert.Equal(t, context.Background(), spans.context())
				assert.Equal(t, http.DefaultTransport, spans.transport(http.DefaultTransport))
				require.NoError(t, spans.stop(t.Context()))
			}
		})
	}
}

// TestAReceiverThatDoesNotAnswerKeepsNobodyWaiting: an answer that waited for it would not come.
func TestAReceiverThatDoesNotAnswerKeepsNobodyWaiting(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // for as long as the test takes
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, silent.Close()) })
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+silent.Addr().String())
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600000")
	spans, err := newTracing(t.Context(), logr.Discard())
	require.NoError(t, err)
	assert.False(t, asked(t, spans.admission(t), admit.ValidatePath, "").Allowed)
}

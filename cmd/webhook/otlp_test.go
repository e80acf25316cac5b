package main

import (
	"compress/gzip"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	v1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// receiver is an OTLP receiver of spans, by both protocols.
type receiver struct {
	collector.UnimplementedTraceServiceServer
	grpc, http string

	mu    sync.Mutex
	spans []*v1.Span
	// headers are those of the last request by HTTP, service the attributes of what sent last.
	headers http.Header
	service map[string]string
}

func received(t *testing.T) *receiver {
	t.Helper()
	out := &receiver{}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, out)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	byHTTP := httptest.NewServer(http.HandlerFunc(out.post))
	t.Cleanup(byHTTP.Close)
	out.grpc, out.http = "http://"+listener.Addr().String(), byHTTP.URL
	return out
}

// Export implements the service of OTLP.
func (r *receiver) Export(_ context.Context, request *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range request.ResourceSpans {
		r.service = map[string]string{}
		for _, attribute := range resource.Resource.Attributes {
			r.service[attribute.Key] = attribute.Value.GetStringValue()
		}
		for _, scope := range resource.ScopeSpans {
			r.spans = append(r.spans, scope.Spans...)
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

func (r *receiver) post(w http.ResponseWriter, request *http.Request) {
	var body io.Reader = request.Body
	if request.Header.Get("Content-Encoding") == "gzip" {
		body, _ = gzip.NewReader(body)
	}
	raw, err := io.ReadAll(body)
	of := &collector.ExportTraceServiceRequest{}
	if err != nil || request.URL.Path != "/v1/traces" || proto.Unmarshal(raw, of) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.headers = request.Header
	_, _ = r.Export(request.Context(), of)
}

// named returns the spans of a name, by the values of a key.
func (r *receiver) named(name, key string) (out map[string]*v1.Span) {
	out = map[string]*v1.Span{}
	for _, span := range r.spans {
		if span.Name == name {
			out[valueOf(span, key)] = span
		}
	}
	return out
}

func valueOf(span *v1.Span, key string) string {
	for _, attribute := range span.Attributes {
		if attribute.Key == key {
			return attribute.Value.GetStringValue()
		}
	}
	return ""
}

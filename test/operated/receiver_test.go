package operated

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// receiver is an OTLP receiver of spans.
type receiver struct {
	collector.UnimplementedTraceServiceServer
	address string

	mu    sync.Mutex
	spans []told
}

// told is a span, and the service that told it.
type told struct {
	*tracev1.Span
	service string
}

func received(t *testing.T) *receiver {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	out := &receiver{address: listener.Addr().String()}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, out)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return out
}

// Export implements the service of OTLP.
func (r *receiver) Export(_ context.Context, request *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range request.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				r.spans = append(r.spans, told{span, valueOf(resource.Resource.Attributes, "service.name")})
			}
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

func valueOf(attributes []*commonv1.KeyValue, key string) string {
	for _, attribute := range attributes {
		if attribute.Key == key {
			return attribute.Value.GetStringValue()
		}
	}
	return ""
}

// named returns our spans of a name with a value.
func (r *receiver) named(name, key, value string) (out []*tracev1.Span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, span := range r.spans {
		if span.service == "egress-governor" && span.Name == name && valueOf(span.Attributes, key) == value {
			out = append(out, span.Span)
		}
	}
	return out
}

// parent returns the span of which another is a part.
func (r *receiver) parent(of *tracev1.Span) (out told) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, span := range r.spans {
		if string(span.TraceId) == string(of.TraceId) && string(span.SpanId) == string(of.ParentSpanId) {
			out = span
		}
	}
	return out
}

// parts returns the names of the parts of one.
func (r *receiver) parts(of *tracev1.Span) (out []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, span := range r.spans {
		if string(span.TraceId) == string(of.TraceId) && string(span.ParentSpanId) == string(of.SpanId) {
			out = append(out, span.Name)
		}
	}
	return out
}

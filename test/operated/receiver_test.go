package operated

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// receiver is the OTLP receiver of OpenTelemetry's collector, a process of its own (test/otlp), and what it hands on.
type receiver struct {
	// grpc and http are where it listens.
	grpc, http string

	mu    sync.Mutex
	spans []told
}

// told is a span, and the service that told it.
type told struct {
	*tracev1.Span
	service string
}

func received(t *testing.T, root string) *receiver {
	t.Helper()
	program, err := controlplane.BuildReceiver(root)
	require.NoError(t, err)
	at := free(t, 2)
	out := &receiver{grpc: at[0], http: at[1]}
	process := exec.Command(program, "--grpc="+out.grpc, "--http="+out.http)
	process.Stderr = os.Stderr
	hands, err := process.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, process.Start())
	read := make(chan error, 1)
	go func() { read <- out.read(bufio.NewReader(hands)) }()
	t.Cleanup(func() {
		require.NoError(t, process.Process.Signal(syscall.SIGTERM))
		require.ErrorIs(t, <-read, io.EOF)
		assert.NoError(t, process.Wait())
	})
	return out
}

// free are addresses of loopback that nobody listens on.
func free(t *testing.T, n int) (out []string) {
	t.Helper()
	ports, err := controlplane.FreePorts(n)
	require.NoError(t, err)
	for _, port := range ports {
		out = append(out, fmt.Sprintf("127.0.0.1:%d", port))
	}
	return out
}

// read takes what is handed on, until it ends.
func (r *receiver) read(from io.Reader) error {
	for {
		var length uint32
		if err := binary.Read(from, binary.BigEndian, &length); err != nil {
			return err
		}
		raw, of := make([]byte, length), &tracev1.TracesData{}
		if _, err := io.ReadFull(from, raw); err != nil {
			return err
		}
		if err := proto.Unmarshal(raw, of); err != nil {
			return err
		}
		r.take(of)
	}
}

func (r *receiver) take(of *tracev1.TracesData) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range of.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				r.spans = append(r.spans, told{span, valueOf(resource.Resource.Attributes, "service.name")})
			}
		}
	}
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

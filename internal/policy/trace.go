package policy

import (
	"fmt"
	"strings"

	"github.com/open-policy-agent/opa/v1/topdown"
)

// maxEvents is how many events a trace has at most.
const maxEvents = 100_000

// trace takes the first events of an evaluation.
type trace struct {
	topdown.BufferTracer
	more int
}

// TraceEvent implements topdown.QueryTracer.
func (t *trace) TraceEvent(event topdown.Event) {
	if len(t.BufferTracer) < maxEvents {
		t.BufferTracer.TraceEvent(event)
		return
	}
	t.more++
}

// String returns the text of the trace, line by line; empty where there was none to be.
func (t *trace) String() string {
	var text strings.Builder
	if len(t.BufferTracer) > 0 {
		topdown.PrettyTraceWithLocation(&text, t.BufferTracer)
	}
	if t.more > 0 {
		fmt.Fprintf(&text, "and %d events more\n", t.more)
	}
	return text.String()
}

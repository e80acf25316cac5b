// Package span tells whoever collects traces by OpenTelemetry what a piece of work was part of, and how long it took. Work
// that nobody traces costs nothing.
package span

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Keys of attributes. None has what an author wrote, but for names.
const (
	RequestID = "egress_governor.request_id"
	Kind      = "egress_governor.kind"
	Operation = "egress_governor.operation"
	Name      = "egress_governor.name"
	User      = "egress_governor.user"
	DryRun    = "egress_governor.dry_run"
	Verdict   = "egress_governor.verdict"
	Codes     = "egress_governor.codes"
	Policy    = "egress_governor.policy"
	Client    = "egress_governor.client"
	Denied    = "egress_governor.denied"
	Warned    = "egress_governor.warned"
	Host      = "egress_governor.host"
	Namespace = "k8s.namespace.name"
)

type tracerKey struct{}

// Traced has a tracer take what is begun below a context.
func Traced(ctx context.Context, by trace.Tracer) context.Context {
	if by == nil {
		return ctx
	}
	return context.WithValue(ctx, tracerKey{}, by)
}

// Whole begins the span of a whole piece of work, where the context is traced.
func Whole(ctx context.Context, name string) (context.Context, Span) {
	return whole(ctx, name, trace.SpanKindInternal)
}

// Answer begins the span of the answer to a request, where the context is traced: a part of what its caller told of, if it did.
func Answer(ctx context.Context, name string) (context.Context, Span) {
	return whole(ctx, name, trace.SpanKindServer)
}

func whole(ctx context.Context, name string, kind trace.SpanKind) (context.Context, Span) {
	tracer, traced := ctx.Value(tracerKey{}).(trace.Tracer)
	if !traced {
		return ctx, Span{}
	}
	ctx, of := tracer.Start(ctx, name, trace.WithSpanKind(kind))
	return ctx, Span{of}
}

// Part begins the span of a part of the work that the context is of; none where that has none.
func Part(ctx context.Context, name string) (context.Context, Span) {
	of := trace.SpanFromContext(ctx)
	if !of.IsRecording() {
		return ctx, Span{}
	}
	ctx, of = of.TracerProvider().Tracer(Scope).Start(ctx, name)
	return ctx, Span{of}
}

// Scope is the name of what makes the spans.
const Scope = "github.com/egress-governor/egress-governor"

// Span is one that was begun, or none.
type Span struct{ of trace.Span }

// Current returns the span of a context.
func Current(ctx context.Context) Span {
	of := trace.SpanFromContext(ctx)
	if !of.IsRecording() {
		return Span{}
	}
	return Span{of}
}

// Recorded says whether there is one: what it is told need not be made up otherwise.
func (s Span) Recorded() bool { return s.of != nil && s.of.IsRecording() }

// TraceID is the ID of the trace, empty for none.
func (s Span) TraceID() string {
	if !s.Recorded() {
		return ""
	}
	return s.of.SpanContext().TraceID().String()
}

// Set tells an attribute.
func (s Span) Set(key, value string) {
	if s.Recorded() {
		s.of.SetAttributes(attribute.String(key, value))
	}
}

// SetInt tells a number.
func (s Span) SetInt(key string, value int) {
	if s.Recorded() {
		s.of.SetAttributes(attribute.Int(key, value))
	}
}

// SetBool tells whether something is so.
func (s Span) SetBool(key string, value bool) {
	if s.Recorded() {
		s.of.SetAttributes(attribute.Bool(key, value))
	}
}

// SetAll tells a list.
func (s Span) SetAll(key string, values []string) {
	if s.Recorded() {
		s.of.SetAttributes(attribute.StringSlice(key, values))
	}
}

// Fail says that the work came to nothing, and of what sort that was: never what an error says, which quotes authors.
func (s Span) Fail(what string) {
	if s.Recorded() {
		s.of.SetStatus(codes.Error, what)
	}
}

// End ends it.
func (s Span) End() {
	if s.of != nil {
		s.of.End()
	}
}

package span_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/egress-governor/egress-governor/internal/span"
)

// tell does what traced work does.
func tell(ctx context.Context) (context.Context, span.Span) {
	ctx, of := span.Whole(ctx, "work")
	of.Set(span.Name, "api")
	of.SetInt(span.Denied, 2)
	of.SetBool(span.DryRun, true)
	span.Current(ctx).Set(span.Verdict, "denied")
	return ctx, of
}

// TestWorkThatNobodyTracesCostsNothing.
func TestWorkThatNobodyTracesCostsNothing(t *testing.T) {
	ctx := span.Traced(t.Context(), nil)
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		ctx, of := tell(ctx)
		_, part := span.Part(ctx, "part")
		part.Fail("refused")
		part.End()
		of.End()
	}))
	_, of := tell(ctx)
	assert.False(t, of.Recorded())
	assert.Empty(t, of.TraceID())
}

// TestPartsBelongToTheirWhole, and one whole is one trace.
func TestPartsBelongToTheirWhole(t *testing.T) {
	t.Parallel()
	told := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(told)).Tracer("test")
	ctx, whole := tell(span.Traced(t.Context(), tracer))
	require.True(t, whole.Recorded())
	_, part := span.Part(ctx, "part")
	part.SetAll(span.Codes, []string{"bad-host"})
	part.Fail("refused")
	part.End()
	of := whole.TraceID()
	whole.End()
	ended := told.Ended()
	require.Len(t, ended, 2)
	assert.Equal(t, "part", ended[0].Name())
	assert.Equal(t, codes.Error, ended[0].Status().Code)
	assert.Equal(t, ended[1].SpanContext().SpanID(), ended[0].Parent().SpanID())
	assert.Equal(t, of, ended[0].SpanContext().TraceID().String())
	assert.Len(t, ended[1].Attributes(), 4)
}

// TestWhatItsCallerDoesNotSampleIsNotTraced, nor is any part of it; nor is a part of what is not traced.
func TestWhatItsCallerDoesNotSampleIsNotTraced(t *testing.T) {
	t.Parallel()
	told := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(told)).Tracer("test")
	of := trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}}
	ctx, whole := tell(trace.ContextWithRemoteSpanContext(span.Traced(t.Context(), tracer), trace.NewSpanContext(of)))
	assert.False(t, whole.Recorded())
	_, part := span.Part(ctx, "part")
	assert.False(t, part.Recorded())
	_, alone := span.Part(span.Traced(t.Context(), tracer), "part")
	assert.False(t, alone.Recorded())
	part.End()
	whole.End()
	assert.Empty(t, told.Ended())

	of.TraceFlags = trace.FlagsSampled
	_, whole = tell(trace.ContextWithRemoteSpanContext(span.Traced(t.Context(), tracer), trace.NewSpanContext(of)))
	whole.End()
	require.Len(t, told.Ended(), 1)
	assert.Equal(t, of.SpanID, told.Ended()[0].Parent().SpanID())
}

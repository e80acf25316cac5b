package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	sdkresource "go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/egress-governor/egress-governor/internal/span"
	"github.com/egress-governor/egress-governor/internal/version"
)

// tracing sends spans to the OTLP receiver that OpenTelemetry's variables name; nil sends none.
type tracing struct{ provider *sdktrace.TracerProvider }

const (
	// maxAttribute bounds the bytes of one attribute, unless OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT does.
	maxAttribute = 256
	// sendingLast is how long a replica that ends takes to send what is left.
	sendingLast = 5 * time.Second
)

// newTracing reads the variables. Nobody is asked yet: a receiver that is not there keeps nobody from being answered.
func newTracing(ctx context.Context, log logr.Logger) (*tracing, error) {
	variable, endpoint := "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
	if endpoint == "" {
		variable, endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT", os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")
	}
	if endpoint == "" || strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		return nil, nil
	}
	if of, err := url.Parse(endpoint); err != nil || of.Host == "" || of.Scheme != "http" && of.Scheme != "https" {
		return nil, fmt.Errorf("%s must be http://host:port or https://host:port", variable)
	}
	client, err := otlpClient()
	if err != nil {
		return nil, err
	}
	exporter, err := otlptrace.New(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	of, err := sdkresource.New(ctx, sdkresource.WithTelemetrySDK(), sdkresource.WithHost(), sdkresource.WithAttributes(
		attribute.String("service.name", "egress-governor"), attribute.String("service.version", version.String()),
	), sdkresource.WithFromEnv())
	if err != nil && !errors.Is(err, sdkresource.ErrPartialResource) {
		return nil, fmt.Errorf("traces: %w", err)
	}
	limits := sdktrace.NewSpanLimits()
	if limits.AttributeValueLengthLimit < 0 {
		limits.AttributeValueLengthLimit = maxAttribute
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Error(err, "Spans were not sent") }))
	return &tracing{sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(of), sdktrace.WithRawSpanLimits(limits))}, nil
}

// otlpClient speaks the protocol that is asked for, OpenTelemetry's default otherwise. It reads the other variables by itself.
func otlpClient() (otlptrace.Client, error) {
	switch protocol := cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL"), "http/protobuf"); protocol {
	case "grpc":
		return otlptracegrpc.NewClient(), nil
	case "http/protobuf":
		return otlptracehttp.NewClient(), nil
	default:
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL must be grpc or http/protobuf, is %q", protocol)
	}
}

// context is what background work is traced by.
func (t *tracing) context() context.Context {
	if t == nil {
		return context.Background()
	}
	return span.Traced(context.Background(), t.tracer())
}

func (t *tracing) tracer() trace.Tracer {
	return t.provider.Tracer(span.Scope, trace.WithInstrumentationVersion(version.String()))
}

// transport has calls of the API server told as parts of the work that they are for.
func (t *tracing) transport(next http.RoundTripper) http.RoundTripper {
	if t == nil {
		return next
	}
	return otelhttp.NewTransport(next, otelhttp.WithTracerProvider(t.provider), otelhttp.WithPropagators(propagation.TraceContext{}),
		otelhttp.WithFilter(func(r *http.Request) bool { return span.Current(r.Context()).Recorded() }))
}

// stop sends what is left.
func (t *tracing) stop(ctx context.Context) error {
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendingLast)
	defer cancel()
	return t.provider.Shutdown(ctx)
}

// tracedServer is a webhook server whose requests are part of the trace that the API server began, where it did.
type tracedServer struct {
	webhook.Server
	by trace.Tracer
}

// serving has a server's requests traced.
func (t *tracing) serving(server webhook.Server) webhook.Server {
	if t == nil {
		return server
	}
	return tracedServer{server, t.tracer()}
}

// Register wraps the handler of a path.
func (s tracedServer) Register(path string, handler http.Handler) {
	s.Server.Register(path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		handler.ServeHTTP(w, r.WithContext(span.Traced(ctx, s.by)))
	}))
}

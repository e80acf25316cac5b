// Otlp runs the OTLP receiver of OpenTelemetry's collector, and writes each batch of spans that it hands on to standard output: its length in
// four bytes, and OTLP's protobuf. It is a module of its own: the collector is built with another glob than Open Policy Agent.
package main

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
)

func main() {
	byGRPC, byHTTP := flag.String("grpc", "", "address of gRPC"), flag.String("http", "", "address of HTTP")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *byGRPC, *byHTTP); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serve receives by both protocols, as a collector's configuration has it with these endpoints alone, until it is told to end.
func serve(ctx context.Context, byGRPC, byHTTP string) error {
	factory := otlpreceiver.NewFactory()
	config := factory.CreateDefaultConfig().(*otlpreceiver.Config)
	config.Protocols.GRPC.GetOrInsertDefault().NetAddr.Endpoint = byGRPC
	config.Protocols.HTTP.GetOrInsertDefault().ServerConfig.NetAddr.Endpoint = byHTTP
	if err := config.Validate(); err != nil {
		return err
	}
	next, err := consumer.NewTraces((&writer{}).consume)
	if err != nil {
		return err
	}
	receiver, err := factory.CreateTraces(ctx, receivertest.NewNopSettings(factory.Type()), config, next)
	if err != nil {
		return err
	}
	if err := receiver.Start(ctx, componenttest.NewNopHost()); err != nil {
		return err
	}
	<-ctx.Done()
	return receiver.Shutdown(context.WithoutCancel(ctx))
}

// writer writes one batch after the other.
type writer struct{ mu sync.Mutex }

func (w *writer) consume(_ context.Context, traces ptrace.Traces) error {
	raw, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(traces)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err = os.Stdout.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(raw))), raw...))
	return err
}

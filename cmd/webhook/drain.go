package main

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/webhook"
)

// drainingServer is a webhook server that, once stopping, asks its clients after each answer to come back on another
// connection, which finds another replica. Closing idle connections at the end would not do: the API server keeps one
// for hours, and may send the next request on it in that very moment.
type drainingServer struct {
	webhook.Server
	stopping *atomic.Bool
	// failed is how long it serves on where the manager ends by itself, as it does when it loses its lease: nobody else knows of
	// that end. What the replica knows of the cluster is as old then as whatever kept it from the lease.
	failed time.Duration
	// served is waited for before the program ends.
	served *sync.WaitGroup
	// answer is called as an answer begins, and what it returns at its end.
	answer func() (done func())
}

// failedDelay is how many times longer a replica serves on that nobody told to stop: the Service learns of it by its probes alone.
const failedDelay = 2

// Start implements manager.Runnable.
func (s drainingServer) Start(ctx context.Context) error {
	s.served.Add(1)
	defer s.served.Done()
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	context.AfterFunc(ctx, func() {
		if s.stopping.Swap(true) {
			cancel() // the delay is over
			return
		}
		time.AfterFunc(s.failed, cancel)
	})
	return s.Server.Start(serving)
}

// Register wraps the handler of a path.
func (s drainingServer) Register(path string, handler http.Handler) {
	s.Server.Register(path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.stopping.Load() {
			w.Header().Set("Connection", "close")
		}
		defer s.answer()()
		handler.ServeHTTP(w, r)
	}))
}

// drainContext returns a context that ends a delay after the given one: requests still come until every client has
// learnt that this replica is going. In between, stopping is true.
func drainContext(ctx context.Context, delay time.Duration, stopping *atomic.Bool) context.Context {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() {
		stopping.Store(true)
		time.AfterFunc(delay, cancel)
	})
	return out
}

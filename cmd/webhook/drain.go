package main

import (
	"context"
	"net/http"
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
}

// Register wraps the handler of a path.
func (s drainingServer) Register(path string, handler http.Handler) {
	s.Server.Register(path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.stopping.Load() {
			w.Header().Set("Connection", "close")
		}
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

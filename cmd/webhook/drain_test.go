package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
)

func TestDrainingServerSendsClientsElsewhere(t *testing.T) {
	t.Parallel()
	stopping := &atomic.Bool{}
	server := drainingServer{Server: webhook.NewServer(webhook.Options{}), stopping: stopping, answer: func() func() { return func() {} }}
	paths := map[string]int{"/mutate": http.StatusOK, "/validate": http.StatusBadRequest, "/validate-policy": http.StatusInternalServerError}
	for path, status := range paths {
		server.Register(path, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	}
	connection := func(path string) string {
		answer := httptest.NewRecorder()
		server.WebhookMux().ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, nil))
		assert.Equal(t, paths[path], answer.Code, "%s is answered by its handler", path)
		return answer.Header().Get("Connection")
	}
	for path := range paths {
		assert.Empty(t, connection(path), "%s keeps its connection while the replica stays", path)
	}
	stopping.Store(true)
	for path := range paths {
		assert.Equal(t, "close", connection(path), "%s gives its connection up while the replica goes", path)
	}
}

// TestWhatIsAnsweredIsTold, as long as it is: the work in the background gives way to it.
func TestWhatIsAnsweredIsTold(t *testing.T) {
	t.Parallel()
	answering := 0
	server := drainingServer{Server: webhook.NewServer(webhook.Options{}), stopping: &atomic.Bool{}, answer: func() func() {
		answering++
		return func() { answering-- }
	}}
	server.Register("/mutate", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { assert.Equal(t, 1, answering) }))
	server.WebhookMux().ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/mutate", nil))
	assert.Zero(t, answering)
}

func TestDrainContextEndsADelayAfterItsParent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		const delay = 5 * time.Second
		parent, stop := context.WithCancel(context.WithValue(t.Context(), key{}, "kept"))
		stopping := &atomic.Bool{}
		ctx := drainContext(parent, delay, stopping)
		assert.Equal(t, "kept", ctx.Value(key{}), "the parent's values stay")

		time.Sleep(time.Hour)
		synctest.Wait()
		require.NoError(t, ctx.Err(), "nothing ends while the parent lives")
		assert.False(t, stopping.Load())

		stop()
		synctest.Wait()
		assert.True(t, stopping.Load(), "stopping begins with the parent's end")
		require.NoError(t, ctx.Err(), "the parent's end is not this one's")

		time.Sleep(delay - time.Nanosecond)
		synctest.Wait()
		require.NoError(t, ctx.Err(), "requests are answered until the delay is over")

		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.ErrorIs(t, ctx.Err(), context.Canceled)
		assert.Equal(t, "kept", ctx.Value(key{}))
	})
}

func TestDrainContextWithoutDelayEndsWithItsParent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		parent, stop := context.WithCancel(t.Context())
		stopping := &atomic.Bool{}
		ctx := drainContext(parent, 0, stopping)
		stop()
		<-ctx.Done()
		assert.True(t, stopping.Load())
	})
}

// fakeServer serves until its context ends.
type fakeServer struct{ webhook.Server }

func (fakeServer) Start(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// TestDrainingServerServesOnWhereTheManagerFails: who loses the lease is not told to stop, and nobody is told that it does.
func TestDrainingServerServesOnWhereTheManagerFails(t *testing.T) {
	t.Parallel()
	for name, told := range map[string]bool{"told": true, "by itself": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const delay = 10 * time.Second
				stopping, served := &atomic.Bool{}, &sync.WaitGroup{}
				server := drainingServer{fakeServer{}, stopping, delay, served, nil}
				ctx, end := context.WithCancel(t.Context())
				go func() { assert.NoError(t, server.Start(ctx)) }()
				synctest.Wait()
				stopping.Store(told)
				began := time.Now()
				end()
				served.Wait()
				assert.True(t, stopping.Load())
				if told {
					assert.Zero(t, time.Since(began), "the delay was before")
				} else {
					assert.Equal(t, delay, time.Since(began))
				}
			})
		})
	}
}

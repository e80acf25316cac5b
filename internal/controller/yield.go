package controller

import (
	"context"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

const (
	// workers are the turns that a controller takes at once, and atMost those that all of them take.
	workers = 8
	atMost  = 8
	// atLeast are those that are taken while requests are answered: whoever sends requests without end does not keep exits from
	// being made.
	atLeast = 2
	// lately is how long ago the last request came where others are still to be expected.
	lately = 100 * time.Millisecond
)

// Yield has what is done in the background give way to requests, for whose answers somebody waits: it shares the processor with them here,
// and the API server. The zero value is ready for use.
type Yield struct {
	mu        sync.Mutex
	answering int
	answered  time.Time
	// working are the turns that are taken, waiting those that are to be, the oldest first.
	working int
	waiting []chan struct{}
}

// Answer begins to answer a request; the function that it returns ends that.
func (y *Yield) Answer() (done func()) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.answering++
	return func() {
		y.mu.Lock()
		defer y.mu.Unlock()
		y.answering--
		y.answered = time.Now()
	}
}

// may says whether one more turn may be taken. The lock is held.
func (y *Yield) may() bool {
	if y.answering > 0 || time.Since(y.answered) < lately {
		return y.working < atLeast
	}
	return y.working < atMost
}

// begin returns when a turn may be taken, in the order of asking. Whoever waits waits for a turn that is taken, and so not for ever.
func (y *Yield) begin() {
	y.mu.Lock()
	if len(y.waiting) == 0 && y.may() {
		y.working++
		y.mu.Unlock()
		return
	}
	turn := make(chan struct{})
	y.waiting = append(y.waiting, turn)
	y.mu.Unlock()
	<-turn
}

func (y *Yield) end() {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.working--
	for len(y.waiting) > 0 && y.may() {
		y.working++
		close(y.waiting[0])
		y.waiting = y.waiting[1:]
	}
}

// working are the options of a controller that takes several turns at once, in which tenants take theirs, and gives way to requests.
func working[T comparable](name string, by reconcile.TypedReconciler[T], yield *Yield, of func(T) []string) controller.TypedOptions[T] {
	by = traced(name, by)
	return fairly(controller.TypedOptions[T]{MaxConcurrentReconciles: workers, Reconciler: reconcile.TypedFunc[T](func(ctx context.Context, item T) (reconcile.Result, error) {
		yield.begin()
		defer yield.end()
		return by.Reconcile(ctx, item)
	})}, of)
}

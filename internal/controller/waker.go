package controller

import (
	"sync/atomic"

	"k8s.io/client-go/util/workqueue"
)

// waker has a controller look at some of its objects again. The zero value is that of one that has not begun.
type waker[K comparable] struct {
	queue atomic.Pointer[workqueue.TypedRateLimitingInterface[K]]
}

// begin gives it the controller's queue.
func (w *waker[K]) begin(queue workqueue.TypedRateLimitingInterface[K]) { w.queue.Store(&queue) }

// wake looks at objects again. Before the controller begins there is nothing to do: everything there is comes then.
func (w *waker[K]) wake(keys []K) {
	queue := w.queue.Load()
	if queue == nil {
		return
	}
	for _, key := range keys {
		(*queue).Add(key)
	}
}

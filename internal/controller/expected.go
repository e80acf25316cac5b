package controller

import (
	"context"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/egress-governor/egress-governor/internal/hop"
)

// expected are the writes of ours that a cache has not told of yet: nothing is written twice for its lag, and nobody looks at an exit
// again for what was written of it. Nil expects nothing.
type expected struct {
	mu     sync.Mutex
	writes map[objectName]write
}

func newExpected() *expected { return &expected{writes: map[objectName]write{}} }

type objectName struct {
	schema.GroupKind
	types.NamespacedName
}

func nameOf(object *unstructured.Unstructured) objectName {
	return objectName{object.GroupVersionKind().GroupKind(), client.ObjectKeyFromObject(object)}
}

// write is what an object is to say, in place of the version from, empty for none, since at; or that it goes.
type write struct {
	said
	from string
	at   time.Time
	goes bool
}

// patience with a cache: what it has not told of by then, it was never to tell of.
const lagsAtMost = 30 * time.Second

// begin expects a write, before it is sent.
func (e *expected) begin(of objectName, what said, from string) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.writes[of] = write{said: what, from: from, at: time.Now()}
}

// goes says whether an object was deleted in a version, and the cache does not know of it; where it was not, it is expected to go from
// now on.
func (e *expected) goes(of objectName, from string) (already bool) {
	if e == nil {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if last := e.writes[of]; last.goes && last.from == from && time.Since(last.at) < lagsAtMost {
		return true
	}
	e.writes[of] = write{from: from, at: time.Now(), goes: true}
	return false
}

// drop expects a write no more, nor that the object goes.
func (e *expected) drop(of objectName) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.writes, of)
}

// dropWrite expects a write no more.
func (e *expected) dropWrite(of objectName) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.writes[of].goes {
		delete(e.writes, of)
	}
}

// dropOthers expects no more what was written for a host in a namespace, but for objects that are wanted: what the cache tells of it is
// news then. It comes before one looks what the cache has, so that either has it.
func (e *expected) dropOthers(namespace, host string, wanted map[objectName]bool) {
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for of, last := range e.writes {
		if of.Namespace == namespace && !last.goes && last.annotations[hop.HostAnnotation] == host && !wanted[of] {
			delete(e.writes, of)
		}
	}
}

// has says whether the same was written in place of a version, and the cache does not know of it.
func (e *expected) has(of objectName, what said, from string) bool {
	if e == nil {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	last, is := e.writes[of]
	return is && !last.goes && last.from == from && last.equal(what) && time.Since(last.at) < lagsAtMost
}

// came takes in what the cache tells of an object, and says whether that is as it was expected to be.
func (e *expected) came(object client.Object) bool {
	slimmed, is := object.(*unstructured.Unstructured)
	if e == nil || !is {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	of := nameOf(slimmed)
	last, was := e.writes[of]
	delete(e.writes, of)
	return was && !last.goes && last.saidBy(slimmed)
}

// news enqueues the keys of objects that the cache tells of, and those that they had before, but for objects that say what was just
// written.
func news[T comparable](expected *expected, keysOf handler.TypedMapFunc[client.Object, T]) handler.TypedEventHandler[client.Object, T] {
	enqueue := func(queue workqueue.TypedRateLimitingInterface[T], keys []T) {
		for _, key := range keys {
			queue.Add(key)
		}
	}
	tell := func(ctx context.Context, object client.Object, queue workqueue.TypedRateLimitingInterface[T]) {
		// Another controller's are its own to be told of.
		if keys := keysOf(ctx, object); len(keys) > 0 && !expected.came(object) {
			enqueue(queue, keys)
		}
	}
	return handler.TypedFuncs[client.Object, T]{
		CreateFunc: func(ctx context.Context, of event.TypedCreateEvent[client.Object], queue workqueue.TypedRateLimitingInterface[T]) {
			tell(ctx, of.Object, queue)
		},
		UpdateFunc: func(ctx context.Context, of event.TypedUpdateEvent[client.Object], queue workqueue.TypedRateLimitingInterface[T]) {
			if before := keysOf(ctx, of.ObjectOld); !slices.Equal(before, keysOf(ctx, of.ObjectNew)) {
				enqueue(queue, before)
			}
			tell(ctx, of.ObjectNew, queue)
		},
		DeleteFunc: func(ctx context.Context, of event.TypedDeleteEvent[client.Object], queue workqueue.TypedRateLimitingInterface[T]) {
			if keys := keysOf(ctx, of.Object); len(keys) > 0 {
				expected.came(of.Object)
				enqueue(queue, keys)
			}
		},
	}
}

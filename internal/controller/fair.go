package controller

import (
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller"
)

// fair is an order of work in which tenants take turns: one with thousands of things to do does not delay another's one.
type fair[T comparable] struct {
	// of names the tenant whose work an item is.
	of    func(T) string
	lists map[string][]T
	turns []string
	count int
}

var _ workqueue.Queue[string] = (*fair[string])(nil)

// Touch implements workqueue.Queue: an item keeps its place.
func (f *fair[T]) Touch(T) {}

// Push implements workqueue.Queue.
func (f *fair[T]) Push(item T) {
	tenant := f.of(item)
	if len(f.lists[tenant]) == 0 {
		f.turns = append(f.turns, tenant)
	}
	f.lists[tenant] = append(f.lists[tenant], item)
	f.count++
}

// Len implements workqueue.Queue.
func (f *fair[T]) Len() int { return f.count }

// Pop implements workqueue.Queue. The queue is not empty.
func (f *fair[T]) Pop() T {
	tenant := f.turns[0]
	item := f.lists[tenant][0]
	f.lists[tenant] = f.lists[tenant][1:]
	f.turns = f.turns[1:]
	if f.count--; len(f.lists[tenant]) > 0 {
		f.turns = append(f.turns, tenant)
	} else {
		delete(f.lists, tenant)
	}
	return item
}

// fairly returns options of a controller whose queue is fair.
func fairly[T comparable](options controller.TypedOptions[T], of func(T) string) controller.TypedOptions[T] {
	options.NewQueue = func(name string, limiter workqueue.TypedRateLimiter[T]) workqueue.TypedRateLimitingInterface[T] {
		return newFairQueue(name, limiter, of)
	}
	return options
}

func newFairQueue[T comparable](name string, limiter workqueue.TypedRateLimiter[T], of func(T) string) workqueue.TypedRateLimitingInterface[T] {
	queue := workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[T]{Name: name, Queue: &fair[T]{of: of, lists: map[string][]T{}}})
	delaying := workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[T]{Name: name, Queue: queue})
	return workqueue.NewTypedRateLimitingQueueWithConfig(limiter, workqueue.TypedRateLimitingQueueConfig[T]{Name: name, DelayingQueue: delaying})
}

func namespaceOf(name types.NamespacedName) string { return name.Namespace }

package controller

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller"
)

// fair is an order of work in which tenants take turns: one with thousands of things to do does not delay another's one.
// What is several tenants' work is done at the first of their turns.
type fair[T comparable] struct {
	// of names the tenants whose work an item is, at least one.
	of    func(T) []string
	lists map[string][]T
	turns []string
	// waiting are the items that are to be done, in the tenants in whose lists an item is: in others than that whose turn
	// it was done at, it is passed over.
	waiting map[T]bool
	in      map[T][]string
	// most is how many were waiting at once since none was.
	most int
}

var _ workqueue.Queue[string] = (*fair[string])(nil)

// few may wait without that anything is made of it.
const few = 100

func newFair[T comparable](of func(T) []string) *fair[T] {
	return &fair[T]{of: of, lists: map[string][]T{}, waiting: map[T]bool{}, in: map[T][]string{}}
}

// Touch implements workqueue.Queue: an item keeps its place, and has another with whoever's work it has become since.
func (f *fair[T]) Touch(item T) { f.list(item) }

// Push implements workqueue.Queue.
func (f *fair[T]) Push(item T) {
	f.waiting[item] = true
	f.most = max(f.most, len(f.waiting))
	f.list(item)
}

// list puts an item into the shortest list of those of its tenants.
func (f *fair[T]) list(item T) {
	tenant := slices.MinFunc(f.of(item), func(a, b string) int { return len(f.lists[a]) - len(f.lists[b]) })
	if slices.Contains(f.in[item], tenant) {
		return
	}
	if len(f.lists[tenant]) == 0 {
		f.turns = append(f.turns, tenant)
	}
	f.lists[tenant] = append(f.lists[tenant], item)
	f.in[item] = append(f.in[item], tenant)
}

// Len implements workqueue.Queue.
func (f *fair[T]) Len() int { return len(f.waiting) }

// Pop implements workqueue.Queue. The queue is not empty.
func (f *fair[T]) Pop() T {
	for {
		tenant := f.turns[0]
		item := f.lists[tenant][0]
		f.take(tenant, item)
		if !f.waiting[item] {
			continue
		}
		delete(f.waiting, item)
		if len(f.lists[tenant]) > 0 {
			f.turns = append(f.turns[1:], tenant)
		}
		if len(f.waiting) == 0 && f.most > few {
			// All that there is waits at the start, and a map stays as large as it was.
			*f = *newFair(f.of)
		}
		return item
	}
}

// take takes the first item out of the list of the tenant whose turn it is.
func (f *fair[T]) take(tenant string, item T) {
	if f.lists[tenant] = f.lists[tenant][1:]; len(f.lists[tenant]) == 0 {
		delete(f.lists, tenant)
		f.turns = f.turns[1:]
	}
	if f.in[item] = slices.DeleteFunc(f.in[item], func(other string) bool { return other == tenant }); len(f.in[item]) == 0 {
		delete(f.in, item)
	}
}

// fairly returns options of a controller whose queue is fair.
func fairly[T comparable](options controller.TypedOptions[T], of func(T) []string) controller.TypedOptions[T] {
	options.NewQueue = func(name string, limiter workqueue.TypedRateLimiter[T]) workqueue.TypedRateLimitingInterface[T] {
		return newFairQueue(name, limiter, of)
	}
	return options
}

func newFairQueue[T comparable](name string, limiter workqueue.TypedRateLimiter[T], of func(T) []string) workqueue.TypedRateLimitingInterface[T] {
	queue := workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[T]{Name: name, Queue: newFair(of)})
	delaying := workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[T]{Name: name, Queue: queue})
	return workqueue.NewTypedRateLimitingQueueWithConfig(limiter, workqueue.TypedRateLimitingQueueConfig[T]{Name: name, DelayingQueue: delaying})
}

func namespaceOf(name types.NamespacedName) []string { return []string{name.Namespace} }

package controller

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"

	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// TestTenantsTakeTurns: what one has much of does not delay what another has one of.
func TestTenantsTakeTurns(t *testing.T) {
	t.Parallel()
	queue := newFairQueue("test", workqueue.DefaultTypedControllerRateLimiter[types.NamespacedName](), namespaceOf)
	for i := range 1000 {
		queue.Add(types.NamespacedName{Namespace: "greedy", Name: fmt.Sprint(i)})
	}
	queue.Add(types.NamespacedName{Namespace: "modest", Name: "one"})
	queue.Add(types.NamespacedName{Namespace: "modest", Name: "one"})
	queue.Add(types.NamespacedName{Namespace: "third", Name: "one"})
	assert.Equal(t, 1002, queue.Len())
	var order []string
	for queue.Len() > 0 {
		item, _ := queue.Get()
		order = append(order, item.Namespace)
		queue.Done(item)
	}
	assert.Equal(t, []string{"greedy", "modest", "third", "greedy", "greedy"}, order[:5])
	assert.Len(t, order, 1002)
	queue.ShutDown()
}

// drained are the items of a queue, in the order in which they are done.
func drained(queue workqueue.TypedRateLimitingInterface[exitKey]) (out []string) {
	for queue.Len() > 0 {
		item, _ := queue.Get()
		out = append(out, item.Host)
		queue.Done(item)
	}
	return out
}

// TestAHostOfSeveralIsDoneAtTheFirstOfTheirTurns: who names a host that a greedy tenant has too waits for none of its others, be the host
// new or waiting already; it is done once.
func TestAHostOfSeveralIsDoneAtTheFirstOfTheirTurns(t *testing.T) {
	t.Parallel()
	tenants := map[string][]string{}
	queue := newFairQueue("test", workqueue.DefaultTypedControllerRateLimiter[exitKey](), func(key exitKey) []string {
		if of := tenants[key.Host]; of != nil {
			return of
		}
		return []string{"greedy"}
	})
	const backlog = 1000
	for i := range backlog {
		queue.Add(exitKey{Host: fmt.Sprint(i)})
	}
	tenants["shared"] = []string{"greedy", "modest"}
	queue.Add(exitKey{Host: "shared"})
	tenants["999"] = []string{"greedy", "third"}
	for range 10 {
		queue.Add(exitKey{Host: "999"})
	}
	assert.Equal(t, backlog+1, queue.Len())
	order := drained(queue)
	assert.Equal(t, []string{"0", "shared", "999", "1"}, order[:4])
	assert.Len(t, order, backlog+1)
	assert.Len(t, slices.Compact(slices.Sorted(slices.Values(order))), backlog+1, "each is done once")

	// What was passed over is no place for what comes later.
	queue.Add(exitKey{Host: "999"})
	queue.Add(exitKey{Host: "again"})
	assert.Equal(t, []string{"999", "again"}, drained(queue))
	queue.ShutDown()
}

// TestAQueueKeepsNothing of what was done, however often it came and whoever's it was.
func TestAQueueKeepsNothing(t *testing.T) {
	t.Parallel()
	turn := 0
	queue := newFair(func(int) []string { turn++; return []string{fmt.Sprint(turn % 7), fmt.Sprint(turn % 11)} })
	for i := range 10_000 {
		queue.Push(i % 100)
		queue.Touch(i % 100)
		if i%3 == 0 {
			queue.Pop()
		}
	}
	for queue.Len() > 0 {
		queue.Pop()
	}
	left := 0
	for _, list := range queue.lists {
		left += len(list)
	}
	assert.LessOrEqual(t, left, 100*11, "an item is in a list once")
}

// TestWhoseWorkAnExitIs: its oldest entry's and its youngest's, and without any, whose it was.
func TestWhoseWorkAnExitIs(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.Mesh())
	key := exitKey{gateways, host}
	require.Equal(t, []string{""}, s.exits.tenants(key))
	s.store(defaultEntry("a", "TLS"))
	assert.Equal(t, []string{"app", "app"}, s.exits.tenants(key))
	s.exits.standing.set(key, exitState{exit: s.exits.entries.Exit(host, gateways)})
	s.registry.DeleteEntry("app", "a")
	assert.Equal(t, []string{"app"}, s.exits.tenants(key), "a tenant's leftovers are its own")
}

// TestNothingIsLeftOfABurst, and the next comes in the same order.
func TestNothingIsLeftOfABurst(t *testing.T) {
	t.Parallel()
	queue := newFair(namespaceOf)
	for range 2 {
		for i := range 2 * few {
			queue.Push(types.NamespacedName{Namespace: "greedy", Name: fmt.Sprint(i)})
		}
		queue.Push(types.NamespacedName{Namespace: "modest", Name: "one"})
		require.Equal(t, "0", queue.Pop().Name)
		require.Equal(t, "modest", queue.Pop().Namespace)
		for i := 1; i < 2*few; i++ {
			require.Equal(t, fmt.Sprint(i), queue.Pop().Name)
		}
		assert.Zero(t, queue.Len())
		assert.Zero(t, queue.most)
	}
}

package controller

import (
	"fmt"
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

// TestAnExitIsItsOldestEntrysWork.
func TestAnExitIsItsOldestEntrysWork(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.Mesh())
	require.Empty(t, s.exits.tenant(exitKey{gateways, host}))
	s.store(defaultEntry("a", "TLS"))
	assert.Equal(t, "app", s.exits.tenant(exitKey{gateways, host}))
}

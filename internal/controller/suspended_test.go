package controller

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

func suspending(names ...string) map[types.NamespacedName]string {
	out := map[types.NamespacedName]string{}
	for _, namespace := range names {
		out[types.NamespacedName{Namespace: namespace, Name: "a"}] = "hosts: no. Fix: ask"
	}
	return out
}

// TestASuspendedEntryLosesItsExit, says why, and has it back.
func TestASuspendedEntryLosesItsExit(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.Mesh())
	s.store(defaultEntry("a", "TLS"))
	s.drain()
	s.told()
	s.registry.Suspend(suspending("app"))
	s.drain()
	entries, routes := s.exit(gateways)
	assert.Empty(t, entries)
	assert.Empty(t, routes)
	condition := s.condition("app", "a")
	assert.Equal(t, "False", condition["status"])
	assert.Equal(t, "Suspended", condition["reason"])
	assert.Equal(t, "hosts: no. Fix: ask", condition["message"])
	assert.Equal(t, []string{"Warning Suspended hosts: no. Fix: ask"}, s.told())

	s.registry.Suspend(nil)
	s.drain()
	entries, routes = s.exit(gateways)
	assert.Len(t, entries, 1)
	assert.Len(t, routes, 1)
	assert.Equal(t, "True", s.condition("app", "a")["status"])
}

func (s *stage) told() (out []string) {
	for len(s.recorder.Events) > 0 {
		out = append(out, <-s.recorder.Events)
	}
	return out
}

// TestOnePlainExitOfSeveralStays while one of its entries is not suspended.
func TestOnePlainExitOfSeveralStays(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.Mesh())
	s.store(defaultEntry("a", "TLS"), sealed("cards", "a", egresstest.GatewayService, "TLS"))
	s.drain()
	s.registry.Suspend(suspending("app"))
	s.drain()
	_, routes := s.exit(gateways)
	assert.Len(t, routes, 1)
	assert.Equal(t, "Suspended", s.condition("app", "a")["reason"])
	assert.Equal(t, "True", s.condition("cards", "a")["status"])
	s.registry.Suspend(suspending("app", "cards"))
	s.drain()
	_, routes = s.exit(gateways)
	assert.Empty(t, routes)
}

// TestASuspendedClientIsNoCaller by mutual TLS, and others stay.
func TestASuspendedClientIsNoCaller(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.MutualTLS())
	s.registry.PutAccount("app", "default")
	s.registry.PutAccount("cards", "default")
	s.store(byMutual("app", "a", "TLS"), byMutual("cards", "a", "TLS"))
	s.drain()
	s.registry.Suspend(suspending("app"))
	s.drain()
	assert.Equal(t, []string{"spiffe://cluster.local/ns/cards/sa/default"}, s.callers())
	assert.Equal(t, "Suspended", s.condition("app", "a")["reason"])
	s.registry.Suspend(nil)
	s.drain()
	assert.Len(t, s.callers(), 2)
	assert.Equal(t, "True", s.condition("app", "a")["status"])
}

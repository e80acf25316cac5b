package controller

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// filters returns the names of the stored EnvoyFilters.
func (s *stage) filters() (out []string) {
	s.t.Helper()
	list := emptyList(hop.EnvoyFilter)
	require.NoError(s.t, s.cluster.List(s.t.Context(), list))
	for _, item := range list.Items {
		out = append(out, item.GetName())
	}
	return out
}

func resolving() *egress.Mesh {
	out := egresstest.Mesh()
	out.Gateways[0].Wildcards = true
	return out
}

// bareWildcard is a stored entry of a wildcard that no endpoint serves.
func bareWildcard(t *testing.T) *networkingv1.ServiceEntry {
	t.Helper()
	out := defaultEntry("wild", "TLS")
	out.Spec.Hosts = []string{"*.amazonaws.com"}
	return out
}

// TestAWildcardsExitComesAndGoes with all that it has, and what all wildcards of a gateway have stays.
func TestAWildcardsExitComesAndGoes(t *testing.T) {
	t.Parallel()
	s := newStage(t, resolving())
	s.store(bareWildcard(t))
	s.drain()
	assert.Equal(t, []string{
		"create Gateway istio-system", "create EnvoyFilter istio-system", "create ServiceEntry istio-system", "create EnvoyFilter istio-system", "create VirtualService istio-system",
		"status ServiceEntry app",
	}, s.writes)
	assert.Equal(t, "True", s.condition("app", "wild")["status"])
	s.writes = nil
	s.exitQueue.Add(exitKey{gateways, "*.amazonaws.com"})
	s.drain()
	assert.Empty(t, s.writes, "what stands is not written again")

	s.remove("app", "wild")
	s.drain()
	assert.Equal(t, []string{"delete VirtualService istio-system", "delete EnvoyFilter istio-system", "delete ServiceEntry istio-system"}, s.writes)
	assert.Equal(t, []string{hop.ResolverName(resolving().Gateways[0])}, s.filters())
}

// TestAGatewayThatResolvesNoLonger: its filters go, and authors are told.
func TestAGatewayThatResolvesNoLonger(t *testing.T) {
	t.Parallel()
	mesh := resolving()
	s := newStage(t, mesh)
	s.store(bareWildcard(t))
	s.drain()
	require.Len(t, s.filters(), 2)
	mesh.Gateways[0].Wildcards = false
	s.see("app", "wild")
	s.drain()
	assert.Empty(t, s.filters())
	entries, routes := s.exit(gateways)
	assert.Empty(t, entries)
	assert.Empty(t, routes)
	condition := s.condition("app", "wild")
	assert.Equal(t, "False", condition["status"])
	assert.Equal(t, "NotCarried", condition["reason"])
}

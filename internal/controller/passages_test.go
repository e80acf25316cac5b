package controller

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// passages are the names of the stored passages of the host.
func (s *stage) passages() (out []string) {
	s.t.Helper()
	list := emptyList(hop.EnvoyFilter)
	require.NoError(s.t, s.cluster.List(s.t.Context(), list, client.InNamespace(gateways), client.MatchingFields{byHost: host}))
	for _, item := range list.Items {
		out = append(out, item.GetName())
	}
	return out
}

// vaulted is a mesh of a plain gateway, and of one by mutual TLS for namespaces labelled egress=pci.
func vaulted() *egress.Mesh {
	out := egresstest.TwoGateways()
	pci := &out.Gateways[0]
	pci.Transport, pci.ServiceAccount = egress.MutualTLS, "pci-egress"
	return out
}

// twoByMutualTLS is a stage where both gateways are by mutual TLS.
func twoByMutualTLS(t *testing.T) *stage {
	t.Helper()
	mesh := vaulted()
	mesh.Gateways[1].Transport, mesh.Gateways[1].ServiceAccount = egress.MutualTLS, "istio-egressgateway"
	s := newStage(t, mesh)
	s.registry.PutAccount("app", "default")
	return s
}

// later is the host looked at again, as it is where something lingers.
func (s *stage) later() {
	s.exitQueue.Add(exitKey{gateways, host})
	s.ruleQueue.Add(exitKey{"app", host})
	s.drain()
}

// TestARuleFollowsItsEntryThroughAPassage: sealed, the entry has one before it has a rule; before it goes back it has one again, and
// the rule goes after that.
func TestARuleFollowsItsEntryThroughAPassage(t *testing.T) {
	t.Parallel()
	s := newStage(t, observing(t, egresstest.MutualTLS()))
	s.registry.PutAccount("app", "default")
	out := func() *networkingv1.ServiceEntry {
		of := leadingOut(held)
		of.Spec.ExportTo = []string{"."}
		return of
	}
	s.store(out())
	s.drain()
	assert.Equal(t, []string{hop.PassageName(s.exits.mesh.Gateways[0], host)}, s.passages())
	assert.Empty(t, s.clientRules())
	assert.Equal(t, "ExitAhead", s.condition("app", "a")["reason"])
	s.writes = nil

	write := func(of *networkingv1.ServiceEntry) {
		s.rewrite(of)
		s.writes = nil
	}
	write(byMutual("app", "a", "TLS"))
	s.drain()
	s.later()
	assert.Equal(t, []string{"create DestinationRule app", "delete EnvoyFilter istio-system"}, withoutStatus(s.writes))
	assert.Equal(t, "True", s.condition("app", "a")["status"])

	s.registry.PutNamespace("app", observe)
	s.drain()
	back := byMutual("app", "a", "TLS")
	back.Annotations[hop.ExitAnnotation] = hop.ExitHeld
	write(back)
	s.drain()
	assert.Equal(t, []string{"create EnvoyFilter istio-system", "delete DestinationRule app"}, s.writes)
	write(out())
	s.drain()
	assert.Equal(t, []string{"delete EnvoyFilter istio-system"}, s.writes, "it leads straight out")
}

// TestAMoveHasAPassage from a gateway by mutual TLS to another and back, and leaves none; the rule is gone before the entry is at the
// plain one, and not there before it has left that.
func TestAMoveHasAPassage(t *testing.T) {
	t.Parallel()
	s := newStage(t, vaulted())
	s.registry.PutAccount("app", "default")
	s.store(defaultEntry("a", "TLS"))
	s.drain()
	s.writes = nil
	s.moved()
	s.later()
	assert.Equal(t, egresstest.PCIService, s.leadsTo())
	passing := func(writes []string) (out []string) {
		for _, write := range withoutStatus(writes) {
			if write != "create VirtualService istio-system" && write != "delete VirtualService istio-system" && write != "delete Gateway istio-system" && write != "update Gateway istio-system" {
				out = append(out, write)
			}
		}
		return out
	}
	assert.Equal(t, []string{"create EnvoyFilter istio-system", "update ServiceEntry app", "create DestinationRule app", "delete EnvoyFilter istio-system"}, passing(s.writes))
	assert.Equal(t, "True", s.condition("app", "a")["status"])

	s.writes = nil
	s.registry.PutNamespace("app", nil)
	s.drain()
	s.later()
	assert.Equal(t, egresstest.GatewayService, s.leadsTo())
	assert.Equal(t, []string{"create EnvoyFilter istio-system", "delete DestinationRule app", "update ServiceEntry app", "delete EnvoyFilter istio-system"}, passing(s.writes))
	assert.Equal(t, "True", s.condition("app", "a")["status"])
}

// TestARuleIsOfBothGateways by mutual TLS while an entry moves between them, and needs no passage.
func TestARuleIsOfBothGateways(t *testing.T) {
	t.Parallel()
	s := twoByMutualTLS(t)
	s.store(byMutual("app", "a", "TLS"))
	s.drain()
	names := func() []string {
		rule := &networkingv1.DestinationRule{}
		require.NoError(t, s.cluster.Get(t.Context(), client.ObjectKey{Namespace: "app", Name: hop.ClientRuleName(host)}, rule))
		return rule.Spec.TrafficPolicy.PortLevelSettings[0].Tls.SubjectAltNames
	}
	ours, theirs := "spiffe://cluster.local/ns/istio-system/sa/istio-egressgateway", "spiffe://cluster.local/ns/istio-system/sa/pci-egress"
	require.Equal(t, []string{ours}, names())
	s.refuse = "not yet"
	s.moved()
	assert.Equal(t, []string{ours, theirs}, names())
	assert.Equal(t, egresstest.GatewayService, s.leadsTo())
	s.refuse = ""
	_, err := s.ready.Reconcile(t.Context(), types.NamespacedName{Namespace: "app", Name: "a"})
	require.NoError(t, err)
	s.see("app", "a")
	s.drain()
	assert.Equal(t, egresstest.PCIService, s.leadsTo())
	assert.Equal(t, []string{theirs}, names())
	assert.Empty(t, s.passages())
}

// TestARuleUnderCallsHasTimeToo: that of an entry that stays, while another of the host passes beside it.
func TestARuleUnderCallsHasTimeToo(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.MutualTLS())
	s.registry.PutAccount("app", "default")
	s.store(byMutual("app", "b", "TLS"))
	s.drain()
	require.Equal(t, []string{"app"}, s.clientRules())
	s.rules.settled = time.Hour
	beside := leadingOut(held)
	beside.Spec.Ports[0].Number = 8443
	s.store(beside)
	s.drain()
	require.Len(t, s.passages(), 1)
	assert.Equal(t, []string{"app"}, s.clientRules(), "its gateway may not know yet")
	s.rules.settled = 0
	s.later()
	assert.Empty(t, s.clientRules())
	assert.Equal(t, "ExitAhead", s.condition("app", "a")["reason"])
}

// TestAllGatewaysOfANamespaceHaveAPassage: the one that an entry beside the passing one is at, too, since they have one rule.
func TestAllGatewaysOfANamespaceHaveAPassage(t *testing.T) {
	t.Parallel()
	s := twoByMutualTLS(t)
	s.store(byMutual("app", "b", "TLS"))
	s.drain()
	s.rules.settled = time.Hour
	beside := leadingOut(held)
	beside.Spec.Ports[0].Number = 8443
	s.store(beside)
	s.moved()
	assert.ElementsMatch(t, []string{hop.PassageName(s.exits.mesh.Gateways[0], host), hop.PassageName(s.exits.mesh.Gateways[1], host)}, s.passages())
	assert.Equal(t, []string{"app"}, s.clientRules(), "they may not know yet")
}

// TestWithoutAnExitARuleNeedsNoPassage: no gateway takes the calls of what is observed and has none, and whoever unseals it waits for the rule.
func TestWithoutAnExitARuleNeedsNoPassage(t *testing.T) {
	t.Parallel()
	s := newStage(t, observing(t, egresstest.MutualTLS()))
	s.registry.PutNamespace("app", observe)
	s.store(byMutual("app", "a", "TLS"))
	s.drain()
	require.Equal(t, []string{"app"}, s.clientRules())
	s.annotate(map[string]string{hop.IntentAnnotation: byMutual("app", "a", "TLS").Annotations[hop.IntentAnnotation], hop.ExitAnnotation: hop.ExitHeld})
	s.drain()
	assert.Empty(t, s.passages())
	assert.Empty(t, s.clientRules())
	s.remove("app", "a")
	s.drain()
	assert.Empty(t, s.exits.standing.absent)
}

// TestNothingPassesWithoutNeed: neither by HTTP alone, nor where a gateway changes its own transport, nor for who holds a sealed entry of a
// governed namespace.
func TestNothingPassesWithoutNeed(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.MutualTLS())
	s.registry.PutAccount("app", "default")
	entry := byMutual("app", "a", "TLS")
	entry.Annotations[hop.ExitAnnotation] = hop.ExitHeld
	s.store(entry)
	s.drain()
	assert.Empty(t, s.passages())
	assert.Equal(t, []string{"app"}, s.clientRules())

	s = newStage(t, egresstest.MutualTLS())
	http := leadingOut(held)
	http.Spec.Ports[0].Protocol = "HTTP"
	s.store(http)
	s.drain()
	assert.Empty(t, s.passages())

	changed := egresstest.MutualTLS()
	changed.Gateways[0].Transport, changed.Gateways[0].Clients = egress.Plain, labels.Everything()
	s = newStage(t, changed)
	s.store(byMutual("app", "a", "TLS"))
	s.drain()
	assert.Empty(t, s.passages())
	assert.Equal(t, egresstest.GatewayService, s.leadsTo())
}

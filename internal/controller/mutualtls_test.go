package controller

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// byMutual is the entry of a host as it is stored for mutual TLS.
func byMutual(namespace, name, protocol string) *networkingv1.ServiceEntry {
	out := sealed(namespace, name, egresstest.GatewayService, protocol)
	out.Spec.Location = networking.ServiceEntry_MESH_INTERNAL
	out.Spec.ExportTo = []string{"."}
	out.Annotations = map[string]string{hop.IntentAnnotation: `[{"now":"MESH_INTERNAL","paths":["spec.location"]}]`}
	return out
}

func (s *stage) clientRules() (out []string) {
	s.t.Helper()
	var list networkingv1.DestinationRuleList
	require.NoError(s.t, s.cluster.List(s.t.Context(), &list))
	for _, rule := range list.Items {
		out = append(out, rule.Namespace)
	}
	return out
}

// TestExitReadyByMutualTLS is true once the exit lets the entry's callers in, and their rule stands; and every entry of
// a host has its own.
func TestExitReadyByMutualTLS(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.MutualTLS())
	s.registry.PutAccount("app", "default")
	s.registry.PutAccount("cards", "default")
	s.store(byMutual("app", "a", "TLS"))
	key, _ := s.readyQueue.Get()
	_, err := s.ready.Reconcile(t.Context(), key)
	require.NoError(t, err)
	s.readyQueue.Done(key)
	assert.Empty(t, s.registry.Stored(key).Conditions(), "neither stands")
	s.drain()
	assert.Equal(t, "True", s.condition("app", "a")["status"])
	assert.Equal(t, []string{"app"}, s.clientRules())

	s.store(byMutual("cards", "b", "TLS"))
	s.drain()
	assert.Equal(t, "True", s.condition("cards", "b")["status"])
	assert.ElementsMatch(t, []string{"app", "cards"}, s.clientRules())
	assert.Equal(t, []string{"spiffe://cluster.local/ns/app/sa/default", "spiffe://cluster.local/ns/cards/sa/default"}, s.callers())

	s.registry.PutAccount("cards", "batch")
	s.drain()
	assert.Len(t, s.callers(), 3, "a service account that comes later is let in")
	s.remove("cards", "b")
	s.drain()
	assert.Equal(t, []string{"spiffe://cluster.local/ns/app/sa/default"}, s.callers())
	assert.Equal(t, []string{"app"}, s.clientRules())
	s.remove("app", "a")
	s.drain()
	assert.Empty(t, s.callers())
	assert.Empty(t, s.clientRules())
}

// callers are the names that the doors of the host admit.
func (s *stage) callers() (out []string) {
	s.t.Helper()
	var list networkingv1.GatewayList
	require.NoError(s.t, s.cluster.List(s.t.Context(), &list, client.InNamespace(gateways), client.MatchingFields{byHost: host}))
	for _, gateway := range list.Items {
		for _, server := range gateway.Spec.Servers {
			out = append(out, server.Tls.SubjectAltNames...)
		}
	}
	return out
}

// TestTheClientsRuleIsKept whoever changes or deletes it.
func TestTheClientsRuleIsKept(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.MutualTLS())
	s.registry.PutAccount("app", "default")
	s.store(byMutual("app", "a", "TLS"))
	s.drain()
	var rule networkingv1.DestinationRule
	at := client.ObjectKey{Namespace: "app", Name: hop.ClientRuleName(host)}
	require.NoError(t, s.cluster.Get(t.Context(), at, &rule))
	want := rule.Spec.DeepCopy()
	rule.Spec.TrafficPolicy.PortLevelSettings[0].Tls.Sni = "stolen"
	require.NoError(t, s.cluster.Update(t.Context(), &rule))
	for _, key := range s.rules.keyOf(t.Context(), &rule) {
		s.ruleQueue.Add(key)
	}
	s.drain()
	require.NoError(t, s.cluster.Get(t.Context(), at, &rule))
	assert.Equal(t, want.String(), rule.Spec.String())
	require.NoError(t, s.cluster.Delete(t.Context(), &rule))
	s.ruleQueue.Add(exitKey{"app", host})
	s.drain()
	assert.Equal(t, []string{"app"}, s.clientRules())
	assert.Nil(t, s.exits.keyOf(t.Context(), &rule), "no exit's")
}

// moved has the namespace leave by another gateway.
func (s *stage) moved() {
	s.registry.PutNamespace("app", map[string]string{"egress": "pci"})
	s.drain()
}

// leadsTo returns where the stored entry has its calls go.
func (s *stage) leadsTo() string {
	var entry networkingv1.ServiceEntry
	require.NoError(s.t, s.cluster.Get(s.t.Context(), client.ObjectKey{Namespace: "app", Name: "a"}, &entry))
	return entry.Spec.Endpoints[0].Address
}

// TestAnEntryMoves once the exit there stands, and not before.
func TestAnEntryMoves(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.TwoGateways())
	s.store(defaultEntry("a", "TLS"))
	s.drain()
	s.writes = nil
	s.moved()
	assert.Equal(t, egresstest.PCIService, s.leadsTo())
	assert.Equal(t, []string{"create VirtualService istio-system", "update ServiceEntry app", "delete VirtualService istio-system"}, withoutStatus(s.writes))
	assert.Equal(t, "True", s.condition("app", "a")["status"])
}

func withoutStatus(writes []string) (out []string) {
	for _, write := range writes {
		if write != "status ServiceEntry app" && write != "create Gateway istio-system" {
			out = append(out, write)
		}
	}
	return out
}

// TestWhatCannotMoveStays, and its author is told.
func TestWhatCannotMoveStays(t *testing.T) {
	t.Parallel()
	mesh := egresstest.TwoGateways()
	s := newStage(t, mesh)
	s.store(defaultEntry("a", "TLS"))
	s.drain()
	for len(s.recorder.Events) > 0 {
		<-s.recorder.Events
	}
	s.refuse = "the policy says no"
	s.moved()
	assert.Equal(t, egresstest.GatewayService, s.leadsTo())
	require.NotEmpty(t, s.recorder.Events)
	assert.Contains(t, <-s.recorder.Events, "the policy says no")
	_, routes := s.exit(gateways)
	assert.Len(t, routes, 2, "its exit stays too")
	assert.Empty(t, s.recorder.Events, "the same is not told twice")

	s.refuse = ""
	result, err := s.ready.Reconcile(t.Context(), types.NamespacedName{Namespace: "app", Name: "a"})
	require.NoError(t, err)
	assert.Zero(t, result, "whatever stood against it may go without a word to us")
	assert.Equal(t, egresstest.PCIService, s.leadsTo())
}

// TestNoEntryMovesToAGatewayThatIsNotThere.
func TestNoEntryMovesToAGatewayThatIsNotThere(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.TwoGateways())
	s.store(defaultEntry("a", "TLS"))
	s.drain()
	s.registry.DeleteService("istio-system", "pci-egress")
	s.moved()
	assert.Equal(t, egresstest.GatewayService, s.leadsTo())
	require.NotEmpty(t, s.recorder.Events)
	assert.Contains(t, <-s.recorder.Events, "does not exist")
}

// TestAMoveThatAnotherReplicaUndid is tried again: it has the configuration of before.
func TestAMoveThatAnotherReplicaUndid(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.TwoGateways())
	s.store(defaultEntry("a", "TLS"))
	s.drain()
	s.undo = true
	s.moved()
	result, err := s.ready.Reconcile(t.Context(), types.NamespacedName{Namespace: "app", Name: "a"})
	require.NoError(t, err)
	assert.Equal(t, interval, result.RequeueAfter)
}

// TestARuleOfAGatewayThatWasTakenOut of the configuration stays, as its exits do: entries still lead there.
func TestARuleOfAGatewayThatWasTakenOut(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.MutualTLS())
	s.registry.PutAccount("app", "default")
	s.store(byMutual("app", "a", "TLS"))
	s.drain()
	require.Equal(t, []string{"app"}, s.clientRules())
	without := egresstest.TwoGateways()
	without.Gateways = without.Gateways[:1]
	s.rules.mesh = without
	s.rules.entries = newStage(t, without).registry
	_, err := s.rules.Reconcile(t.Context(), exitKey{"app", host})
	require.NoError(t, err)
	assert.Equal(t, []string{"app"}, s.clientRules())
}

// TestARuleThatCannotBeWritten is told of, once it is no cache that lags.
func TestARuleThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.MutualTLS())
	s.registry.PutAccount("app", "default")
	s.store(byMutual("app", "a", "TLS"))
	s.rules.objects.writer = forbidding{s.rules.objects.writer}
	key := exitKey{"app", host}
	for range patience {
		result, err := s.rules.Reconcile(t.Context(), key)
		require.NoError(t, err)
		require.Equal(t, again, result.RequeueAfter)
	}
	for s.ruleQueue.Len() > 0 {
		of, _ := s.ruleQueue.Get()
		s.ruleQueue.Done(of)
	}
	s.drain()
	assert.Empty(t, s.registry.Stored(types.NamespacedName{Namespace: "app", Name: "a"}).Conditions())
	_, err := s.rules.Reconcile(t.Context(), key)
	require.Error(t, err)
	s.drain()
	assert.Equal(t, "False", s.condition("app", "a")["status"])
	assert.Contains(t, s.condition("app", "a")["message"], "cannot be written")
}

// forbidding creates nothing.
type forbidding struct{ client.Client }

func (forbidding) Create(_ context.Context, object client.Object, _ ...client.CreateOption) error {
	return apierrors.NewForbidden(schema.GroupResource{Resource: "destinationrules"}, object.GetName(), errors.New("no"))
}

// TestWhoeverWaitsIsWoken, however the write and the look at it fall together.
func TestWhoeverWaitsIsWoken(t *testing.T) {
	t.Parallel()
	s, key, entry := newStanding(), exitKey{gateways, host}, types.NamespacedName{Namespace: "app", Name: "a"}
	_, _, ok := s.await(key, entry, func(exitState) bool { return true })
	assert.False(t, ok, "nothing stands")
	assert.Equal(t, []types.NamespacedName{entry}, s.waitingFor(key))
	assert.Empty(t, s.waitingFor(key), "once")
	_, stands := s.awaitRule(key, entry, map[string]any{"host": host}, false)
	assert.False(t, stands)
	s.forget(entry)
	assert.Empty(t, s.waitingFor(key))
}

// TestAWildcardOpensTheExitsBelow whenever it comes, and closes them when it goes.
func TestAWildcardOpensTheExitsBelow(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.MutualTLS())
	s.store(byMutual("app", "a", "HTTP"))
	s.drain()
	admitted := func() string {
		var list networkingv1.VirtualServiceList
		require.NoError(t, s.cluster.List(t.Context(), &list, client.InNamespace(gateways), client.MatchingFields{byHost: host}))
		require.Len(t, list.Items, 1)
		return list.Items[0].Spec.Http[0].Match[0].Headers["x-forwarded-client-cert"].GetRegex()
	}
	require.NotContains(t, admitted(), "cards")
	above := byMutual("cards", "b", "HTTP")
	above.Spec.Hosts = []string{egress.Patterns(host)[1]}
	above.Annotations[hop.IntentAnnotation] = `[{"now":"MESH_INTERNAL","paths":["spec.location"]},{"was":[{"address":"www.example.com"}],"paths":["spec.endpoints"]}]`
	s.store(above)
	s.drain()
	assert.Contains(t, admitted(), "cards/sa/")
	s.remove("cards", "b")
	s.drain()
	assert.NotContains(t, admitted(), "cards")
}

package controller

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// theirs are rules of authors', stored in app and in cards: each is as old as they come, and says nothing of encryption. The registry sees what
// is written of them.
func (s *stage) theirs(policy *networking.TrafficPolicy, namespaces ...string) (rules *Rewrites, work func(), levels func(namespace string) int) {
	s.t.Helper()
	rules = s.rules.rewrites()
	rules.live, rules.writer = s.cluster, s.cluster
	queue := queueOf[types.NamespacedName](s.t)
	require.NoError(s.t, rules.follow(s.t.Context(), queue))
	see := func(name types.NamespacedName) {
		object := empty(istio("DestinationRule"))
		require.NoError(s.t, s.cluster.Get(s.t.Context(), name, object))
		s.registry.PutRule(s.registry.ReadRule(object).Rule)
	}
	for _, namespace := range namespaces {
		rule := &networkingv1.DestinationRule{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "r"}}
		rule.Spec.Host, rule.Spec.TrafficPolicy = host, policy
		require.NoError(s.t, s.cluster.Create(s.t.Context(), rule))
		see(client.ObjectKeyFromObject(rule))
	}
	work = func() {
		for s.drain(); queue.Len() > 0; s.drain() {
			next, _ := queue.Get()
			if _, err := rules.Reconcile(s.t.Context(), next); err != nil {
				require.True(s.t, apierrors.IsForbidden(err), err)
			}
			queue.Done(next)
			see(next)
		}
	}
	levels = func(namespace string) int {
		now := &networkingv1.DestinationRule{}
		require.NoError(s.t, s.cluster.Get(s.t.Context(), client.ObjectKey{Namespace: namespace, Name: "r"}, now))
		return len(now.Spec.GetTrafficPolicy().GetPortLevelSettings())
	}
	return rules, work, levels
}

// pooled is a policy that says nothing of encryption.
func pooled() *networking.TrafficPolicy {
	return &networking.TrafficPolicy{ConnectionPool: &networking.ConnectionPoolSettings{Tcp: &networking.ConnectionPoolSettings_TCPSettings{MaxConnections: 9}}}
}

// pci is the entry of app at the gateway by mutual TLS, seen by cards too.
func (s *stage) pci() {
	s.t.Helper()
	s.registry.PutAccount("app", "default")
	s.registry.PutNamespace("app", map[string]string{"egress": "pci"})
	entry := byMutual("app", "a", "TLS")
	entry.Spec.Endpoints[0].Address, entry.Spec.ExportTo = egresstest.PCIService, []string{".", "cards"}
	s.store(entry)
}

// TestAnAuthorsRuleIsUnderCallsToo: it stays until gateways have had time to be told, as a client rule does, and the entry until it is stored
// anew; whoever calls by the entry with a rule of its own is waited for as well. One without a policy is no other.
func TestAnAuthorsRuleIsUnderCallsToo(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]*networking.TrafficPolicy{"with a policy": pooled(), "without one": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			underAnAuthorsRule(t, policy)
		})
	}
}

func underAnAuthorsRule(t *testing.T, policy *networking.TrafficPolicy) {
	t.Helper()
	s := newStage(t, vaulted())
	_, work, levels := s.theirs(policy, "app", "cards")
	s.pci()
	work()
	require.Equal(t, []int{1, 1}, []int{levels("app"), levels("cards")})
	s.rules.settled = time.Hour
	s.registry.PutNamespace("app", nil)
	work()
	require.Len(t, s.passages(), 1)
	assert.Equal(t, []int{1, 1}, []int{levels("app"), levels("cards")}, "the gateway may not know yet")
	assert.Equal(t, egresstest.PCIService, s.leadsTo())

	s.rules.settled = 0
	s.ruleQueue.Add(exitKey{"app", host})
	s.drain()
	assert.Equal(t, egresstest.PCIService, s.leadsTo(), "its rule is still to be stored")
	work()
	assert.Equal(t, []int{0, 1}, []int{levels("app"), levels("cards")})
	assert.Equal(t, egresstest.PCIService, s.leadsTo(), "so is that of cards")
	s.ruleQueue.Add(exitKey{"cards", host})
	work()
	assert.Equal(t, []int{0, 0}, []int{levels("app"), levels("cards")})
	assert.Equal(t, egresstest.GatewayService, s.leadsTo())
	s.later()
	assert.Empty(t, s.passages())
}

// TestTheRulesOfOtherNamespacesGoBeforeAMove, too: those by which they call it by mutual TLS.
func TestTheRulesOfOtherNamespacesGoBeforeAMove(t *testing.T) {
	t.Parallel()
	s := newStage(t, vaulted())
	s.registry.PutRule(&egress.Rule{Namespace: "cards", Name: "r", Host: host, Subsets: []any{map[string]any{"name": "v1"}}})
	s.pci()
	s.drain()
	require.ElementsMatch(t, []string{"app", "cards"}, s.clientRules())
	s.rules.settled = time.Hour
	s.registry.PutNamespace("app", nil)
	s.drain()
	require.Len(t, s.passages(), 1)
	s.rules.settled = 0
	s.ruleQueue.Add(exitKey{"app", host})
	s.drain()
	assert.Equal(t, []string{"cards"}, s.clientRules())
	assert.Equal(t, egresstest.PCIService, s.leadsTo())
	s.ruleQueue.Add(exitKey{"cards", host})
	s.drain()
	assert.Empty(t, s.clientRules())
	assert.Equal(t, egresstest.GatewayService, s.leadsTo())
}

// TestAnAuthorsRuleThatCannotBeStored anew keeps its own entries where they are, and they are told; nobody else's.
func TestAnAuthorsRuleThatCannotBeStored(t *testing.T) {
	t.Parallel()
	for namespace, stays := range map[string]bool{"app": true, "cards": false} {
		t.Run(namespace, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, vaulted())
			rules, work, _ := s.theirs(pooled(), namespace)
			s.pci()
			work()
			for len(s.recorder.Events) > 0 {
				<-s.recorder.Events
			}
			rules.writer = refusing{s.cluster}
			s.registry.PutNamespace("app", nil)
			work()
			if !stays {
				assert.Equal(t, egresstest.GatewayService, s.leadsTo())
				return
			}
			assert.Equal(t, egresstest.PCIService, s.leadsTo())
			require.NotEmpty(t, s.recorder.Events)
			assert.Contains(t, <-s.recorder.Events, "the DestinationRule app/r, by which calls are made by mutual TLS, cannot be stored anew: ")
		})
	}
}

// refusing updates nothing.
type refusing struct{ client.Client }

func (refusing) Update(_ context.Context, object client.Object, _ ...client.UpdateOption) error {
	return apierrors.NewForbidden(schema.GroupResource{Resource: "destinationrules"}, object.GetName(), errors.New("no"))
}

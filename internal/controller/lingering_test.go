package controller

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// TestProxiesHaveTimeToBeTold: of a passage before the rule goes, and of the rule before the passage does.
func TestProxiesHaveTimeToBeTold(t *testing.T) {
	t.Parallel()
	s := newStage(t, observing(t, egresstest.MutualTLS()))
	s.exits.settle, s.rules.settled = time.Hour, time.Hour
	s.registry.PutAccount("app", "default")
	s.store(leadingOut(held))
	s.drain()
	passage := s.passages()
	require.Len(t, passage, 1)
	s.remove("app", "a")
	s.drain()
	require.Empty(t, s.passages(), "with its exit it goes at once")

	s.store(byMutual("app", "a", "TLS"))
	s.drain()
	require.Equal(t, []string{"app"}, s.clientRules())
	s.registry.PutNamespace("app", observe)
	back := map[string]string{hop.ExitAnnotation: hop.ExitHeld}
	for key, value := range byMutual("app", "a", "TLS").Annotations {
		back[key] = value
	}
	s.annotate(back)
	s.drain()
	assert.Equal(t, passage, s.passages())
	assert.Equal(t, []string{"app"}, s.clientRules(), "gateways may not know yet")
	result, err := s.rules.Reconcile(t.Context(), exitKey{"app", host})
	require.NoError(t, err)
	assert.Positive(t, result.RequeueAfter)
	s.rules.settled = 0
	s.later()
	assert.Empty(t, s.clientRules())

	delete(back, hop.ExitAnnotation)
	s.annotate(back)
	s.drain()
	s.later()
	assert.Equal(t, []string{"app"}, s.clientRules())
	assert.Equal(t, passage, s.passages(), "clients may not know yet")
	result, err = s.exits.Reconcile(t.Context(), exitKey{gateways, host})
	require.NoError(t, err)
	assert.Equal(t, time.Hour, result.RequeueAfter)
	s.exits.settle = 0
	s.later()
	assert.Empty(t, s.passages())
}

// lingering is a stage where the passage of the host stands and is needed no more.
func lingering(t *testing.T) (s *stage, passage []string) {
	t.Helper()
	s = newStage(t, egresstest.MutualTLS())
	s.exits.settle = time.Hour
	s.registry.PutAccount("app", "default")
	s.store(leadingOut(held))
	s.drain()
	passage = s.passages()
	require.Len(t, passage, 1)
	s.rewrite(byMutual("app", "a", "TLS"))
	s.drain()
	s.later()
	require.Equal(t, passage, s.passages())
	require.NotZero(t, s.exits.lingers[exitKey{gateways, host}])
	return s, passage
}

// rewrite stores another in the place of the entry.
func (s *stage) rewrite(of *networkingv1.ServiceEntry) {
	s.t.Helper()
	now := &networkingv1.ServiceEntry{}
	require.NoError(s.t, s.cluster.Get(s.t.Context(), client.ObjectKey{Namespace: "app", Name: "a"}, now))
	of.Spec.DeepCopyInto(&now.Spec)
	now.Annotations = of.Annotations
	require.NoError(s.t, s.cluster.Update(s.t.Context(), now))
	s.see("app", "a")
}

// TestAnExitThatGoesTakesTheWaitWithIt, so that the passage of one that comes after it has all of its own.
func TestAnExitThatGoesTakesTheWaitWithIt(t *testing.T) {
	t.Parallel()
	s, _ := lingering(t)
	s.remove("app", "a")
	s.drain()
	assert.Empty(t, s.passages())
	assert.Empty(t, s.exits.lingers)

	s, _ = lingering(t)
	require.NoError(t, s.cluster.DeleteAllOf(t.Context(), empty(hop.EnvoyFilter), client.InNamespace(gateways)))
	s.later()
	assert.Empty(t, s.exits.lingers, "somebody has deleted it")
}

// TestAPassageOutlastsACacheThatFails: whether it is to linger is not known.
func TestAPassageOutlastsACacheThatFails(t *testing.T) {
	t.Parallel()
	s, passage := lingering(t)
	s.exits.objects.stored = &failingOnce{Reader: s.exits.objects.stored}
	_, err := s.exits.Reconcile(t.Context(), exitKey{gateways, host})
	require.ErrorContains(t, err, "not today")
	assert.Equal(t, passage, s.passages())
}

// failingOnce fails to list EnvoyFilters, the first time.
type failingOnce struct {
	client.Reader
	failed bool
}

func (f *failingOnce) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	if !f.failed && list.GetObjectKind().GroupVersionKind().Kind == hop.EnvoyFilter.Kind+"List" {
		f.failed = true
		return errors.New("not today")
	}
	return f.Reader.List(ctx, list, options...)
}

// TestAPassageLingersForTheRulesOfOtherNamespaces, which call the host by the entry and have a rule that hides its own; and is looked at again
// when they stand, and not all the time.
func TestAPassageLingersForTheRulesOfOtherNamespaces(t *testing.T) {
	t.Parallel()
	mesh := egresstest.MutualTLS()
	s := newStage(t, mesh)
	s.exits.settle = time.Second
	s.registry.PutAccount("app", "default")
	theirs := egress.Rule{Namespace: "cards", Name: "r", Host: host, Subsets: []any{map[string]any{"name": "v1"}}}
	s.registry.PutRule(&theirs)
	exported := func(of *networkingv1.ServiceEntry) *networkingv1.ServiceEntry {
		of.Spec.ExportTo = []string{".", "cards"}
		return of
	}
	s.store(exported(leadingOut(held)))
	s.drain()
	require.Len(t, s.passages(), 1)
	s.rewrite(exported(byMutual("app", "a", "TLS")))
	_, err := s.rules.Reconcile(t.Context(), exitKey{"app", host})
	require.NoError(t, err)
	result, err := s.exits.Reconcile(t.Context(), exitKey{gateways, host})
	require.NoError(t, err)
	assert.Equal(t, interval, result.RequeueAfter)
	s.drain()
	require.ElementsMatch(t, []string{"app", "cards"}, s.clientRules())
	assert.Len(t, s.passages(), 1)
	s.exits.settle = 0
	s.later()
	assert.Len(t, s.passages(), 1, "the author's rule may be in force in the place of ours, and is not written anew yet")
	s.exits.settle = time.Second
	anew := theirs
	anew.ByMutualTLS = true
	s.registry.PutRule(&anew)
	result, err = s.exits.Reconcile(t.Context(), exitKey{gateways, host})
	require.NoError(t, err)
	assert.Equal(t, time.Second, result.RequeueAfter)
	s.exits.settle = 0
	s.later()
	assert.Empty(t, s.passages())
}

// changing are entries of which one changes between two reads.
type changing struct {
	*registry.Registry
	exit, ruled func()
}

func once(do *func()) {
	if now := *do; now != nil {
		*do = nil
		now()
	}
}

func (c *changing) Exit(host, namespace string) *egress.Exit {
	defer once(&c.exit)
	return c.Registry.Exit(host, namespace)
}

func (c *changing) Ruled(host string) []string {
	defer once(&c.ruled)
	return c.Registry.Ruled(host)
}

// TestAnExitIsReadOnce: entries change while it is looked at, and the next look is about that.
func TestAnExitIsReadOnce(t *testing.T) {
	t.Parallel()
	key := exitKey{gateways, host}
	stand := func() *stage {
		s := newStage(t, egresstest.MutualTLS())
		s.exits.settle = time.Hour
		s.registry.PutAccount("app", "default")
		s.store(leadingOut(held))
		s.drain()
		require.Len(t, s.passages(), 1)
		return s
	}
	s := stand()
	s.exits.entries = &changing{Registry: s.registry, exit: func() { s.rewrite(byMutual("app", "a", "TLS")) }}
	_, err := s.exits.Reconcile(t.Context(), key)
	require.NoError(t, err)
	assert.Len(t, s.passages(), 1, "no client rule stands yet")
	s.drain()
	assert.Len(t, s.passages(), 1, "clients may not know yet")

	s = stand()
	require.NoError(t, s.cluster.Delete(t.Context(), leadingOut(held)))
	s.see("app", "a")
	s.exits.entries = &changing{Registry: s.registry, exit: func() { s.store(byMutual("app", "a", "TLS")) }}
	_, err = s.exits.Reconcile(t.Context(), key)
	require.NoError(t, err)
	s.drain()
	_, routes := s.exit(gateways)
	assert.Len(t, routes, 1)
}

// TestARuleThatIsWrittenMeanwhileWakesTheExit whose passage lingers for it, though nobody has noted yet that it does.
func TestARuleThatIsWrittenMeanwhileWakesTheExit(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.MutualTLS())
	s.exits.settle = time.Hour
	s.registry.PutAccount("app", "default")
	s.store(leadingOut(held))
	s.drain()
	s.rewrite(byMutual("app", "a", "TLS"))
	_, err := s.rules.Reconcile(t.Context(), exitKey{"app", host})
	require.NoError(t, err)
	for s.exitQueue.Len() > 0 {
		key, _ := s.exitQueue.Get()
		s.exitQueue.Done(key)
	}
	s.exits.entries = &changing{Registry: s.registry, ruled: func() { s.exits.look(host) }}
	_, err = s.exits.Reconcile(t.Context(), exitKey{gateways, host})
	require.NoError(t, err)
	assert.Equal(t, 1, s.exitQueue.Len())
}

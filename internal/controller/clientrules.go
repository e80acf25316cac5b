package controller

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// ClientRules keeps, in the namespaces of entries that leave by mutual TLS, the DestinationRules by which their clients
// call the gateway. Only the leader runs it.
type ClientRules struct {
	clients
	// settled is how long gateways are given to be told of a passage, passable since when those of a rule stand.
	settled  time.Duration
	mu       sync.Mutex
	passable map[exitKey]time.Time
	// rewritten looks at rules of authors' again.
	rewritten func(rules []types.NamespacedName)
	// written tells of a host whose rule is as it is to be.
	written func(host string)
}

func (c *ClientRules) setup(mgr ctrl.Manager, stored cache.Cache) error {
	return c.watch(mgr, stored, "clientrules", istio("DestinationRule"), c)
}

// Reconcile implements reconcile.TypedReconciler. A rule goes for entries that pass once the gateway takes what comes without it.
func (c *ClientRules) Reconcile(ctx context.Context, key exitKey) (reconcile.Result, error) {
	spec, gateway := hop.ClientRuleSpec(c.mesh, c.entries, key.Namespace, key.Host)
	of, passing := c.passing(key)
	unnamed := spec == nil && passing
	if wait, goes := c.goes(key, of, unnamed); !goes {
		return reconcile.Result{RequeueAfter: wait}, nil
	}
	err := c.keep(ctx, key, hop.ClientRule(key.Namespace, key.Host, spec, gateway))
	if c.waitOut(key, spec, err) {
		return reconcile.Result{RequeueAfter: again}, nil
	}
	state := ruleState{spec: spec, err: err, passing: hop.Passing(c.entries, key.Namespace, key.Host), unnamed: err == nil && unnamed}
	c.settle(key, state, c.own)
	if state.unnamed {
		c.rewritten(c.theirs(key))
	}
	if err == nil {
		c.written(key.Host)
	}
	return reconcile.Result{}, err
}

// own returns the entries that a client rule is for.
func (c *ClientRules) own(key exitKey) (out []types.NamespacedName) {
	for _, entry := range egress.ByMutualTLS(c.entries.Entries(key.Host), key.Namespace) {
		out = append(out, types.NamespacedName{Namespace: entry.Namespace, Name: entry.Name})
	}
	return out
}

func (c *ClientRules) keep(ctx context.Context, key exitKey, want hop.Object) error {
	if want != nil {
		return c.objects.ensure(ctx, want)
	}
	return c.objects.drop(ctx, istio("DestinationRule"), types.NamespacedName{Namespace: key.Namespace, Name: hop.ClientRuleName(key.Host)}, func(stored *unstructured.Unstructured) bool {
		return ofToday(c.mesh, stored)
	})
}

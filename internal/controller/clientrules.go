package controller

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// ClientRules keeps, in the namespaces of entries that leave by mutual TLS, the DestinationRules by which their clients
// call the gateway. Only the leader runs it.
type ClientRules struct{ clients }

func (c *ClientRules) setup(mgr ctrl.Manager, stored cache.Cache) error {
	return c.watch(mgr, stored, "clientrules", istio("DestinationRule"), c)
}

// Reconcile implements reconcile.TypedReconciler.
func (c *ClientRules) Reconcile(ctx context.Context, key exitKey) (reconcile.Result, error) {
	spec, gateway := hop.ClientRuleSpec(c.mesh, c.entries, key.Namespace, key.Host)
	err := c.keep(ctx, key, hop.ClientRule(key.Namespace, key.Host, spec, gateway))
	if c.waitOut(key, spec, err) {
		return reconcile.Result{RequeueAfter: again}, nil
	}
	c.settle(key, ruleState{spec: spec, err: err}, c.own)
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
	stored := empty(istio("DestinationRule"))
	err := c.objects.stored.Get(ctx, types.NamespacedName{Namespace: key.Namespace, Name: hop.ClientRuleName(key.Host)}, stored)
	if err == nil && ofToday(c.mesh, stored) {
		err = c.objects.remove(ctx, stored)
	}
	return client.IgnoreNotFound(err)
}

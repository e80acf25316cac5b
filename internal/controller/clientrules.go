package controller

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// ClientRules keeps, in the namespaces of entries that leave by mutual TLS, the DestinationRules by which their clients
// call the gateway. Only the leader runs it.
type ClientRules struct {
	synced   func() bool
	mesh     *egress.Mesh
	entries  Entries
	objects  owned
	standing *standing
	tell     func(entries []types.NamespacedName)
}

func (c *ClientRules) setup(mgr ctrl.Manager, stored cache.Cache) error {
	of, err := controller.NewTyped("clientrules", mgr, fairly(controller.TypedOptions[exitKey]{Reconciler: c}, func(key exitKey) string { return key.Namespace }))
	if err != nil {
		return err
	}
	kind := empty(istio("DestinationRule"))
	err = of.Watch(source.TypedKind[client.Object](stored, kind, handler.TypedEnqueueRequestsFromMapFunc(c.keyOf)))
	return errors.Join(err, of.Watch(source.TypedFunc[exitKey](c.follow)))
}

// keyOf maps a rule to the host that it is for; those of the exits are others' to keep.
func (c *ClientRules) keyOf(ctx context.Context, object client.Object) []exitKey {
	if len(c.mesh.GatewaysIn(object.GetNamespace())) > 0 {
		return nil
	}
	return keyOf(ctx, object)
}

// follow enqueues the hosts that a namespace has entries of.
func (c *ClientRules) follow(ctx context.Context, queue workqueue.TypedRateLimitingInterface[exitKey]) error {
	if err := whenSynced(ctx, c.synced); err != nil {
		return err
	}
	c.entries.OnChange(func(change registry.Change) {
		for _, of := range change.Clients {
			queue.Add(exitKey{of.Namespace, of.Host})
		}
	})
	return nil
}

// patience is how often a write may fail for a cache that lags before its entries are told: ours lags behind a write of
// ours, or that of the replica that was asked about it behind the entry.
const patience = 25

// Reconcile implements reconcile.TypedReconciler.
func (c *ClientRules) Reconcile(ctx context.Context, key exitKey) (reconcile.Result, error) {
	spec, gateway := hop.ClientRuleSpec(c.mesh, c.entries, key.Namespace, key.Host)
	err := c.keep(ctx, key, hop.ClientRule(key.Namespace, key.Host, spec, gateway))
	lags := apierrors.IsConflict(err) || apierrors.IsForbidden(err) || apierrors.IsInvalid(err)
	if lags && c.standing.failures(key) < patience {
		c.standing.rule(key, ruleState{spec: spec, err: err, lags: true})
		return reconcile.Result{RequeueAfter: again}, nil
	}
	if c.standing.rule(key, ruleState{spec: spec, err: err}) {
		c.tell(c.own(key))
	}
	c.tell(c.standing.waitingFor(key))
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

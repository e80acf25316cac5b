package controller

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// keeper is what those have in common who keep objects of a kind beside entries.
type keeper struct {
	yield    *Yield
	synced   func() bool
	mesh     *egress.Mesh
	entries  Entries
	objects  owned
	standing *standing
	tell     func(entries []types.NamespacedName)
}

// settle takes in what is known of an object, and tells its own entries where that is news, and whoever waits for it.
func (k *keeper) settle(key exitKey, state ruleState, own func(exitKey) []types.NamespacedName) {
	if k.standing.rule(key, state) {
		k.tell(own(key))
	}
	k.tell(k.standing.waitingFor(key))
}

// clients keeps its objects beside clients, by namespace and host.
type clients struct {
	keeper
	waker[exitKey]
}

// watch starts a keeper, which looks at a host of a namespace when its entries or the stored objects of the kind change.
func (c *clients) watch(mgr ctrl.Manager, stored cache.Cache, name string, kind schema.GroupVersionKind, by reconcile.TypedReconciler[exitKey]) error {
	of, err := controller.NewTyped(name, mgr, working(name, by, c.yield, func(key exitKey) []string { return []string{key.Namespace} }))
	if err != nil {
		return err
	}
	err = of.Watch(source.TypedKind[client.Object](stored, empty(kind), news(c.objects.expected, c.keyOf)))
	return errors.Join(err, of.Watch(source.TypedFunc[exitKey](c.follow)))
}

// keyOf maps an object to the host that it is for; those of the exits are others' to keep, and one of no host nobody's.
func (c *clients) keyOf(ctx context.Context, object client.Object) []exitKey {
	if len(c.mesh.GatewaysIn(object.GetNamespace())) > 0 || hostOf(object)[0] == "" {
		return nil
	}
	return keyOf(ctx, object)
}

// follow enqueues the hosts that a namespace has entries of, and those of which its authors' routes say something.
func (c *clients) follow(ctx context.Context, queue workqueue.TypedRateLimitingInterface[exitKey]) error {
	if err := whenSynced(ctx, c.synced); err != nil {
		return err
	}
	c.begin(queue)
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

// waitOut says whether a write failed for a cache that may lag, and is to be tried again before anybody is told.
func (c *clients) waitOut(key exitKey, spec map[string]any, err error) bool {
	lags := apierrors.IsConflict(err) || apierrors.IsForbidden(err) || apierrors.IsInvalid(err)
	if !lags || c.standing.failures(key) >= patience {
		return false
	}
	c.standing.rule(key, ruleState{spec: spec, err: err, lags: true})
	return true
}

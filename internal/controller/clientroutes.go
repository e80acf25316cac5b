package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
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

// ClientRoutes keeps, in the namespaces of entries whose calls routes alone lead to a gateway, the VirtualServices that do
// where their authors have none. Only the leader runs it.
type ClientRoutes struct {
	synced  func() bool
	mesh    *egress.Mesh
	entries Entries
	objects owned
	// standing has the routes that were looked at, as it has the rules.
	standing *standing
	tell     func(entries []types.NamespacedName)
}

func (c *ClientRoutes) setup(mgr ctrl.Manager, stored cache.Cache) error {
	of, err := controller.NewTyped("clientroutes", mgr, fairly(controller.TypedOptions[exitKey]{Reconciler: c}, func(key exitKey) string { return key.Namespace }))
	if err != nil {
		return err
	}
	kind := empty(istio("VirtualService"))
	err = of.Watch(source.TypedKind[client.Object](stored, kind, handler.TypedEnqueueRequestsFromMapFunc(c.keyOf)))
	return errors.Join(err, of.Watch(source.TypedFunc[exitKey](c.follow)))
}

// keyOf maps routes to the host that they are for; those of the exits are others' to keep.
func (c *ClientRoutes) keyOf(ctx context.Context, object client.Object) []exitKey {
	if len(c.mesh.GatewaysIn(object.GetNamespace())) > 0 || hostOf(object)[0] == "" {
		return nil
	}
	return keyOf(ctx, object)
}

// follow enqueues the hosts that a namespace has entries of, and those of which its authors' routes say something.
func (c *ClientRoutes) follow(ctx context.Context, queue workqueue.TypedRateLimitingInterface[exitKey]) error {
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

// Reconcile implements reconcile.TypedReconciler.
func (c *ClientRoutes) Reconcile(ctx context.Context, key exitKey) (reconcile.Result, error) {
	want, others := c.entries.ClientRoutes(key.Namespace, key.Host)
	err := c.keep(ctx, key, want, others)
	lags := apierrors.IsConflict(err) || apierrors.IsForbidden(err) || apierrors.IsInvalid(err)
	if lags && c.standing.failures(key) < patience {
		c.standing.rule(key, ruleState{spec: specsOf(want), err: err, lags: true})
		return reconcile.Result{RequeueAfter: again}, nil
	}
	if c.standing.rule(key, ruleState{spec: specsOf(want), err: errors.Join(err, straight(c.entries, key))}) {
		c.tell(c.own(key))
	}
	c.tell(c.standing.waitingFor(key))
	return reconcile.Result{}, err
}

// keep writes what is to be first, and takes away the rest of ours then: no call is without a route in between that had one.
func (c *ClientRoutes) keep(ctx context.Context, key exitKey, want []*unstructured.Unstructured, others bool) error {
	wanted := map[string]bool{}
	for _, object := range want {
		if err := c.objects.ensure(ctx, object); err != nil {
			return err
		}
		wanted[object.GetName()] = true
	}
	if others {
		return nil
	}
	stored := emptyList(istio("VirtualService"))
	err := c.objects.stored.List(ctx, stored, client.InNamespace(key.Namespace), client.MatchingFields{byHost: key.Host})
	for i := range stored.Items {
		if object := &stored.Items[i]; !wanted[object.GetName()] && ofToday(c.mesh, object) {
			err = errors.Join(err, c.objects.remove(ctx, object))
		}
	}
	return err
}

// straight says which routes of the namespace's authors lead calls of the host past the gateway; nil where none do.
func straight(entries Entries, key exitKey) error {
	if past := entries.Straight(key.Namespace, key.Host); len(past) > 0 {
		return fmt.Errorf("VirtualService %s leads them past the egress gateway, and cannot be led there as it is written", strings.Join(past, ", "))
	}
	return nil
}

// own returns the entries that the routes are for.
func (c *ClientRoutes) own(key exitKey) (out []types.NamespacedName) {
	for _, entry := range c.entries.Entries(key.Host) {
		if entry.Namespace == key.Namespace && entry.Gateway != "" {
			out = append(out, types.NamespacedName{Namespace: entry.Namespace, Name: entry.Name})
		}
	}
	return out
}

// specsOf are those of routes, by their names; nil for none.
func specsOf(routes []*unstructured.Unstructured) map[string]any {
	if len(routes) == 0 {
		return nil
	}
	out := map[string]any{}
	for _, route := range routes {
		out[route.GetName()] = route.Object["spec"]
	}
	return out
}

// led says whether the client routes of an entry for a host stand, where routes alone lead its calls to a gateway, and why they do
// not.
func (e *ExitReady) led(name types.NamespacedName, entry *egress.Entry, host string) (failed string, stands bool) {
	if !e.mesh.ByRoutes() {
		return "", true
	}
	if err := straight(e.entries, exitKey{entry.Namespace, host}); err != nil {
		return err.Error(), true
	}
	return e.routes.awaitRule(exitKey{entry.Namespace, host}, name, specsOf(hop.ClientRoutes(e.mesh, e.entries, entry.Namespace, host)))
}

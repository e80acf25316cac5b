package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// ClientRoutes keeps, in the namespaces of entries whose calls routes alone lead to a gateway, the VirtualServices that do
// where their authors have none. Only the leader runs it.
type ClientRoutes struct{ clients }

func (c *ClientRoutes) setup(mgr ctrl.Manager, stored cache.Cache) error {
	return c.watch(mgr, stored, "clientroutes", istio("VirtualService"), c)
}

// Reconcile implements reconcile.TypedReconciler.
func (c *ClientRoutes) Reconcile(ctx context.Context, key exitKey) (reconcile.Result, error) {
	want, others := c.entries.ClientRoutes(key.Namespace, key.Host)
	err := c.keep(ctx, key, want, others)
	if c.waitOut(key, specsOf(want), err) {
		return reconcile.Result{RequeueAfter: again}, nil
	}
	c.settle(key, ruleState{spec: specsOf(want), err: errors.Join(err, straight(c.entries, key))}, c.own)
	return reconcile.Result{}, err
}

// keep writes what is to be first, and takes away the rest of ours then: no call is without a route in between that had one.
func (c *ClientRoutes) keep(ctx context.Context, key exitKey, want []*unstructured.Unstructured, others bool) error {
	wanted := map[objectName]bool{}
	for _, object := range want {
		if err := c.objects.ensure(ctx, object); err != nil {
			return err
		}
		wanted[nameOf(object)] = true
	}
	if others {
		return nil
	}
	return c.objects.keepOnly(ctx, c.mesh, key, wanted, istio("VirtualService"))
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
	return e.routes.awaitRule(exitKey{entry.Namespace, host}, name, specsOf(hop.ClientRoutes(e.mesh, e.entries, entry.Namespace, host)), false)
}

package controller

import (
	"context"
	"reflect"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/egress-governor/egress-governor/internal/registry"
)

// Rewrites keeps stored objects of one kind in the form that the hosts they name ask for. The webhook stores an object in
// the form of the moment; the entry of its host may come later, or go. Only the leader runs it.
type Rewrites struct {
	kind, controller string
	changes          func(listener func(registry.Change))
	// of returns the objects that a change concerns.
	of func(change registry.Change) []types.NamespacedName
	// form returns what an object is to be stored as; nil where it stays as it is.
	form func(name types.NamespacedName) registry.Form

	live   client.Reader
	writer client.Writer
}

func (r *Rewrites) setup(mgr ctrl.Manager) error {
	r.live, r.writer = mgr.GetAPIReader(), mgr.GetClient()
	c, err := controller.NewTyped(r.controller, mgr, fairly(controller.TypedOptions[types.NamespacedName]{Reconciler: r}, namespaceOf))
	if err != nil {
		return err
	}
	return c.Watch(source.TypedFunc[types.NamespacedName](r.follow))
}

// concerning returns the objects of the hosts whose entries, or the objects, are there, come, change and go.
func concerning(of func(host string) []types.NamespacedName) func(registry.Change) []types.NamespacedName {
	return func(change registry.Change) (out []types.NamespacedName) {
		for _, host := range change.Hosts {
			out = append(out, of(host)...)
		}
		return out
	}
}

// follow enqueues what changes concern.
func (r *Rewrites) follow(_ context.Context, queue workqueue.TypedRateLimitingInterface[types.NamespacedName]) error {
	r.changes(func(change registry.Change) {
		for _, name := range r.of(change) {
			queue.Add(name)
		}
	})
	return nil
}

// Reconcile implements reconcile.TypedReconciler.
func (r *Rewrites) Reconcile(ctx context.Context, name types.NamespacedName) (reconcile.Result, error) {
	form := r.form(name)
	if form == nil {
		return reconcile.Result{}, nil
	}
	object := empty(istio(r.kind))
	if err := r.live.Get(ctx, name, object); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	want, err := form(object)
	if err != nil || reflect.DeepEqual(want.Object, object.Object) {
		return reconcile.Result{}, nil //nolint:nilerr // what cannot be rewritten is its author's to mend
	}
	tell(ctx, "Rewritten", want)
	return reconcile.Result{}, client.IgnoreNotFound(r.writer.Update(ctx, want))
}

package controller

import (
	"context"
	"errors"
	"reflect"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// Rewrites keeps stored objects of one kind in the form that the hosts they name ask for. The webhook stores an object in
// the form of the moment; the entry of its host may come later, or go. Only the leader runs it.
type Rewrites struct {
	kind, controller string
	// synced says that entries are known: what is stored is not held against them before, or it would be unsealed for those that are not yet.
	synced  func() bool
	changes func(listener func(registry.Change))
	// of returns the objects that a change concerns.
	of func(change registry.Change) []types.NamespacedName
	// form returns what an object is to be stored as; nil where it stays as it is.
	form func(name types.NamespacedName) registry.Form

	// waits says whether an object stays as it is until wake looks at it again, wrote takes in why one could not be rewritten, nil for nothing;
	// both may be nil.
	waits func(name types.NamespacedName) bool
	wrote func(name types.NamespacedName, err error)

	live   client.Reader
	writer client.Writer
	waker[types.NamespacedName]
}

func (r *Rewrites) setup(mgr ctrl.Manager) error {
	r.live, r.writer = mgr.GetAPIReader(), mgr.GetClient()
	c, err := controller.NewTyped(r.controller, mgr, fairly(controller.TypedOptions[types.NamespacedName]{Reconciler: traced(r.controller, r)}, namespaceOf))
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
func (r *Rewrites) follow(ctx context.Context, queue workqueue.TypedRateLimitingInterface[types.NamespacedName]) error {
	if err := whenSynced(ctx, r.synced); err != nil {
		return err
	}
	r.begin(queue)
	r.changes(func(change registry.Change) {
		for _, name := range r.of(change) {
			queue.Add(name)
		}
	})
	return nil
}

// Reconcile implements reconcile.TypedReconciler.
func (r *Rewrites) Reconcile(ctx context.Context, name types.NamespacedName) (reconcile.Result, error) {
	if r.waits != nil && r.waits(name) {
		return reconcile.Result{}, nil
	}
	authors, err := r.rewrite(ctx, name)
	if r.wrote != nil && !apierrors.IsConflict(err) {
		r.wrote(name, errors.Join(authors, err))
	}
	return reconcile.Result{}, err
}

// rewrite stores an object in its form; what cannot be rewritten is its author's to mend.
func (r *Rewrites) rewrite(ctx context.Context, name types.NamespacedName) (authors, err error) {
	form := r.form(name)
	if form == nil {
		return nil, nil
	}
	object := empty(istio(r.kind))
	if err := r.live.Get(ctx, name, object); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	want, authors := form(object)
	if authors != nil || reflect.DeepEqual(want.Object, object.Object) {
		return authors, nil
	}
	tell(ctx, "Rewritten", want)
	if err := r.writer.Update(ctx, want); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	return nil, r.giveBack(ctx, want, object.GetManagedFields())
}

// giveBack has the author own again what was rewritten.
func (r *Rewrites) giveBack(ctx context.Context, rewritten *unstructured.Unstructured, before []metav1.ManagedFieldsEntry) error {
	if !hop.GiveBack(rewritten, before) {
		return nil
	}
	err := r.writer.Update(ctx, rewritten)
	if apierrors.IsConflict(err) {
		return nil // somebody has written it since
	}
	return client.IgnoreNotFound(err)
}

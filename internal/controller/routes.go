package controller

import (
	"context"
	"reflect"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// StoredRoutes is what the controller of routes asks of the stored objects.
type StoredRoutes interface {
	egress.View
	LeadingTo(host string) []types.NamespacedName
	OnChange(listener func(registry.Change))
}

// Routes injects stored VirtualServices that came before the entries of the hosts they lead to. Only the leader runs it.
type Routes struct {
	mesh   *egress.Mesh
	stored StoredRoutes
	live   client.Reader
	writer client.Writer
}

// SetupRoutes runs the controller, where VirtualServices are injected at all.
func SetupRoutes(mgr ctrl.Manager, mesh *egress.Mesh, stored StoredRoutes) error {
	if !mesh.Inject {
		return nil
	}
	routes := &Routes{mesh: mesh, stored: stored, live: mgr.GetAPIReader(), writer: mgr.GetClient()}
	c, err := controller.NewTyped("routes", mgr, fairly(controller.TypedOptions[types.NamespacedName]{Reconciler: routes}, namespaceOf))
	if err != nil {
		return err
	}
	return c.Watch(source.TypedFunc[types.NamespacedName](routes.follow))
}

// follow enqueues the routes that lead to hosts whose entries are there, come and change.
func (r *Routes) follow(_ context.Context, queue workqueue.TypedRateLimitingInterface[types.NamespacedName]) error {
	r.stored.OnChange(func(change registry.Change) {
		for _, host := range change.Hosts {
			for _, name := range r.stored.LeadingTo(host) {
				queue.Add(name)
			}
		}
	})
	return nil
}

// Reconcile implements reconcile.TypedReconciler.
func (r *Routes) Reconcile(ctx context.Context, name types.NamespacedName) (reconcile.Result, error) {
	gw, leaves := r.mesh.GatewayByName(r.stored.GatewayOf(name.Namespace))
	if !leaves {
		return reconcile.Result{}, nil
	}
	object := empty(schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "VirtualService"})
	if err := r.live.Get(ctx, name, object); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	want, err := hop.Inject(object, gw, r.mesh, r.stored)
	if err != nil || reflect.DeepEqual(want.Object, object.Object) {
		return reconcile.Result{}, nil //nolint:nilerr // an annotation that does not decode is its author's to mend
	}
	tell(ctx, "Injected", want)
	return reconcile.Result{}, client.IgnoreNotFound(r.writer.Update(ctx, want))
}

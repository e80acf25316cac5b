// Package exit keeps, in the gateway's namespace, the exit set of every host that some sealed ServiceEntry names, and
// tells the entries' authors when it is there.
package exit

import (
	"context"
	"errors"
	"fmt"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/events"
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
	"github.com/egress-governor/egress-governor/internal/preflight"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// request names one exit set. An empty host asks for the Gateway object alone.
type request struct{ Gateway, Host string }

// Entries is what the controller asks the registry of hosts.
type Entries interface {
	Entries(host string) []*egress.Entry
	// GatewayProblems says why a gateway's Service cannot carry calls.
	GatewayProblems(gw egress.Gateway) []preflight.Problem
	OnChange(listener func(hosts []string))
}

// Reconciler makes the stored exit sets equal to what the entries ask for. Only the leader runs it.
type Reconciler struct {
	// Mesh is the operator's configuration.
	Mesh *egress.Mesh
	// Entries are the stored ServiceEntries by host.
	Entries Entries
	// Exits reads and writes the exit sets, Authors the ServiceEntries' status.
	Exits, Authors client.Client
	// Recorder tells authors of conflicts.
	Recorder events.EventRecorder
}

// SetupWithManager runs the controller. Exit sets are read from a cache of their own that holds nothing but objects of
// ours in the gateways' namespaces.
func SetupWithManager(mgr ctrl.Manager, mesh *egress.Mesh, entries *registry.Registry) error {
	namespaces := map[string]cache.Config{}
	for _, gw := range mesh.Gateways {
		namespaces[gw.Namespace()] = cache.Config{}
	}
	exits, err := cache.New(mgr.GetConfig(), cache.Options{
		HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(), DefaultNamespaces: namespaces,
		DefaultLabelSelector: labels.SelectorFromSet(labels.Set{hop.ManagedByLabel: hop.Manager}),
	})
	if err != nil {
		return fmt.Errorf("cache of exit sets: %w", err)
	}
	if err := mgr.Add(exits); err != nil {
		return err
	}
	writer, err := client.New(mgr.GetConfig(), client.Options{
		HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(),
		Cache: &client.CacheOptions{Reader: exits},
	})
	if err != nil {
		return fmt.Errorf("client of exit sets: %w", err)
	}
	reconciler := &Reconciler{Mesh: mesh, Entries: entries, Exits: writer, Authors: mgr.GetClient(), Recorder: mgr.GetEventRecorder("egress-governor")}
	c, err := controller.NewTyped("exit", mgr, controller.TypedOptions[request]{Reconciler: reconciler})
	if err != nil {
		return err
	}
	watches := []source.TypedSource[request]{source.TypedFunc[request](reconciler.follow)}
	for _, object := range []client.Object{&networkingv1.Gateway{}, &networkingv1.ServiceEntry{}, &networkingv1.VirtualService{}} {
		watches = append(watches, source.TypedKind(exits, object, handler.TypedEnqueueRequestsFromMapFunc(requestOf)))
	}
	for _, watch := range watches {
		if err := c.Watch(watch); err != nil {
			return err
		}
	}
	return nil
}

// follow enqueues the hosts of entries that come, change and go.
func (r *Reconciler) follow(_ context.Context, queue workqueue.TypedRateLimitingInterface[request]) error {
	r.Entries.OnChange(func(hosts []string) {
		for _, gw := range r.Mesh.Gateways {
			for _, host := range hosts {
				queue.Add(request{gw.Name, host})
			}
		}
	})
	return nil
}

// requestOf maps an object of ours to the exit set it belongs to; those whose entries went while nobody watched come
// up here at start.
func requestOf(_ context.Context, object client.Object) []request {
	return []request{{object.GetLabels()[hop.GatewayLabel], object.GetAnnotations()[hop.HostAnnotation]}}
}

// Reconcile implements reconcile.TypedReconciler.
func (r *Reconciler) Reconcile(ctx context.Context, req request) (reconcile.Result, error) {
	gw, ok := r.Mesh.GatewayByName(req.Gateway)
	if !ok {
		return reconcile.Result{}, nil
	}
	if err := r.ensure(ctx, hop.GatewayObject(gw)); err != nil || req.Host == "" {
		return reconcile.Result{}, err
	}
	entries := r.Entries.Entries(req.Host)
	owner := registry.Owner(entries, gw.Name)
	if owner == nil {
		return reconcile.Result{}, r.remove(ctx, gw, req.Host)
	}
	entry, routes := hop.ExitSet(gw, req.Host, owner.Definition)
	// The ServiceEntry first: a route to a host that the gateway does not know is an error to it.
	err := r.ensure(ctx, entry)
	if err == nil {
		err = r.ensure(ctx, routes)
	}
	return reconcile.Result{}, errors.Join(err, r.report(ctx, entries, gw.Name, err))
}

func (r *Reconciler) remove(ctx context.Context, gw egress.Gateway, host string) error {
	entry, routes := hop.ExitSet(gw, host, egress.Definition{})
	return errors.Join(r.delete(ctx, routes), r.delete(ctx, entry))
}

package controller

import (
	"context"
	"errors"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
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

// WaypointPolicies keeps, beside entries that are bound to a waypoint, the AuthorizationPolicies by which it turns away whoever
// may not call. Only the leader runs it.
type WaypointPolicies struct{ keeper }

func authorizationPolicy() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "security.istio.io", Version: "v1", Kind: "AuthorizationPolicy"}
}

// hasWaypoints says whether some egress gateway has a waypoint. Where none has, nothing is asked of AuthorizationPolicies.
func hasWaypoints(mesh *egress.Mesh) bool {
	return slices.ContainsFunc(mesh.Gateways, func(gw egress.Gateway) bool { return gw.Waypoint.Name != "" })
}

func (p *WaypointPolicies) setup(mgr ctrl.Manager, stored cache.Cache) error {
	of, err := controller.NewTyped("waypointpolicies", mgr, fairly(controller.TypedOptions[types.NamespacedName]{Reconciler: p}, namespaceOf))
	if err != nil {
		return err
	}
	kind := empty(authorizationPolicy())
	err = of.Watch(source.TypedKind[client.Object](stored, kind, handler.TypedEnqueueRequestsFromMapFunc(policyEntry)))
	return errors.Join(err, of.Watch(source.TypedFunc[types.NamespacedName](p.follow)))
}

// policyEntry maps a policy to the entry that it is for.
func policyEntry(_ context.Context, object client.Object) []types.NamespacedName {
	return []types.NamespacedName{{Namespace: object.GetNamespace(), Name: object.GetAnnotations()[hop.EntryAnnotation]}}
}

// follow enqueues entries that are there, come, change and go, and those whose hosts others let callers of.
func (p *WaypointPolicies) follow(ctx context.Context, queue workqueue.TypedRateLimitingInterface[types.NamespacedName]) error {
	if err := whenSynced(ctx, p.synced); err != nil {
		return err
	}
	p.entries.OnChange(func(change registry.Change) {
		for _, name := range change.Entries {
			queue.Add(name)
		}
		for _, host := range slices.Concat(change.Hosts, change.Callers) {
			for _, entry := range p.entries.Entries(host) {
				if entry.Waypoint.Name != "" {
					queue.Add(types.NamespacedName{Namespace: entry.Namespace, Name: entry.Name})
				}
			}
		}
	})
	return nil
}

// policyKey is that of the policy of an entry among the rules by which clients call: no host has a slash.
func policyKey(entry types.NamespacedName) exitKey {
	return exitKey{entry.Namespace, "entries/" + entry.Name}
}

// Reconcile implements reconcile.TypedReconciler.
func (p *WaypointPolicies) Reconcile(ctx context.Context, name types.NamespacedName) (reconcile.Result, error) {
	var spec map[string]any
	var want hop.Object
	if stored := p.entries.Stored(name); stored != nil && stored.Entry != nil {
		spec = hop.WaypointPolicySpec(p.mesh, p.entries, stored.Entry)
		want = hop.WaypointPolicy(stored.Entry, spec)
	}
	err := p.keep(ctx, name, want)
	if apierrors.IsConflict(err) {
		return reconcile.Result{RequeueAfter: again}, nil
	}
	p.settle(policyKey(name), ruleState{spec: spec, err: err}, func(exitKey) []types.NamespacedName { return []types.NamespacedName{name} })
	return reconcile.Result{}, err
}

func (p *WaypointPolicies) keep(ctx context.Context, entry types.NamespacedName, want hop.Object) error {
	if want != nil {
		return p.objects.ensure(ctx, want)
	}
	stored := empty(authorizationPolicy())
	err := p.objects.stored.Get(ctx, types.NamespacedName{Namespace: entry.Namespace, Name: hop.WaypointPolicyName(entry.Name)}, stored)
	if err == nil {
		err = p.objects.remove(ctx, stored)
	}
	return client.IgnoreNotFound(err)
}

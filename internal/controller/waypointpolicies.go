package controller

import (
	"context"
	"errors"
	"slices"
	"sync"

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
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// WaypointPolicies keeps, beside entries that are bound to a waypoint, the AuthorizationPolicies by which it turns away whoever
// may not call. Only the leader runs it.
type WaypointPolicies struct {
	keeper
	mu sync.Mutex
	// known are the exits of hosts as they let callers in when all entries of the host were looked at last.
	known map[exitKey]*egress.Exit
}

func authorizationPolicy() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "security.istio.io", Version: "v1", Kind: "AuthorizationPolicy"}
}

// hasWaypoints says whether some egress gateway has a waypoint. Where none has, nothing is asked of AuthorizationPolicies.
func hasWaypoints(mesh *egress.Mesh) bool {
	return slices.ContainsFunc(mesh.Gateways, func(gw egress.Gateway) bool { return gw.Waypoint.Name != "" })
}

func (p *WaypointPolicies) setup(mgr ctrl.Manager, stored cache.Cache) error {
	of, err := controller.NewTyped("waypointpolicies", mgr, working("waypointpolicies", p, p.yield, namespaceOf))
	if err != nil {
		return err
	}
	kind := empty(authorizationPolicy())
	err = of.Watch(source.TypedKind[client.Object](stored, kind, news(p.objects.expected, policyEntry)))
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
		for _, host := range change.Hosts {
			if p.others(host) {
				p.all(host, queue)
			}
		}
		for _, host := range change.Callers {
			p.all(host, queue)
		}
	})
	return nil
}

func (p *WaypointPolicies) all(host string, queue workqueue.TypedRateLimitingInterface[types.NamespacedName]) {
	for _, entry := range p.entries.Entries(host) {
		if entry.Waypoint.Name != "" {
			queue.Add(types.NamespacedName{Namespace: entry.Namespace, Name: entry.Name})
		}
	}
}

// others says whether the exits of a host let in others than they did: one more of many entries that let in alike is nothing to the rest.
func (p *WaypointPolicies) others(host string) (out bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil {
		p.known = map[exitKey]*egress.Exit{}
	}
	for _, gw := range p.mesh.Gateways {
		key := exitKey{gw.Namespace(), host}
		exit := p.entries.Exit(host, key.Namespace)
		out = out || !exit.LetsInAs(p.known[key])
		if p.known[key] = exit; exit == nil {
			delete(p.known, key)
		}
	}
	return out
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
	return p.objects.drop(ctx, authorizationPolicy(), types.NamespacedName{Namespace: entry.Namespace, Name: hop.WaypointPolicyName(entry.Name)}, always)
}

// Package controller is the background work of the leader, and of every replica where it says so: exit sets and what
// their authors are told, policies, and what is wrong around the webhook.
package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// Entries is what the controllers ask of the stored ServiceEntries.
type Entries interface {
	egress.View
	StoredRules
	RulesAt(namespace, host string) []*egress.Rule
	Stored(name types.NamespacedName) *registry.Stored
	Released(name types.NamespacedName) *registry.Stored
	Problems(gw egress.Gateway) []egress.Finding
	Reached(host string) string
	ExitSetOf(exit *egress.Exit, namespace, host string) ([]hop.Object, error)
	GatewayObjects(gw egress.Gateway) (objects []hop.Object, gone []string)
	ClientRoutes(namespace, host string) (routes []*unstructured.Unstructured, others bool)
	Straight(namespace, host string) []string
	PairsTo(host string) []string
	Suspended(name types.NamespacedName) (why string, is bool)
}

// whenSynced waits for entries to be known. No worker of a controller runs before its sources have started.
func whenSynced(ctx context.Context, synced func() bool) error {
	return wait.PollUntilContextCancel(ctx, 20*time.Millisecond, true, func(context.Context) (bool, error) { return synced(), nil })
}

// Exits makes the stored exit sets equal to what the entries ask for, in the gateways' namespaces. Only the leader runs
// it.
type Exits struct {
	synced   func() bool
	mesh     *egress.Mesh
	entries  Entries
	objects  owned
	kinds    []schema.GroupVersionKind
	standing *standing
	// tell wakes the controller of conditions.
	tell func(entries []types.NamespacedName)
	// ruled wakes the controller of client rules.
	ruled func(rules []exitKey)
	// settle is how long proxies are given to be told of a client rule.
	settle time.Duration

	// opened has, by the name of an egress gateway, the names of what was last kept for all of its hosts, lingers since when client rules
	// stand for which passages linger.
	mu      sync.Mutex
	opened  map[string][]string
	lingers map[exitKey]time.Time
	waker[exitKey]
}

// byHost is the index of our objects by the host they serve.
const byHost = "host"

// SetupExits runs the controllers of exit sets, of the rules and routes by which clients call them and of what authors are told of
// them. Our objects are read from a cache of their own that holds nothing else, and little of them.
// synced says that the entries stored at start are known: what is stored of ours is held against them, and not before.
// Metrics takes how many there are. All of it gives way to requests.
func SetupExits(ctx context.Context, mgr ctrl.Manager, mesh *egress.Mesh, entries Entries, synced func() bool, yield *Yield, metrics prometheus.Registerer) error {
	stored, err := newCache(mgr, mesh)
	if err != nil {
		return fmt.Errorf("cache of exit sets: %w", err)
	}
	state := newStanding()
	ready := &ExitReady{
		synced: synced, mesh: mesh, entries: entries, standing: state, routes: newStanding(),
		writer: mgr.GetClient(), recorder: mgr.GetEventRecorder("egress-governor"), states: newExitStates(time.Now),
	}
	if err := metrics.Register(ready.states); err != nil {
		return err
	}
	ready.moves = &moves{mesh: mesh, entries: entries, standing: state, live: mgr.GetAPIReader(), writer: mgr.GetClient(), recorder: ready.recorder}
	exits := &Exits{synced: synced, mesh: mesh, entries: entries, objects: owned{stored: stored, live: mgr.GetAPIReader(), writer: mgr.GetClient(), expected: newExpected()}, standing: state, tell: ready.wake}
	if exits.kinds, err = kindsOf(mgr.GetClient()); err != nil {
		return err
	}
	for _, kind := range exits.kinds {
		if err := stored.IndexField(ctx, empty(kind), byHost, hostOf); err != nil {
			return fmt.Errorf("index of %s: %w", kind.Kind, err)
		}
	}
	c, err := controller.NewTyped("exits", mgr, working("exits", exits, yield, exits.tenants))
	if err != nil {
		return err
	}
	watches := []source.TypedSource[exitKey]{source.TypedFunc[exitKey](exits.follow)}
	for _, kind := range exits.kinds {
		watches = append(watches, source.TypedKind[client.Object](stored, empty(kind), news(exits.objects.expected, exits.keyOf)))
	}
	for _, watch := range watches {
		if err := c.Watch(watch); err != nil {
			return err
		}
	}
	beside := keeper{yield: yield, synced: synced, mesh: mesh, entries: entries, objects: exits.objects, standing: state, tell: ready.wake}
	rules := &ClientRules{clients: clients{keeper: beside}, settled: settle, written: exits.look}
	exits.ruled, exits.settle = rules.wake, settle
	theirs := rules.rewrites()
	if err := errors.Join(rules.setup(mgr, stored), theirs.setup(mgr)); err != nil {
		return err
	}
	routes := &ClientRoutes{clients{keeper: beside}}
	routes.standing = ready.routes
	if err := routes.setup(mgr, stored); err != nil {
		return err
	}
	if hasWaypoints(mesh) {
		policies := &WaypointPolicies{keeper: beside}
		if err := policies.setup(mgr, stored); err != nil {
			return err
		}
	}
	return ready.setup(mgr, yield)
}

func newCache(mgr ctrl.Manager, mesh *egress.Mesh) (cache.Cache, error) {
	namespaces := map[string]cache.Config{}
	for _, gw := range mesh.Gateways {
		namespaces[gw.Namespace()] = cache.Config{}
	}
	// Client rules and client routes lie in their clients' namespaces, and so do the policies of waypoints.
	everywhere := cache.ByObject{Namespaces: map[string]cache.Config{cache.AllNamespaces: {}}}
	byObject := map[client.Object]cache.ByObject{
		empty(istio("DestinationRule")): everywhere, empty(istio("VirtualService")): everywhere, empty(authorizationPolicy()): everywhere,
	}
	return cacheOf(mgr, cache.Options{
		DefaultNamespaces:    namespaces,
		DefaultLabelSelector: labels.SelectorFromSet(labels.Set{hop.ManagedByLabel: hop.Manager}),
		DefaultTransform:     slim, ByObject: byObject,
		// Nobody changes what he reads of them.
		DefaultUnsafeDisableDeepCopy: new(true),
	})
}

// kindsOf returns the kinds of exit sets, in the order of writing.
func kindsOf(c client.Client) (out []schema.GroupVersionKind, err error) {
	for _, object := range hop.ExitKinds() {
		kind, err := apiutil.GVKForObject(object, c.Scheme())
		if err != nil {
			return nil, err
		}
		out = append(out, kind)
	}
	return out, nil
}

func hostOf(object client.Object) []string {
	return []string{object.GetAnnotations()[hop.HostAnnotation]}
}

// follow enqueues the hosts of entries that are there, come, change and go.
func (e *Exits) follow(ctx context.Context, queue workqueue.TypedRateLimitingInterface[exitKey]) error {
	if err := whenSynced(ctx, e.synced); err != nil {
		return err
	}
	e.begin(queue)
	namespaces := map[string]bool{}
	for _, gw := range e.mesh.Gateways {
		namespaces[gw.Namespace()] = true
	}
	e.entries.OnChange(func(change registry.Change) {
		for namespace := range namespaces {
			for _, host := range change.Hosts {
				if egress.IsWildcard(host) {
					// Its callers call the hosts below by these exits, which name no service account of theirs.
					for _, below := range e.entries.Below(host) {
						queue.Add(exitKey{namespace, below})
					}
				}
			}
			for _, host := range slices.Concat(change.Hosts, change.Callers) {
				queue.Add(exitKey{namespace, host})
				for _, pair := range e.entries.PairsTo(host) {
					queue.Add(exitKey{namespace, pair})
				}
			}
		}
	})
	return nil
}

// keyOf leaves client rules and client routes to their own controllers.
func (e *Exits) keyOf(ctx context.Context, object client.Object) []exitKey {
	if len(e.mesh.GatewaysIn(object.GetNamespace())) == 0 {
		return nil
	}
	return keyOf(ctx, object)
}

// keyOf maps an object of ours to the exit set it belongs to; those whose entries went while nobody watched come up
// here at start. A Gateway object belongs to none.
func keyOf(_ context.Context, object client.Object) []exitKey {
	return []exitKey{{object.GetNamespace(), object.GetAnnotations()[hop.HostAnnotation]}}
}

// Reconcile implements reconcile.TypedReconciler.
func (e *Exits) Reconcile(ctx context.Context, key exitKey) (reconcile.Result, error) {
	if err := e.gateways(ctx, key.Namespace, key.Host == ""); err != nil {
		return reconcile.Result{}, err
	}
	if key.Host == "" {
		return reconcile.Result{}, nil
	}
	// Read once: what lingers, and what is told, is of the exit that is written.
	exit := e.entries.Exit(e.entries.Reached(key.Host), key.Namespace)
	if exit.Kept() {
		if stands, err := e.stays(ctx, key); err != nil || !stands {
			// What is observed makes no exit.
			return reconcile.Result{}, err
		}
	}
	set, foreign := e.entries.ExitSetOf(exit, key.Namespace, key.Host)
	lingers, err := e.write(ctx, key, exit, set)
	err = errors.Join(foreign, err)
	if egress.IsReserved(key.Host) {
		return reconcile.Result{}, err
	}
	if apierrors.IsConflict(err) {
		// The cache lags behind a write of ours, which is nothing to tell an author of.
		return reconcile.Result{RequeueAfter: again}, nil
	}
	switch e.standing.set(key, exitState{exit, err}) {
	case everybody:
		e.tell(e.sealedIn(key))
	case losers:
		e.tell(e.standing.losersOf(key))
	}
	e.tell(e.standing.waitingFor(key))
	e.ruled(e.standing.rulesWaitingFor(key))
	if foreign == nil && err == nil && lingers {
		return reconcile.Result{RequeueAfter: e.lookAgain(key)}, nil
	}
	if foreign != nil {
		// The rule's going brings the host back.
		return reconcile.Result{}, nil
	}
	return reconcile.Result{}, err
}

// write stores the exit set of an exit, and says whether passages linger that are not in it any more.
func (e *Exits) write(ctx context.Context, key exitKey, exit *egress.Exit, set []hop.Object) (lingers bool, err error) {
	stays, err := e.lingering(ctx, key, exit, set)
	lingers = len(stays) > 0
	if err == nil && exit.Kept() {
		var leads []objectName
		set, leads, err = e.asItLeads(ctx, key, set)
		stays = append(stays, leads...)
	}
	if err == nil {
		err = e.apply(ctx, key, set, stays)
	}
	return lingers, err
}

// apply writes the exit set, in its order, and then takes away what is no longer part of it, in the other: a route never
// leads to a host that the gateway does not know, and a host is never without its routes in between. What stays is left as it is stored.
func (e *Exits) apply(ctx context.Context, key exitKey, set []hop.Object, stays []objectName) error {
	wanted := map[objectName]bool{}
	for _, name := range stays {
		wanted[name] = true
	}
	for _, object := range set {
		if err := e.objects.ensure(ctx, object); err != nil {
			return err
		}
		kind, err := apiutil.GVKForObject(object, e.objects.writer.Scheme())
		if err != nil {
			return err
		}
		wanted[objectName{kind.GroupKind(), client.ObjectKeyFromObject(object)}] = true
	}
	return e.objects.keepOnly(ctx, e.mesh, key, wanted, e.kinds...)
}

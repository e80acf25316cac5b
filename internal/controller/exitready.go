package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
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

// Reasons of registry.ConditionExitReady, beside those of findings.
const (
	reasonConfigured = registry.ReasonConfigured
	reasonConflict   = "HostConflict"
	reasonFailed     = "ExitFailed"
	reasonNotCarried = "NotCarried"
	reasonNotSealed  = "NotSealed"
)

// again is when to try once more with what the cache will know by then.
const again = 200 * time.Millisecond

// ExitReady writes registry.ConditionExitReady. Only the leader runs it.
type ExitReady struct {
	waker[types.NamespacedName]
	synced func() bool
	// began is when it did.
	began    time.Time
	mesh     *egress.Mesh
	entries  Entries
	standing *standing
	// routes has the client routes that stand.
	routes   *standing
	writer   client.StatusClient
	recorder events.EventRecorder
	moves    *moves
	states   *exitStates
}

func (e *ExitReady) setup(mgr ctrl.Manager, yield *Yield) error {
	c, err := controller.NewTyped("exitready", mgr, working("exitready", e, yield, namespaceOf))
	if err != nil {
		return err
	}
	return c.Watch(source.TypedFunc[types.NamespacedName](e.follow))
}

// follow enqueues entries that are there, come and change: once it is known of which namespaces they are.
func (e *ExitReady) follow(ctx context.Context, queue workqueue.TypedRateLimitingInterface[types.NamespacedName]) error {
	if err := whenSynced(ctx, e.synced); err != nil {
		return err
	}
	e.began = time.Now()
	e.begin(queue)
	e.entries.OnChange(func(change registry.Change) { e.wake(change.Entries) })
	return nil
}

// Reconcile implements reconcile.TypedReconciler.
func (e *ExitReady) Reconcile(ctx context.Context, name types.NamespacedName) (reconcile.Result, error) {
	stored := e.entries.Stored(name)
	if stored == nil || stored.Entry == nil {
		e.forget(name)
		return e.retract(ctx, name)
	}
	if next := stored.Entry.Moving; stored.Entry.Gateway == "" && next != (egress.Leg{}) {
		return e.ahead(ctx, name, stored)
	}
	if stored.Entry.Gateway == "" {
		e.forget(name)
		return e.straight(ctx, stored)
	}
	gw, _ := e.mesh.GatewayByName(stored.Entry.Gateway)
	want, known := e.condition(gw, name, stored.Entry)
	e.states.set(name, stateOf(want, known))
	wait := e.hasTime(stored, want)
	if known && wait == 0 {
		if result, err := e.write(ctx, stored, want); err != nil || result.RequeueAfter > 0 {
			return result, err
		}
	}
	result, err := e.moves.move(ctx, name, stored.Entry)
	if known && result.RequeueAfter == 0 {
		result.RequeueAfter = wait
	}
	return result, err
}

// ahead tells of an entry that is not sealed yet whether its exit stands for the time when it is.
func (e *ExitReady) ahead(ctx context.Context, name types.NamespacedName, stored *registry.Stored) (reconcile.Result, error) {
	sealed := *stored.Entry
	sealed.Gateway, sealed.Transport, sealed.Moving = sealed.Moving.Gateway, sealed.Moving.Transport, egress.Leg{}
	gw, _ := e.mesh.GatewayByName(sealed.Gateway)
	e.states.forget(name)
	want, known := e.condition(gw, name, &sealed)
	if !known {
		return reconcile.Result{}, nil
	}
	if want.Status == "True" {
		want.Reason, want.Message = registry.ReasonAhead, fmt.Sprintf("egress gateway %q has the exit of every host; the entry is not sealed, and its calls leave directly", gw.Name)
	}
	return e.write(ctx, stored, want)
}

// condition is what is to be said of an entry. It is not known before every exit set has been looked at; the change
// that brings the last one brings the entry back.
func (e *ExitReady) condition(gw egress.Gateway, name types.NamespacedName, entry *egress.Entry) (out condition, known bool) {
	known = true
	for _, host := range entry.Hosts {
		// Each is looked at, so that what it waits for brings the entry back.
		of, looked := e.ofHost(gw, name, entry, host)
		if out.Type == "" {
			out, known = of, known && looked
		}
	}
	if why, suspended := e.entries.Suspended(name); suspended {
		// Whatever else there is to say: a leader that starts goes by it.
		return exitReady("False", registry.ReasonSuspended, why), true
	}
	if out.Type != "" {
		return out, true
	}
	if problems := e.entries.Problems(gw); len(problems) > 0 {
		return exitReady("False", "GatewayNotReady", problems[0].Message), known
	}
	if entry.Waypoint.Name != "" {
		failed, stands := e.standing.awaitRule(policyKey(name), name, hop.WaypointPolicySpec(e.mesh, e.entries, entry), false)
		known = known && stands
		if failed != "" {
			return exitReady("False", reasonFailed, fmt.Sprintf("AuthorizationPolicy %s/%s, by which waypoint %s knows who may call, cannot be written: %s",
				entry.Namespace, hop.WaypointPolicyName(entry.Name), entry.Waypoint, failed)), true
		}
		if e.entries.Service(e.mesh.WaypointService(entry.Waypoint)) == nil {
			return exitReady("False", "WaypointNotReady", fmt.Sprintf("waypoint %s has no Service: calls of pods in ambient mode reach the egress gateway without it, and nobody checks who calls", entry.Waypoint)), known
		}
	}
	return exitReady("True", reasonConfigured, fmt.Sprintf("egress gateway %q has the exit of every host%s", gw.Name, e.leftOut(gw, entry))), known
}

// ofHost is what is wrong with one host of an entry, the zero value for nothing, and whether that is known yet.
func (e *ExitReady) ofHost(gw egress.Gateway, name types.NamespacedName, entry *egress.Entry, host string) (out condition, known bool) {
	key := exitKey{gw.Namespace(), host}
	definition := entry.Definition.Under(e.entries.Rule(entry.Namespace, host))
	against := e.entries.Exit(host, key.Namespace).Against(definition)
	e.standing.lose(key, name, against.Owner != nil)
	state, stands, ok := e.standing.await(key, name, func(state exitState) bool {
		return state.err == nil && state.exit.Covers(definition) && state.exit.Serves(entry.Leg()) && state.exit.Admits(entry, definition)
	})
	failed, ruled := e.ruled(name, entry, host)
	unled, led := e.led(name, entry, host)
	service := e.mesh.ServiceOf(host, e.entries)
	switch {
	case service != "" && e.mesh.InMesh(host, e.entries): // that it has a pod of the name nobody knows
		out = exitReady("False", "ServiceHost", fmt.Sprintf("host %q is %s of the mesh by now, which clients reach instead", host, egress.Naming(host, service)))
	case against.Owner != nil:
		out = exitReady("False", reasonConflict, fmt.Sprintf("host %q is defined otherwise by ServiceEntry %s/%s, which is older: %s",
			host, against.Owner.Namespace, against.Owner.Name, against.Reason))
	case stands && state.err != nil:
		out = exitReady("False", reasonFailed, state.err.Error())
	case failed != "":
		out = exitReady("False", reasonFailed, fmt.Sprintf("the DestinationRule %s/%s by which clients call the gateway cannot be written: %s",
			entry.Namespace, hop.ClientRuleName(host), failed))
	case unled != "":
		out = exitReady("False", reasonFailed, fmt.Sprintf("the routes of host %q to the gateway do not stand: %s", host, unled))
	default:
		return out, ok && ruled && led
	}
	return out, true
}

// ruled says whether the client rule of an entry for a host stands, where there is to be one, and is gone where it passes.
func (e *ExitReady) ruled(name types.NamespacedName, entry *egress.Entry, host string) (failed string, stands bool) {
	passing := hop.Passing(e.entries, entry.Namespace, host)
	if !passing && (entry.Transport != egress.MutualTLS || e.entries.Named(name.Namespace, name.Name).IsStraight()) {
		return "", true
	}
	spec, _ := hop.ClientRuleSpec(e.mesh, e.entries, entry.Namespace, host)
	return e.standing.awaitRule(exitKey{entry.Namespace, host}, name, spec, passing)
}

// forget takes an entry that is gone, or leads to no gateway, from whoever waits.
func (e *ExitReady) forget(name types.NamespacedName) {
	e.standing.forget(name)
	e.routes.forget(name)
	e.states.forget(name)
	e.moves.forget(name)
}

func exitReady(status, reason, message string) condition {
	return condition{Type: registry.ConditionExitReady, Status: status, Reason: reason, Message: message}
}

// write puts the condition among the others of the stored entry, unless it is there.
func (e *ExitReady) write(ctx context.Context, stored *registry.Stored, want condition) (reconcile.Result, error) {
	conditions, changed := want.among(stored.Conditions(), stored.Generation, time.Now())
	if !changed {
		return reconcile.Result{}, nil
	}
	result, err := e.patch(ctx, stored, conditions)
	if err == nil && result.RequeueAfter == 0 && (want.Reason == reasonConflict || want.Reason == registry.ReasonSuspended) {
		name := types.NamespacedName{Namespace: stored.Namespace, Name: stored.Name}
		e.recorder.Eventf(aboutEntry(name, stored.UID), nil, corev1.EventTypeWarning, want.Reason, "ConfigureExit", "%s", want.Message)
	}
	return result, client.IgnoreNotFound(err)
}

// aboutEntry is what an Event of a ServiceEntry is about.
func aboutEntry(name types.NamespacedName, uid types.UID) *corev1.ObjectReference {
	return &corev1.ObjectReference{APIVersion: "networking.istio.io/v1", Kind: "ServiceEntry", Namespace: name.Namespace, Name: name.Name, UID: uid}
}

// patch puts conditions in the place of those of a stored entry, everybody's, unless it was written since.
func (e *ExitReady) patch(ctx context.Context, stored *registry.Stored, conditions []any) (reconcile.Result, error) {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": stored.UID, "resourceVersion": stored.ResourceVersion},
		"status":   map[string]any{"conditions": conditions},
	})
	if err != nil {
		return reconcile.Result{}, err
	}
	object := empty(istio("ServiceEntry"))
	object.SetNamespace(stored.Namespace)
	object.SetName(stored.Name)
	err = e.writer.Status().Patch(ctx, object, client.RawPatch(types.MergePatchType, patch))
	if apierrors.IsConflict(err) {
		return reconcile.Result{RequeueAfter: again}, nil
	}
	return reconcile.Result{}, err
}

package controller

import (
	"context"
	"hash/fnv"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/egress-governor/egress-governor/internal/registry"
)

// unhurried is the time that a leader which starts takes to write what is to be told of many entries at once, and for which nobody waits.
const unhurried = 10 * time.Minute

// straight tells of an entry of a governed namespace that leads to no egress gateway.
func (e *ExitReady) straight(ctx context.Context, stored *registry.Stored) (reconcile.Result, error) {
	leaves := e.mesh.Seal && stored.Entry.External && e.entries.GatewayOf(stored.Namespace) != ""
	switch {
	case leaves && !stored.Sealed:
		want := exitReady("False", reasonNotSealed, "the entry is not sealed, and its calls leave directly: write it once, by kubectl apply --server-side, or seal it by egressctl adopt")
		if wait := e.hasTime(stored, want); wait > 0 {
			return reconcile.Result{RequeueAfter: wait}, nil
		}
		return e.write(ctx, stored, want)
	case stored.Told() == nil:
		return reconcile.Result{}, nil
	case stored.Entry.External:
		return e.write(ctx, stored, exitReady("False", reasonNotCarried, "no egress gateway of the configuration carries this entry"))
	}
	return e.takeBack(ctx, stored)
}

// retract takes back what was told of an entry for which nobody has an exit stand any more.
func (e *ExitReady) retract(ctx context.Context, name types.NamespacedName) (reconcile.Result, error) {
	stored := e.entries.Released(name)
	if stored == nil || stored.Told() == nil {
		return reconcile.Result{}, nil
	}
	return e.takeBack(ctx, stored)
}

func (e *ExitReady) takeBack(ctx context.Context, stored *registry.Stored) (reconcile.Result, error) {
	result, err := e.patch(ctx, stored, without(stored.Conditions(), registry.ConditionExitReady))
	return result, client.IgnoreNotFound(err)
}

// hasTime is how long what is to be told of an entry has time: where it says what was said before, but for the generation, as after an upgrade,
// and where nobody has ever told of an entry that is not sealed, as after an install. Each entry has a time of its own.
func (e *ExitReady) hasTime(stored *registry.Stored, want condition) time.Duration {
	switch last := stored.Told(); {
	case last == nil && want.Reason != reasonNotSealed:
		return 0
	case last != nil && (last.Generation != 0 || last.Status != want.Status || last.Reason != want.Reason || last.Message != want.Message):
		return 0
	}
	of := fnv.New64a()
	_, _ = of.Write([]byte(stored.UID)) // never fails
	due := e.began.Add(time.Duration(of.Sum64() % uint64(unhurried)))
	return max(0, time.Until(due))
}

package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// loader puts every stored policy in force before the webhook reports ready.
type loader struct{ *Policies }

// NeedLeaderElection implements manager.LeaderElectionRunnable: every replica evaluates.
func (loader) NeedLeaderElection() bool { return false }

// Start implements manager.Runnable.
func (l loader) Start(ctx context.Context) error {
	if !l.cache.GetCache().WaitForCacheSync(ctx) {
		return nil
	}
	if l.bundles != nil {
		l.bundles.Wait(ctx)
	}
	var stored v1alpha1.EgressPolicyList
	if err := l.client.List(ctx, &stored); err != nil {
		return fmt.Errorf("list EgressPolicies: %w", err)
	}
	for _, policy := range l.baseline {
		if err := l.engine.Set(policy); err != nil {
			return fmt.Errorf("baseline: %w", err)
		}
	}
	workqueue.ParallelizeUntil(ctx, runtime.GOMAXPROCS(0), len(stored.Items), func(i int) {
		l.load(ctx, stored.Items[i].Name)
	})
	if ctx.Err() != nil {
		return nil // not all are in force
	}
	l.loaded.Store(true)
	if l.changed != nil {
		l.changed()
	}
	return nil
}

// load puts a policy in force as it is stored by now, and has the controller look at it once more: that one is told of no policy that goes
// before it begins.
func (l loader) load(ctx context.Context, name string) {
	_, wrong, err := l.follow(ctx, name)
	if err := errors.Join(wrong, err); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Stored policy is not in force", "policy", name)
	}
	l.wake([]ctrl.Request{{NamespacedName: types.NamespacedName{Name: name}}})
}

// start has the controller look at what the loader had put in force when it began, and at the policies of bundles that change.
func (p *Policies) start(ctx context.Context, queue workqueue.TypedRateLimitingInterface[ctrl.Request]) error {
	p.begin(queue)
	p.mu.Lock()
	loaded := slices.Collect(maps.Keys(p.inForce))
	p.mu.Unlock()
	for _, name := range loaded {
		queue.Add(ctrl.Request{NamespacedName: types.NamespacedName{Name: name}})
	}
	return p.followBundles(ctx, queue)
}

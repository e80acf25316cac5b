package main

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// grown is the namespace of the entries that only are there.
const grown = "bench-grown"

// grows is what a number of entries of distinct hosts costs.
type grows struct {
	Entries, Policies int
	// Stand is how long it took from the first apply of those that came last until all had their exits, in seconds, of how many.
	Stand float64
	New   int
	// Resident is the webhook's memory in MiB half a minute later, Anonymous without the pages of its file; Ready is how long a new
	// replica takes to be ready, in seconds, and Restarted its memory then.
	Resident, Anonymous, Ready, Restarted float64
	// Requests are what the webhook asked of the API server for each new entry.
	Requests string
	// DryRun are the rows of one client then.
	DryRun []row
}

// grow stores entries and policies, which select other namespaces, up to a step, and measures again. So many are stored before.
func (r *run) grow(ctx context.Context, next step, stored int) (of grows, err error) {
	of = grows{Entries: next.entries, New: next.entries - stored}
	if of.Policies, err = r.policiesUpTo(ctx, next.policies); err != nil {
		return of, err
	}
	before, err := r.requests(ctx)
	if err != nil {
		return of, err
	}
	if of.Stand, err = r.growBy(ctx, stored, next.entries); err != nil {
		return of, err
	}
	after, err := r.requests(ctx)
	if err != nil {
		return of, err
	}
	of.Requests = perEntry(before, after, of.New)
	rounds, err := r.dryRuns(ctx, named("none", "pair", "cel-10", "ours-10", "ours-baseline-10"), 1, r.rounds, r.each)
	if err != nil {
		return of, err
	}
	of.DryRun = rows(rounds)
	select {
	case <-ctx.Done():
		return of, ctx.Err()
	case <-time.After(30 * time.Second):
	}
	of.Resident, of.Anonymous, _ = r.webhook.memory()
	return of, r.restart(ctx, &of)
}

// growBy stores the entries that are missing, and returns after how many seconds all stand.
func (r *run) growBy(ctx context.Context, have, want int) (float64, error) {
	follower, err := r.follow(ctx, grown)
	if err != nil {
		return 0, err
	}
	defer follower.stop()
	if err := follower.reach(ctx, have); err != nil {
		return 0, err
	}
	began := time.Now()
	if _, err := clients(ctx, 16, want-have, func(ctx context.Context, i int) error {
		name := fmt.Sprintf("grown-%d", have+i)
		return r.post(ctx, entries(grown), entry(grown, name, name+".example.com"))
	}); err != nil {
		return 0, err
	}
	err = follower.reach(ctx, want)
	return time.Since(began).Seconds(), err
}

// restart replaces the webhook.
func (r *run) restart(ctx context.Context, into *grows) error {
	if r.pprof {
		return nil // two cannot be profiled at one address
	}
	if err := r.plane.RollWebhook(ctx); err != nil {
		return err
	}
	r.webhook = child("webhook")
	into.Ready = r.plane.ReadyAfter.Seconds()
	into.Restarted, _, _ = r.webhook.memory()
	return nil
}

// policiesUpTo has so many policies in force altogether, and returns how many there are.
func (r *run) policiesUpTo(ctx context.Context, count int) (int, error) {
	list := &v1alpha1.EgressPolicyList{}
	if err := r.plane.Client.List(ctx, list); err != nil {
		return 0, err
	}
	have := len(list.Items)
	for i := have; i < count; i++ {
		name := fmt.Sprintf("other-%d", i)
		if err := r.plane.Client.Create(ctx, allowing(name, v1alpha1.NamespacePattern(name))); err != nil {
			return have, err
		}
	}
	return max(have, count), nil
}

// reloads is what dry runs of one client take while policies change.
type reloads struct {
	Count            int
	P50, P99         float64 // in milliseconds, without
	P50Then, P99Then float64 // while they change
	Ratio            float64 // of the p99
}

// reloading measures dry runs with and without a policy that changes all the time, in turns.
func (r *run) reloading(ctx context.Context, turns, each int) (reloads, error) {
	of := named("ours-baseline-10")
	var quiet, busy sample
	out := reloads{}
	for range turns {
		if err := r.turn(&quiet, func() ([]time.Duration, error) { return r.dryRun(ctx, of[0], 1, each) }); err != nil {
			return out, err
		}
		changing, stop := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- r.change(changing, &out.Count) }()
		err := r.turn(&busy, func() ([]time.Duration, error) { return r.dryRun(ctx, of[0], 1, each) })
		stop()
		if problem := <-done; err == nil {
			err = problem
		}
		if err != nil {
			return out, err
		}
	}
	without, with := rowOf(quiet.latencies), rowOf(busy.latencies)
	out.P50, out.P99, out.P50Then, out.P99Then = without.P50, without.P99, with.P50, with.P99
	out.Ratio = with.P99 / without.P99
	return out, nil
}

// change changes a policy of that variant again and again.
func (r *run) change(ctx context.Context, count *int) error {
	policy := &v1alpha1.EgressPolicy{}
	key := client.ObjectKey{Name: "ours-baseline-10-0"}
	for ctx.Err() == nil {
		if err := r.plane.Client.Get(ctx, key, policy); err != nil {
			break
		}
		*count++
		policy.Spec.Docs = fmt.Sprintf("https://example.com/%d", *count)
		if err := r.plane.Client.Update(ctx, policy); err != nil && ctx.Err() == nil && client.IgnoreNotFound(err) == nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

package controller

import (
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// Tally adds what a replica counted of requests to the status of EgressPolicies: to each at most once in a while, whatever
// tenants send. Nothing is counted twice: what may or may not have been written is given up.
type Tally struct {
	// Client reads from a cache.
	Client client.Client
	// Now is the clock.
	Now func() time.Time
	// Yield has it give way to requests, as long as it does not end.
	Yield *Yield

	mu sync.Mutex
	// counted is what is to be added, by the name of the policy; written when that was done last.
	counted map[string]counted
	written map[string]time.Time
	// failures are those that the status of a policy had when it was written last.
	failures map[string]failures
}

// failures are the requests that a policy failed for in all, whoever counted them, and since when they are so many.
type failures struct {
	total int64
	since time.Time
}

// counted are requests, and why one of them could not be judged, empty where all could.
type counted struct {
	v1alpha1.Requests
	failure string
}

const (
	// addEvery is how often the status of one policy is written at most, lookToAdd how often that is looked for.
	addEvery, lookToAdd = time.Minute, time.Second
	// leaving is how long a replica that ends takes to add what is left.
	leaving = 5 * time.Second
	// quietFor is how long no replica counts a failure before a policy that failed is said to fail no more: each counts requests of its own, and
	// one that has none that fail does not know of the others'.
	quietFor = 5 * time.Minute
)

// Count counts a request about which a policy was asked, with why it could not be evaluated, empty where it could.
func (t *Tally) Count(policy string, of v1alpha1.Requests, failure string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counted == nil {
		t.counted = map[string]counted{}
	}
	sum := t.counted[policy]
	sum.Add(of)
	if failure != "" {
		sum.failure = failure
	}
	t.counted[policy] = sum
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: every replica counts.
func (*Tally) NeedLeaderElection() bool { return false }

// Start implements manager.Runnable. It returns when the context ends and what was counted is added.
func (t *Tally) Start(ctx context.Context) error {
	wait.UntilWithContext(ctx, func(ctx context.Context) { t.add(ctx, addEvery) }, lookToAdd)
	t.Yield = nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaving)
	defer cancel()
	t.add(ctx, 0)
	return nil
}

// add writes the status of the policies that were not written for so long.
func (t *Tally) add(ctx context.Context, after time.Duration) {
	for name, counted := range t.due(after) {
		err := t.write(ctx, name, counted)
		switch {
		case apierrors.IsConflict(err):
			// Somebody else wrote it meanwhile, so this was not written.
			t.Count(name, counted.Requests, counted.failure)
		case client.IgnoreNotFound(err) != nil:
			ctrl.LoggerFrom(ctx).Error(err, "Counted requests are given up", "policy", name, "judged", counted.Judged)
		}
	}
}

// due takes what is to be added now.
func (t *Tally) due(after time.Duration) map[string]counted {
	t.mu.Lock()
	defer t.mu.Unlock()
	out, now := map[string]counted{}, t.Now()
	last := t.written
	t.written = map[string]time.Time{}
	for name, at := range last {
		if now.Sub(at) < after {
			t.written[name] = at
		}
	}
	for name, of := range t.counted {
		if _, lately := t.written[name]; lately {
			continue
		}
		out[name], t.written[name] = of, now
		delete(t.counted, name)
	}
	return out
}

// inCondition is how much of an error, which may have what a tenant wrote in it, stands in a condition.
const inCondition = 500

// quiet says whether no failure of a policy, as it is stored, was added for a while. What is said of an earlier version of it is of no account.
func (t *Tally) quiet(policy *v1alpha1.EgressPolicy) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	last, known := t.failures[policy.Name]
	if total := policy.Status.Requests.Failed; !known || last.total != total {
		last = failures{total, t.Now()}
		if t.failures == nil {
			t.failures = map[string]failures{}
		}
		t.failures[policy.Name] = last
	}
	said := meta.FindStatusCondition(policy.Status.Conditions, v1alpha1.ConditionFailing)
	return said != nil && said.ObservedGeneration != policy.Generation || t.Now().Sub(last.since) >= quietFor
}

func (t *Tally) write(ctx context.Context, name string, counted counted) error {
	if t.Yield != nil {
		t.Yield.begin()
		defer t.Yield.end()
	}
	policy := &v1alpha1.EgressPolicy{}
	if err := t.Client.Get(ctx, types.NamespacedName{Name: name}, policy); err != nil {
		return err
	}
	before := policy.DeepCopy()
	if policy.Status.Requests == nil {
		policy.Status.Requests = &v1alpha1.Requests{}
	}
	quiet := t.quiet(policy)
	policy.Status.Requests.Add(counted.Requests)
	switch {
	case counted.Failed > 0:
		policy.Fails(v1alpha1.ReasonFailsForRequests, fmt.Sprintf("%d of %d requests could not be judged, the last for: %s", counted.Failed, counted.Judged, v1alpha1.Bounded(counted.failure, inCondition)))
	case counted.Judged > 0 && quiet:
		policy.Answers(v1alpha1.ReasonFailsForRequests)
	}
	return t.Client.Status().Patch(ctx, policy, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
}

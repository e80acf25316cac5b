// Package audit judges again what is stored, by the decision that admission goes by: policies, namespaces and the time
// change after an object was let in, and some were stored before anybody was asked.
package audit

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/flowcontrol"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/registry"
	"github.com/egress-governor/egress-governor/internal/review"
)

// Reviewer decides on objects.
type Reviewer interface {
	Review(ctx context.Context, req review.Request) (*review.Outcome, error)
}

// Entries are the stored ServiceEntries.
type Entries interface {
	// Suspend sets which of them open nothing, and why; Suspensions returns those.
	Suspend(next map[types.NamespacedName]string)
	Suspensions() map[types.NamespacedName]string
	// Sealed returns how many have exits.
	Sealed() int
	OnChange(listener func(registry.Change))
}

// Policies says of the policies in force whose answers change with the time, which kinds they evaluate, and what tells the
// parameters of one from others.
type Policies interface {
	Timed() []string
	Kinds() []v1alpha1.Kind
	ParametersOf(name string) string
}

// Options are what the audit goes by.
type Options struct {
	Mesh     *egress.Mesh
	Reviewer Reviewer
	Entries  Entries
	Policies Policies
	// Selects says whether a match selects some governed namespace, and true where none is governed.
	Selects func(of v1alpha1.Match) bool
	// Live reads objects from the API server, Cached EgressPolicies and Namespaces from memory.
	Live, Cached client.Reader
	// Status writes that of EgressPolicies, Writer reports, of the kinds that Kinds knows; neither where Writer is nil.
	Status   client.StatusClient
	Writer   client.Client
	Kinds    meta.RESTMapper
	Recorder events.EventRecorder
	Metrics  prometheus.Registerer
	// Ready says whether entries and policies are all known.
	Ready func() bool
	// Interval is how often everything is judged though nothing changed, PerSecond how many objects at most.
	Interval  time.Duration
	PerSecond int
	// MaxShare is the share of all exits that is suspended at once.
	MaxShare float64
	// Stand returns a cluster that stands in for this one at a time; nil where no namespace is ever observed.
	Stand func(at time.Time) (Stand, error)
	// Now is the clock.
	Now func() time.Time
}

// Auditor judges what is stored: at start, when policies or governed namespaces change, and at an interval. Only the leader
// runs it.
type Auditor struct {
	Options
	limiter flowcontrol.RateLimiter
	metrics *gauges
	reports reports
	// told has the violations that are there.
	told map[notice]telling
	// policies are those that the last pass was of.
	policies map[string]policyState
	held     map[string]int
	// late says that what was found is still to be told.
	late bool
	// taken is when entries were suspended lately that nobody had confirmed.
	taken map[types.NamespacedName]time.Time
	// left is a pass that did not end, patience how a page is asked for again.
	left     *walk
	patience wait.Backoff
	wake     chan struct{}

	mu      sync.Mutex
	found   map[objectKey]judged
	dirty   bool
	touched map[objectKey]bool
	// stale says that something was written since what is observed was looked at; ended is when everything was
	// that may be read, took how long.
	stale bool
	ended time.Time
	took  time.Duration
	// meanwhile is what was written while a pass goes on.
	meanwhile meanwhile
}

// New returns an Auditor.
func New(options Options) *Auditor {
	return &Auditor{
		Options: options, limiter: flowcontrol.NewTokenBucketRateLimiter(float32(options.PerSecond), max(1, options.PerSecond/10)),
		metrics: newGauges(options.Now), told: map[notice]telling{}, wake: make(chan struct{}, 1),
		found: map[objectKey]judged{}, touched: map[objectKey]bool{}, taken: map[types.NamespacedName]time.Time{},
		patience: wait.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Jitter: 0.1, Steps: 6},
	}
}

const (
	// settle is how long changes that come together are waited for.
	settle = 500 * time.Millisecond
	// retry is when a pass that did not end is gone on with, and what was too much at once is gone on with.
	retry = 10 * time.Second
)

// Start implements manager.Runnable. It returns when the context ends.
func (a *Auditor) Start(ctx context.Context) error {
	if err := a.metrics.register(a.Metrics); err != nil {
		return err
	}
	err := wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(context.Context) (bool, error) { return a.Ready(), nil })
	if err != nil {
		return nil //nolint:nilerr // the context ended
	}
	// All that there is comes first, and is what the first pass is about.
	var known atomic.Bool
	a.Entries.OnChange(func(change registry.Change) {
		if known.Swap(true) && len(change.Namespaces) > 0 {
			a.Changed()
		}
	})
	a.run(ctx)
	return nil
}

func (a *Auditor) run(ctx context.Context) {
	whole, minute, again := time.NewTimer(0), time.NewTimer(a.toMinute()), time.NewTimer(0)
	again.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-whole.C:
			err = a.pass(ctx, kinds)
			whole.Reset(a.Interval)
		case <-again.C:
			err = a.changes(ctx)
		case <-a.wake:
			sleep(ctx, settle)
			err = a.changes(ctx)
		case <-minute.C:
			switch {
			case a.outdated(ctx):
				err = a.pass(ctx, kinds)
			case a.clocked(ctx):
				err = a.hour(ctx)
			}
			minute.Reset(a.toMinute())
		}
		if err != nil && ctx.Err() == nil {
			ctrl.LoggerFrom(ctx).Error(err, "Audit is incomplete", "left", a.left.names())
		}
		if err != nil || a.late || a.untold() {
			again.Reset(retry)
		}
	}
}

// changes judges what changed since: everything, or some objects and what is left of a pass that did not end.
func (a *Auditor) changes(ctx context.Context) error {
	dirty, touched := a.take()
	switch {
	case dirty:
		return a.pass(ctx, kinds)
	case len(touched) > 0 && a.left != nil:
		return errors.Join(a.again(ctx, touched), a.walk(ctx, a.left))
	case len(touched) > 0:
		return a.again(ctx, touched)
	case a.left != nil:
		return a.walk(ctx, a.left)
	}
	a.remind(ctx)
	return nil
}

// remind tells what could not be told before.
func (a *Auditor) remind(ctx context.Context) {
	if a.late {
		a.publish(ctx)
		return
	}
	a.notify()
}

// Changed has everything judged again: what it is judged by is other than before.
func (a *Auditor) Changed() {
	a.dirt(true)
	a.ring()
}

func (a *Auditor) dirt(dirty bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.dirty = dirty
}

func (a *Auditor) ring() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// toMinute is how long it takes to the next full minute, and a little longer.
func (a *Auditor) toMinute() time.Duration {
	now := a.Now()
	return now.Truncate(time.Minute).Add(time.Minute + 100*time.Millisecond).Sub(now)
}

func sleep(ctx context.Context, of time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(of):
	}
}

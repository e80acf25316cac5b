package audit

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/clocktest"
	"github.com/egress-governor/egress-governor/internal/review"
)

// expiring denies as expiring-hosts does, of which a bubble has no engine: its goroutines outlive an evaluation.
type expiring struct{ until time.Time }

func (e expiring) Review(_ context.Context, req review.Request) (*review.Outcome, error) {
	out := &review.Outcome{}
	if !req.Time.Before(e.until) {
		out.Findings = []review.Finding{{Policy: "expires", Effect: review.Denied}}
	}
	return out, nil
}

// TestTheAuditGoesOnWhenTheClockJumps, a day forward or back: it comes when its interval is over, is as old as what has passed since, and
// whatever has expired by the clock has no exit within two minutes.
func TestTheAuditGoesOnWhenTheClockJumps(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		clock := &clocktest.Clock{}
		s.Now, s.metrics, s.Metrics = clock.Now, newGauges(clock.Now), prometheus.NewRegistry()
		until := time.Now().Add(day / 2)
		judge := &counting{of: expiring{until}}
		s.Reviewer = judge
		s.store("app", "a", "a.test")
		expires := &v1alpha1.EgressPolicy{}
		expires.Name = "expires"
		host := `{host: a.test, until: "` + until.UTC().Format(time.RFC3339) + `"}`
		spec := "{policy: expiring-hosts, enforcement: Deny, existing: Suspend, parameters: {hosts: [" + host + "]}}"
		require.NoError(t, yaml.Unmarshal([]byte(spec), &expires.Spec))
		require.NoError(t, s.engine.Set(expires))
		require.NoError(t, s.cluster.Create(t.Context(), expires))

		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Start(ctx) }()
		began := time.Now()
		closed := types.NamespacedName{Namespace: "app", Name: "a"}
		for _, of := range []struct {
			by      time.Duration
			expired bool
		}{{0, false}, {day, true}, {-day, false}, {-day, false}, {2 * day, true}} {
			clock.Jump(of.by)
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			if of.expired {
				assert.Contains(t, s.registry.Suspensions(), closed, "after a jump by %s", of.by)
			} else {
				assert.Empty(t, s.registry.Suspensions(), "after a jump by %s", of.by)
			}
			assert.InDelta(t, time.Since(began).Seconds(), testutil.ToFloat64(s.metrics.age), 1, "after a jump by %s", of.by)

			before := judge.times.Load()
			time.Sleep(s.Interval - time.Since(began)%s.Interval)
			synctest.Wait()
			began = time.Now()
			assert.Greater(t, judge.times.Load(), before, "the interval is over")
			assert.InDelta(t, 0, testutil.ToFloat64(s.metrics.age), 1, "after a jump by %s", of.by)
		}
		cancel()
		require.NoError(t, <-ended)
	})
}

package audit

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/review"
)

// tallied counts how often each object is judged, and does something before.
type tallied struct {
	of     Reviewer
	times  map[string]int
	before func(name string)
}

func (j *tallied) Review(ctx context.Context, req review.Request) (*review.Outcome, error) {
	j.times[req.Name]++
	if j.before != nil {
		j.before(req.Name)
	}
	return j.of.Review(ctx, req)
}

// many is a stage of three pages of entries that violate a policy.
func many(t *testing.T) (*stage, *tallied) {
	t.Helper()
	s := newStage(t)
	for i := range 250 {
		s.store("app", fmt.Sprintf("e%03d", i), fmt.Sprintf("h%d.test", i))
	}
	s.hosts("p", 1, v1alpha1.Report, "ok.test")
	judge := &tallied{of: s.Reviewer, times: map[string]int{}}
	s.Reviewer = judge
	return s, judge
}

func once(t *testing.T, judge *tallied, objects int) {
	t.Helper()
	assert.Len(t, judge.times, objects)
	for name, times := range judge.times {
		assert.Equal(t, 1, times, name)
	}
}

// unavailable is an API server that is asked too much.
var unavailable = apierrors.NewServiceUnavailable("overloaded")

// TestAPageThatFailsIsAskedForAgain, within the pass.
func TestAPageThatFailsIsAskedForAgain(t *testing.T) {
	t.Parallel()
	s, judge := many(t)
	s.live.fails = func(kind string, list int) error {
		if kind == "ServiceEntryList" && (list == 2 || list == 3) {
			return unavailable
		}
		return nil
	}
	s.audited()
	once(t, judge, 250)
	assert.Len(t, s.found, 250)
	assert.Equal(t, 5, s.live.pages["ServiceEntryList"])
}

// TestAPassGoesOnWhereItWas: what was judged is not judged again, other kinds are judged meanwhile, and nothing is told of a half.
func TestAPassGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	s, judge := many(t)
	away := true
	s.live.fails = func(kind string, list int) error {
		if away && kind == "ServiceEntryList" && list > 2 {
			return unavailable
		}
		return nil
	}
	require.ErrorContains(t, s.pass(t.Context(), kinds), "overloaded")
	once(t, judge, 200)
	assert.Equal(t, 1, s.live.pages["VirtualServiceList"])
	assert.Equal(t, []string{serviceEntry}, s.left.names())
	assert.Nil(t, s.policy("p").Status.Violations)
	require.Error(t, s.changes(t.Context()), "it is still away")
	away = false
	require.NoError(t, s.changes(t.Context()))
	once(t, judge, 250)
	assert.Nil(t, s.left)
	assert.EqualValues(t, 250, *s.policy("p").Status.Violations)
	assert.Equal(t, 1, s.live.pages["VirtualServiceList"])
}

// TestAChangeBeginsAPassAnew: what was judged was judged by what is no more.
func TestAChangeBeginsAPassAnew(t *testing.T) {
	t.Parallel()
	s, judge := many(t)
	s.live.broken = errors.New("connection refused")
	require.Error(t, s.pass(t.Context(), kinds))
	assert.Empty(t, s.live.pages["VirtualServiceList"], "nobody answers")
	s.live.broken = nil
	s.hosts("p", 2, v1alpha1.Report, "'*.test'")
	s.Changed()
	require.NoError(t, s.changes(t.Context()))
	once(t, judge, 250)
	assert.Empty(t, s.found)
	assert.Nil(t, s.left)
}

// TestAListThatExpiredIsReadPastWhatWasJudged, where the API server does not say where to go on; what is gone meanwhile is gone.
func TestAListThatExpiredIsReadPastWhatWasJudged(t *testing.T) {
	t.Parallel()
	s, judge := many(t)
	s.live.expire, s.live.forgotten = 3, true
	s.live.fails = func(kind string, list int) error {
		if kind == "ServiceEntryList" && list == 3 {
			s.delete(s.entry("e007"))
			s.mend("e008")
		}
		return nil
	}
	s.audited()
	assert.Equal(t, 2, judge.times["e008"], "it is another")
	delete(judge.times, "e008")
	once(t, judge, 249)
	assert.Len(t, s.found, 248)
	for _, gone := range []string{"e007", "e008"} {
		assert.Empty(t, s.found[objectKey{serviceEntry, "app", gone}].findings)
	}
}

// TestWhatIsWrittenWhileAPassGoesOnIsJudgedAsItIs: the pages are of the moment in which it began.
func TestWhatIsWrittenWhileAPassGoesOnIsJudgedAsItIs(t *testing.T) {
	t.Parallel()
	s, judge := many(t)
	judge.before = func(name string) {
		if name == "e150" && judge.times[name] == 1 {
			for _, mended := range []string{"e007", "e180"} {
				s.mend(mended)
				s.Touched(serviceEntry, "app", mended)
			}
		}
	}
	s.audited()
	require.NoError(t, s.changes(t.Context()))
	assert.Len(t, s.found, 248)
	assert.EqualValues(t, 248, *s.policy("p").Status.Violations)
	assert.Equal(t, 1, judge.times["e008"])
}

// TestTheHourIsNotForgotten: entries that were to be judged by the clock come first in what is left of a pass.
func TestTheHourIsNotForgotten(t *testing.T) {
	t.Parallel()
	s, judge := many(t)
	s.live.fails = func(kind string, list int) error {
		if kind == "VirtualServiceList" || kind == "ServiceEntryList" && list > 3 {
			return unavailable
		}
		return nil
	}
	require.Error(t, s.pass(t.Context(), kinds))
	assert.Equal(t, []string{"VirtualService"}, s.left.names())
	require.Error(t, s.hour(t.Context()))
	assert.Equal(t, []string{serviceEntry, "VirtualService"}, s.left.names())
	once(t, judge, 250)
	s.live.fails = nil
	require.NoError(t, s.changes(t.Context()))
	assert.Equal(t, 2, judge.times["e000"])
	assert.EqualValues(t, 250, *s.policy("p").Status.Violations)
}

// TestAnObjectThatCannotBeReadIsReadLater, and nothing else for it.
func TestAnObjectThatCannotBeReadIsReadLater(t *testing.T) {
	t.Parallel()
	s, judge := many(t)
	s.audited()
	s.live.broken = unavailable
	s.Touched(serviceEntry, "app", "e007")
	require.Error(t, s.changes(t.Context()))
	s.live.broken = nil
	require.NoError(t, s.changes(t.Context()))
	assert.Equal(t, 2, judge.times["e007"])
	assert.Equal(t, 1, judge.times["e008"])
}

// TestAKindThatMayNotBeReadKeepsNothingUntold: the rest is told, once, and the pass has not ended.
func TestAKindThatMayNotBeReadKeepsNothingUntold(t *testing.T) {
	t.Parallel()
	s, judge := many(t)
	denied := true
	s.live.fails = func(kind string, _ int) error {
		if denied && kind == "VirtualServiceList" {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "virtualservices"}, "", errors.New("a role was narrowed"))
		}
		return nil
	}
	require.ErrorContains(t, s.pass(t.Context(), kinds), "a role was narrowed")
	assert.EqualValues(t, 250, *s.policy("p").Status.Violations)
	assert.Equal(t, []string{"VirtualService"}, s.left.names())
	assert.InDelta(t, -1, testutil.ToFloat64(s.metrics.age), 0, "it has not ended")
	assert.Len(t, s.told(), atOnce)
	s.mend("e007")
	s.Touched(serviceEntry, "app", "e007")
	require.Error(t, s.changes(t.Context()))
	assert.EqualValues(t, 249, *s.policy("p").Status.Violations, "what changes is told")
	assert.NotEmpty(t, s.told(), "and what was too much at once")
	require.Error(t, s.changes(t.Context()))
	assert.Empty(t, s.told())
	denied = false
	require.NoError(t, s.changes(t.Context()))
	assert.Nil(t, s.left)
	assert.InDelta(t, 0, testutil.ToFloat64(s.metrics.age), 0)
	assert.Equal(t, 1, judge.times["e008"])
}

// TestWhatIsJudgedOnceMoreIsTold, though nothing but a kind that may not be read was left before.
func TestWhatIsJudgedOnceMoreIsTold(t *testing.T) {
	t.Parallel()
	s, _ := many(t)
	down := true
	s.live.fails = func(kind string, list int) error {
		if kind == "VirtualServiceList" {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "virtualservices"}, "", errors.New("a role was narrowed"))
		}
		if down && kind == "ServiceEntryList" && list > 3 {
			return unavailable
		}
		return nil
	}
	require.Error(t, s.pass(t.Context(), kinds))
	assert.EqualValues(t, 250, *s.policy("p").Status.Violations)
	require.Error(t, s.hour(t.Context()))
	assert.Equal(t, []string{serviceEntry, "VirtualService"}, s.left.names())
	down = false
	s.mend("e007")
	require.Error(t, s.changes(t.Context()))
	assert.Equal(t, []string{"VirtualService"}, s.left.names())
	assert.EqualValues(t, 249, *s.policy("p").Status.Violations)
}

// TestNothingIsGivenBackBeforeEntriesWereJudged: what the last leader took is not known to be right by then, nor to be wrong.
func TestNothingIsGivenBackBeforeEntriesWereJudged(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.store("app", "a", "evil.test")
	taken := map[types.NamespacedName]string{{Namespace: "app", Name: "a"}: "evil"}
	s.registry.Suspend(taken)
	s.live.fails = func(kind string, _ int) error {
		if kind == "ServiceEntryList" {
			return unavailable
		}
		return nil
	}
	require.Error(t, s.pass(t.Context(), kinds))
	s.found[objectKey{"VirtualService", "app", "lost"}] = judged{findings: []review.Finding{{}}}
	s.Touched("VirtualService", "app", "lost")
	require.Error(t, s.changes(t.Context()))
	assert.Equal(t, taken, s.registry.Suspensions())
}

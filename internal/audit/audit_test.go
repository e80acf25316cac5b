package audit

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/review"
)

// TestEverythingIsJudgedPageByPage, each object in its turn, and a token that expired meanwhile is gone on with.
func TestEverythingIsJudgedPageByPage(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.namespace("free", map[string]string{"exempt": "true"})
	for i := range 250 {
		s.store("app", fmt.Sprintf("e%03d", i), fmt.Sprintf("h%d.test", i))
	}
	s.put("free", "own", `{hosts: [own.test], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}`)
	s.hosts("p", 1, v1alpha1.Report, "ok.test")
	s.live.expire = 2
	s.audited()
	assert.Equal(t, 4, s.live.pages["ServiceEntryList"], "three pages, one of them asked for again")
	assert.Equal(t, 250+4+3, s.waits, "each object that is judged, and each list")
	assert.Len(t, s.found, 250)
	assert.EqualValues(t, 250, *s.policy("p").Status.Violations)
	assert.InDelta(t, 250, testutil.ToFloat64(s.metrics.violations.WithLabelValues("p", "Deny")), 0)
	assert.InDelta(t, 250, testutil.ToFloat64(s.metrics.objects), 0, "nobody asks about namespaces that are not governed")
	for _, kind := range kinds {
		assert.Equal(t, ofMesh(kind), s.live.pages[kind+"List"] > 0, kind)
	}
}

// TestAPassThatFailsTakesNothingBack: what was suspended stays so.
func TestAPassThatFailsTakesNothingBack(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.store("app", "a", "evil.test")
	s.hosts("p", 1, v1alpha1.Suspend, "ok.test")
	s.audited()
	require.Len(t, s.registry.Suspensions(), 1)
	s.live.broken = errors.New("no answer")
	require.ErrorContains(t, s.pass(t.Context(), kinds), "no answer")
	assert.Len(t, s.registry.Suspensions(), 1)
	assert.Len(t, s.found, 1)
}

// broken judges nothing.
type broken struct{}

func (broken) Review(context.Context, review.Request) (*review.Outcome, error) {
	return nil, errors.New("cannot be judged")
}

// TestWhatCannotBeJudgedIsAsItWas.
func TestWhatCannotBeJudgedIsAsItWas(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.store("app", "a", "evil.test")
	s.hosts("p", 1, v1alpha1.Suspend, "ok.test")
	s.audited()
	s.Reviewer = broken{}
	s.audited()
	assert.Len(t, s.registry.Suspensions(), 1)
}

// TestAnEntryThatIsMendedComesBack without everything being judged again; others are not looked at.
func TestAnEntryThatIsMendedComesBack(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	bad := s.store("app", "a", "evil.test")
	s.store("app", "good", "ok.test")
	s.hosts("p", 1, v1alpha1.Suspend, "ok.test")
	s.audited()
	require.Contains(t, s.registry.Suspensions(), types.NamespacedName{Namespace: "app", Name: "a"})
	lists := s.live.pages["ServiceEntryList"]
	s.Touched(serviceEntry, "app", "good")
	dirty, touched := s.take()
	assert.False(t, dirty)
	assert.Empty(t, touched, "nothing was wrong with it")

	s.delete(bad)
	s.store("app", "a", "ok.test")
	s.Touched(serviceEntry, "app", "a")
	require.NoError(t, s.changes(t.Context()))
	assert.Empty(t, s.registry.Suspensions())
	assert.EqualValues(t, 0, *s.policy("p").Status.Violations)
	assert.Equal(t, lists, s.live.pages["ServiceEntryList"])
}

// TestEachViolationIsToldOnce, until it is gone; and never too many at once.
func TestEachViolationIsToldOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	first := s.store("app", "a", "evil.test")
	s.hosts("p", 1, v1alpha1.Report, "ok.test")
	s.audited()
	told := s.told()
	require.Len(t, told, 1)
	assert.Contains(t, told[0], `Warning HostNotAllowed p: spec.hosts[0]: host "evil.test" is not allowed in namespace "app" (allowed-hosts). Fix: `)
	s.audited()
	assert.Empty(t, s.told())
	s.delete(first)
	s.audited()
	s.store("app", "a", "evil.test")
	s.audited()
	assert.Len(t, s.told(), 1, "it came back")

	s.found = map[objectKey]judged{}
	for i := range atOnce + 50 {
		s.found[objectKey{serviceEntry, "app", fmt.Sprint(i)}] = judged{uid: types.UID(fmt.Sprint(i)), findings: []review.Finding{{}}}
	}
	s.publish(t.Context())
	assert.Len(t, s.told(), atOnce)
	assert.True(t, s.untold())
	require.NoError(t, s.changes(t.Context()))
	assert.Len(t, s.told(), 50)
	assert.False(t, s.untold())
}

// TestAnUnsealedEntryIsNamed.
func TestAnUnsealedEntryIsNamed(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.put("app", "before", `{hosts: [own.test], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}`)
	s.store("app", "after", "sealed.test")
	s.audited()
	assert.Equal(t, []string{"app/before"}, s.Unsealed())
	assert.InDelta(t, 1, testutil.ToFloat64(s.metrics.unsealed), 0)
	assert.Contains(t, s.told()[0], "UnsealedEntry")
}

// TestTooManyAtOnceAreHeld and told of, until somebody confirms that generation.
func TestTooManyAtOnceAreHeld(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for i := range 8 {
		s.store("app", fmt.Sprintf("e%d", i), fmt.Sprintf("h%d.test", i))
	}
	s.hosts("p", 1, v1alpha1.Suspend, "ok.test")
	held := func() bool {
		return apimeta.IsStatusConditionTrue(s.policy("p").Status.Conditions, v1alpha1.ConditionSuspendHeld)
	}
	s.audited()
	assert.Empty(t, s.registry.Suspensions())
	assert.True(t, held())
	assert.InDelta(t, 8, testutil.ToFloat64(s.metrics.held.WithLabelValues("p")), 0)
	assert.Contains(t, fmt.Sprint(s.told()), `SuspendHeld this policy would suspend 8 exits at once, of 8`)
	s.audited()
	assert.NotContains(t, fmt.Sprint(s.told()), "SuspendHeld", "once")

	confirmed := s.policy("p")
	confirmed.Annotations = map[string]string{v1alpha1.AnnotationConfirmSuspend: "2"}
	require.NoError(t, s.cluster.Update(t.Context(), confirmed))
	s.audited()
	assert.Empty(t, s.registry.Suspensions(), "another generation's word")
	confirmed = s.policy("p")
	confirmed.Annotations[v1alpha1.AnnotationConfirmSuspend] = "1"
	require.NoError(t, s.cluster.Update(t.Context(), confirmed))
	s.audited()
	assert.Len(t, s.registry.Suspensions(), 8)
	assert.False(t, held())
}

// TestAPolicyThatSelectsNothingSaysSo, until it does; one that always did says nothing of it.
func TestAPolicyThatSelectsNothingSaysSo(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.hosts("p", 1, v1alpha1.Report, "ok.test")
	said := func() *metav1.Condition {
		s.audited()
		return apimeta.FindStatusCondition(s.policy("p").Status.Conditions, v1alpha1.ConditionSelectsNothing)
	}
	assert.Nil(t, said())
	p := s.policy("p")
	p.Spec.Match.Namespaces = []v1alpha1.NamespacePattern{"later"}
	require.NoError(t, s.cluster.Update(t.Context(), p))
	assert.Equal(t, metav1.ConditionTrue, said().Status)
	s.namespace("later", nil)
	assert.Equal(t, metav1.ConditionFalse, said().Status)
}

// TestOnlyPoliciesThatSuspendByTheClockCostAnything.
func TestOnlyPoliciesThatSuspendByTheClockCostAnything(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		rego     string
		existing v1alpha1.Existing
		want     bool
	}{
		"both":        {`deny contains "late" if input.time > "2026"`, v1alpha1.Suspend, true},
		"reports":     {`deny contains "late" if input.time > "2026"`, v1alpha1.Report, false},
		"has no time": {`deny contains "no" if input.name == "x"`, v1alpha1.Suspend, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			p := &v1alpha1.EgressPolicy{Spec: v1alpha1.EgressPolicySpec{Rego: "package own\n\n" + tc.rego + "\n", Existing: tc.existing}}
			p.Name = "p"
			require.NoError(t, s.cluster.Create(t.Context(), p))
			require.NoError(t, s.engine.Set(p))
			assert.Equal(t, tc.want, s.clocked(t.Context()))
		})
	}
	s := newStage(t)
	s.now = time.Date(2026, 1, 1, 10, 0, 59, 0, time.UTC)
	assert.Equal(t, 1100*time.Millisecond, s.toMinute())
}

// counting counts what is judged.
type counting struct {
	of    Reviewer
	times atomic.Int32
}

func (c *counting) Review(ctx context.Context, req review.Request) (*review.Outcome, error) {
	c.times.Add(1)
	return c.of.Review(ctx, req)
}

// TestAChangeIsJudgedOnceMore: several that come together are one, and one that comes meanwhile is not lost.
func TestAChangeIsJudgedOnceMore(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.Now = time.Now
	s.Metrics = prometheus.NewRegistry()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	judge := &counting{of: s.Reviewer}
	s.Reviewer = judge
	passes := func() int { return int(judge.times.Load()) }
	s.store("app", "a", "evil.test")
	go func() { ended <- s.Start(ctx) }()
	require.Eventually(t, func() bool { return passes() == 1 }, time.Minute, 10*time.Millisecond)
	for range 3 {
		s.Changed()
	}
	s.registry.PutNamespace("app", map[string]string{"team": "b"})
	require.Eventually(t, func() bool { return passes() == 2 }, time.Minute, 10*time.Millisecond)
	s.registry.PutNamespace("app", map[string]string{"team": "c"})
	require.Eventually(t, func() bool { return passes() == 3 }, time.Minute, 10*time.Millisecond)
	s.registry.PutNamespace("app", map[string]string{"team": "c"})
	cancel()
	require.NoError(t, <-ended)
	assert.Equal(t, 3, passes())
}

// clock keeps when what is stored is judged.
type clock struct {
	of Reviewer
	at time.Time
}

func (c *clock) Review(ctx context.Context, req review.Request) (*review.Outcome, error) {
	c.at = req.Time
	return c.of.Review(ctx, req)
}

// TestPoliciesKnowTheTime: an allowance that expires is judged by when it is looked at.
func TestPoliciesKnowTheTime(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.now = time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC)
	judge := &clock{of: s.Reviewer}
	s.Reviewer = judge
	s.store("app", "a", "evil.test")
	s.audited()
	assert.True(t, s.now.Equal(judge.at), judge.at)
}

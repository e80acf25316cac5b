package policy

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/policies"
)

// TestABusyMachineIsNoPolicysFault: time on the clock counts twice before it counts where the process had little of the processors.
func TestABusyMachineIsNoPolicysFault(t *testing.T) {
	t.Parallel()
	const bound = time.Minute
	one := newEvaluation(within(bound, maxHeap))
	for _, tc := range []struct {
		what        string
		took, spent time.Duration
		late        bool
	}{
		{"in time", bound - time.Second, bound, false},
		{"all of it at work", bound + time.Second, bound + time.Second, true},
		{"half of it at work", bound + time.Second, bound / 2, false},
		{"twice its time", starved*bound + time.Second, 0, true},
	} {
		one.spent = processors() - tc.spent
		assert.Equal(t, tc.late, one.late(one.began.Add(tc.took)), tc.what)
	}
}

// TestWhatIsLeftBehindIsAnsweredOnce, also where it is told so as the request ends.
func TestWhatIsLeftBehindIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	one := newEvaluation(within(time.Minute, maxHeap))
	one.stop(time.Now().Add(-2*grace), one.tooLate)
	waits := &line{of: one.bounds, evaluations: &evaluations{}, to: 2, done: make(chan struct{}), now: one}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.Equal(t, []answer{{err: one.tooLate, left: true}}, waits.await(ctx))
}

// TestWhoLeavesHasNobodyElseTurnedAway: a namespace has a policy to itself no more only where that took too much for it.
func TestWhoLeavesHasNobodyElseTurnedAway(t *testing.T) {
	t.Parallel()
	e, err := NewEngine(policies.Library())
	require.NoError(t, err)
	of := &v1alpha1.EgressPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p"}}
	of.Spec.Policy = "tls-only"
	bounds := within(time.Minute, maxHeap)
	for why, turnedAway := range map[error]bool{bounds.tooLate: true, bounds.tooBig: true, context.Canceled: false, context.DeadlineExceeded: false, errors.New("of the client"): false} {
		e.Remove("p")
		require.NoError(t, e.Set(of))
		asked := []question{{policy: e.snapshot.Load().named("p")}}
		require.True(t, asked[0].policy.turns.begin("app"), "another request goes on meanwhile")
		one := newEvaluation(bounds)
		one.stop(time.Now(), why)
		evaluating(t.Context(), Review{Namespace: Namespace{Name: "app"}}, asked)(one, 0)
		assert.Equal(t, !turnedAway, asked[0].policy.turns.begin("app"), why)
	}
}

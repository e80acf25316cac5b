package policy

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
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

package policy

import (
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

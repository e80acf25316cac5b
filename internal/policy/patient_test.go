package policy

import (
	"testing"
	"time"
)

// Patient has memory alone end what is observed during a test, which is to show that: on a busy machine time might.
func Patient(t *testing.T) {
	before := observing
	observing = within(time.Hour, maxHeap)
	t.Cleanup(func() { observing = before })
}

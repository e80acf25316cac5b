package clocktest

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestTheClockSaysAnotherTimeAndMeasuresTheSame, as that of a machine does, in a bubble and outside.
func TestTheClockSaysAnotherTimeAndMeasuresTheSame(t *testing.T) {
	t.Parallel()
	jumps := func(t *testing.T) {
		clock := &Clock{}
		assert.WithinDuration(t, time.Now(), clock.Now().Round(0), time.Minute)
		for _, by := range []time.Duration{24 * time.Hour, -48 * time.Hour, 365 * 24 * time.Hour} {
			before := clock.Now()
			clock.Jump(by)
			time.Sleep(time.Millisecond)
			after := clock.Now()
			assert.WithinDuration(t, before.Round(0).Add(by), after.Round(0), time.Minute)
			assert.True(t, after.After(before))
			assert.Less(t, after.Sub(before), time.Minute)
			assert.Less(t, time.Since(before).Abs(), 400*24*time.Hour)
			assert.Equal(t, after, after.Add(time.Hour).Add(-time.Hour))
		}
	}
	jumps(t)
	t.Run("in a bubble", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, jumps)
	})
}

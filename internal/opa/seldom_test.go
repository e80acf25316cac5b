package opa

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestWhatBefallsEveryRequestIsToldOnceAMinute, with how many there were.
func TestWhatBefallsEveryRequestIsToldOnceAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var of seldom
		var told []int
		for range 180 {
			if untold, now := of.tell(); now {
				told = append(told, untold)
			}
			time.Sleep(time.Second)
		}
		assert.Equal(t, []int{0, 59, 59}, told)
	})
}

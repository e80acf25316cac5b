// Package clocktest is the clock of a machine that somebody sets while programs run on it, for tests.
package clocktest

import (
	"sync/atomic"
	"time"
	"unsafe"
)

// Clock tells the time as time.Now does on a machine whose clock is set meanwhile: its times say what that says, and between two of them
// is what has passed. It is right at first.
type Clock struct{ by atomic.Int64 }

// Jump sets the clock forward, or back.
func (c *Clock) Jump(by time.Duration) { c.by.Add(int64(by)) }

// layout is that of time.Time, of which nothing else sets the two readings apart.
type layout struct {
	wall uint64
	ext  int64
	at   *time.Location
}

// In wall, with a monotonic reading in ext: that there is one, the seconds since 1885, and the nanoseconds.
const (
	hasMonotonic = 1 << 63
	secondsAbove = 30
)

var since = time.Date(1885, 1, 1, 0, 0, 0, 0, time.UTC)

// Now returns the time.
func (c *Clock) Now() time.Time {
	out := time.Now()
	says := out.Round(0).Add(time.Duration(c.by.Load()))
	of := (*layout)(unsafe.Pointer(&out))
	if of.wall&hasMonotonic == 0 {
		// In a bubble of synctest there is no monotonic reading.
		of.ext = out.UnixNano()
	}
	of.wall = hasMonotonic | uint64(says.Sub(since)/time.Second)<<secondsAbove | uint64(says.Nanosecond())
	return out
}

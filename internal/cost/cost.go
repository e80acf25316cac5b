// Package cost has benchmarks tell what something costs: its processor time, and the heap that stays.
package cost

import (
	"runtime"
	"testing"
	"time"

	"github.com/egress-governor/egress-governor/internal/processor"
)

// Loop runs a function as b.Loop does, and reports the processor time of each turn, whatever goroutine or collection of
// garbage it went to.
func Loop(b *testing.B, turn func()) {
	b.Helper()
	b.ReportAllocs()
	turn() // what is made once is not each turn's
	var before time.Duration
	turns := 0
	for b.Loop() {
		if turns == 0 {
			before = spent(b)
		}
		turn()
		turns++
	}
	b.ReportMetric(float64((spent(b)-before).Nanoseconds())/float64(turns), "cpu-ns/op")
}

func spent(b *testing.B) time.Duration {
	b.Helper()
	out, err := processor.Time()
	if err != nil {
		b.Fatal(err)
	}
	return out
}

// Heap returns the bytes of the heap that are in use.
func Heap() int64 {
	// What is freed by finalizers and cleanups is gone after the second.
	runtime.GC()
	runtime.GC()
	var out runtime.MemStats
	runtime.ReadMemStats(&out)
	return int64(out.HeapAlloc)
}

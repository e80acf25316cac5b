package registry_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/cost"
)

// TestOneMoreEntryCostsTheSame however many the host has: those of one second come in no order of theirs. It is not parallel, so that
// nobody else allocates.
func TestOneMoreEntryCostsTheSame(t *testing.T) {
	few, many := costOfOneMore(t, 20), costOfOneMore(t, 2000)
	assert.Less(t, many, 4*few, "bytes for one more of 2,000, of %d for one more of 20", few)
}

// costOfOneMore returns how many bytes it takes to take in one more entry of a host and to ask for its exit.
func costOfOneMore(t *testing.T, have int) uint64 {
	t.Helper()
	r := newRegistry(t, "")
	for i := range have {
		put(t, r, object(t, "ServiceEntry", "a", fmt.Sprintf("e-%05d", i), sealed, 0))
	}
	require.NotNil(t, r.Exit("api.example.com", "istio-system"))
	const more = 100
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range more {
		put(t, r, object(t, "ServiceEntry", "a", fmt.Sprintf("e-%05d-more-%d", i*7919%have, i), sealed, 0))
		require.Len(t, r.Exit("api.example.com", "istio-system").Members, have+i+1)
	}
	runtime.ReadMemStats(&after)
	return (after.TotalAlloc - before.TotalAlloc) / more
}

// BenchmarkOneMoreEntry takes in one more entry of a host that has so many, of the same second, and asks for its exit.
func BenchmarkOneMoreEntry(b *testing.B) {
	for _, have := range []int{10, 1000, 10000} {
		b.Run(fmt.Sprintf("entries=%d", have), func(b *testing.B) {
			r := newRegistry(b, "")
			for i := range have {
				put(b, r, object(b, "ServiceEntry", "a", fmt.Sprintf("e-%05d", i), sealed, 0))
			}
			require.NotNil(b, r.Exit("api.example.com", "istio-system"))
			i := 0
			cost.Loop(b, func() {
				put(b, r, object(b, "ServiceEntry", "a", fmt.Sprintf("e-%05d-more-%d", i*7919%have, i), sealed, 0))
				r.Exit("api.example.com", "istio-system")
				i++
			})
		})
	}
}

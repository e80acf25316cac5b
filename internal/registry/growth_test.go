package registry_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/cost"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/registry"
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
	return allocated(func() {
		for i := range more {
			put(t, r, object(t, "ServiceEntry", "a", fmt.Sprintf("e-%05d-more-%d", i*7919%have, i), sealed, 0))
			require.Len(t, r.Exit("api.example.com", "istio-system").Members, have+i+1)
		}
	}) / more
}

// TestOneMoreGatewayCostsTheSame however many there are, wherever they are, and however many pods the egress gateway has: whoever makes
// thousands of them, or pods that are all labelled otherwise, keeps no replica from starting. It is not parallel, so that nobody else allocates.
func TestOneMoreGatewayCostsTheSame(t *testing.T) {
	named := func(of *unstructured.Unstructured, i int) *unstructured.Unstructured {
		out := of.DeepCopy()
		out.SetName(fmt.Sprint("g", i))
		return out
	}
	elsewhere, onItsPods := theirs(t, "", "ingress"), theirs(t, "", "egress")
	for what, more := range map[string]func(r *registry.Registry, i int){
		"elsewhere":   func(r *registry.Registry, i int) { r.PutBinding(named(elsewhere, i)) },
		"on its pods": func(r *registry.Registry, i int) { r.PutBinding(named(onItsPods, i)) },
		"and pods": func(r *registry.Registry, i int) {
			r.PutBinding(named(onItsPods, i))
			r.PutPod("istio-system", fmt.Sprint("p", i), map[string]string{"istio": "egressgateway", "app": "egress", "pod": fmt.Sprint(i)})
		},
		"that changes": func(r *registry.Registry, i int) {
			r.PutBinding(named(onItsPods, i))
			r.PutBinding(named(elsewhere, i/2))
		},
		"asked for": func(r *registry.Registry, i int) {
			one := named(elsewhere, i)
			one.Object["spec"].(map[string]any)["servers"].([]any)[0].(map[string]any)["hosts"] = []any{fmt.Sprintf("a-%d.test", i)}
			r.PutBinding(one)
			require.Len(t, r.Serving(fmt.Sprintf("a-%d.test", i)), 1)
			r.Problems(egresstest.Mesh().Gateways[0])
		},
	} {
		t.Run(what, func(t *testing.T) {
			cost := func(have int) uint64 {
				r := registry.New(egresstest.Mesh())
				r.PutPod("istio-system", "p", map[string]string{"istio": "egressgateway", "app": "egress"})
				for i := range have {
					more(r, i)
				}
				const some = 100
				return allocated(func() {
					for i := range some {
						more(r, have+i)
					}
				}) / some
			}
			few, many := cost(20), cost(300)
			assert.Less(t, many, 4*few, "bytes for one more of 300, of %d for one more of 20", few)
		})
	}
}

func allocated(by func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	by()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
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

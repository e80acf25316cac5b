package egress

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
)

// anyValue draws a value of decoded JSON, and now and then one of another type.
func anyValue(r *rand.Rand, depth int) any {
	leaves := []any{nil, "", "a", true, int64(1), float64(1), int32(1), []any(nil), map[string]any(nil), []string{"a"}}
	switch choice := r.IntN(4); {
	case depth == 0 || choice < 2:
		return leaves[r.IntN(len(leaves))]
	case choice == 2:
		out := []any{}
		for range r.IntN(3) {
			out = append(out, anyValue(r, depth-1))
		}
		return out
	}
	out := map[string]any{}
	for range r.IntN(3) {
		out[[]string{"a", "b", "c"}[r.IntN(3)]] = anyValue(r, depth-1)
	}
	return out
}

// TestSameValueIsDeepEqual, of values that are the same or not.
func TestSameValueIsDeepEqual(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	same := 0
	for range 50_000 {
		a, b := anyValue(r, 2), anyValue(r, 2)
		if reflect.DeepEqual(a, b) {
			same++
		}
		if reflect.DeepEqual(a, b) != SameValue(a, b) {
			t.Fatalf("%#v and %#v", a, b)
		}
	}
	assert.Greater(t, same, 1000)
	assert.Less(t, same, 49_000)
}

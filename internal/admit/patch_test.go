package admit

import (
	"encoding/json"
	"math/rand/v2"
	"testing"

	applypatch "github.com/evanphx/json-patch/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gomodules.xyz/jsonpatch/v2"
)

// some draws an object of few fields, so that two of them often share some.
func some(r *rand.Rand, depth int) map[string]any {
	out := map[string]any{}
	for range r.IntN(4) {
		key := []string{"a", "b", "a/b", "~", "~1"}[r.IntN(5)]
		switch choice := r.IntN(5); {
		case depth == 0 || choice < 2:
			out[key] = []any{nil, "", "x", true, int64(1), int64(2), 1.5}[r.IntN(7)]
		case choice == 2:
			list := []any{}
			for range r.IntN(3) {
				list = append(list, some(r, depth-1))
			}
			out[key] = list
		default:
			out[key] = some(r, depth-1)
		}
	}
	return out
}

// TestAPatchMakesOneOfTheOther, as the API server applies it, and is empty where they are the same.
func TestAPatchMakesOneOfTheOther(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		from, to := some(r, 3), some(r, 3)
		assert.Empty(t, patch(from, from))
		want, err := json.Marshal(to)
		require.NoError(t, err)
		document, err := json.Marshal(from)
		require.NoError(t, err)
		operations := patch(from, to)
		if operations == nil {
			operations = []jsonpatch.Operation{}
		}
		raw, err := json.Marshal(operations)
		require.NoError(t, err)
		applied, err := applypatch.DecodePatch(raw)
		require.NoError(t, err)
		got, err := applied.Apply(document)
		require.NoError(t, err, "%s of %s", raw, document)
		require.JSONEq(t, string(want), string(got), "%s of %s", raw, document)
	}
}

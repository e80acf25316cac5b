package policy

import (
	"math/rand/v2"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/stretchr/testify/require"
)

// TestResultsAreAsOPAsOwn whatever is asked of them, in any order: paths that begin alike, that differ in their order alone, and what
// an evaluation before left behind.
func TestResultsAreAsOPAsOwn(t *testing.T) {
	t.Parallel()
	parts := []*ast.Term{
		ast.StringTerm("a"), ast.StringTerm("b"), ast.IntNumberTerm(0), ast.IntNumberTerm(1), ast.IntNumberTerm(31), ast.NumberTerm("1.0"), ast.ArrayTerm(ast.StringTerm("a")),
		ast.SetTerm(), ast.NewTerm(ast.LazyObject(map[string]any{"a": "b"})), ast.ObjectTerm(ast.Item(ast.StringTerm("a"), ast.StringTerm("b"))),
	}
	known, path := &results{}, ast.Ref{}
	for seed := range uint64(100) {
		draw := rand.New(rand.NewPCG(seed, 0))
		known.begin()
		want := topdown.NewVirtualCache()
		for depth, step := 0, 0; step < 300; step++ {
			path = path[:0] // as OPA does
			for range 1 + draw.IntN(3) {
				path = append(path, parts[draw.IntN(len(parts))])
			}
			value, undefined := want.Get(path)
			got, none := known.Get(path)
			require.Same(t, value, got, "%d: %v", seed, path)
			require.Equal(t, undefined, none, "%d: %v", seed, path)
			require.Len(t, known.Keys(), len(want.Keys()), seed)
			switch does := draw.IntN(20); {
			case does == 0:
				want.Push()
				known.Push()
				depth++
			case does == 1 && depth > 0:
				want.Pop()
				known.Pop()
				depth--
			case value == nil && !undefined:
				if does%3 > 0 {
					value = ast.StringTerm(path.String())
				}
				want.Put(path, value)
				known.Put(path, value)
			}
		}
	}
}

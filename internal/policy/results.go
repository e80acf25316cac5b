package policy

import (
	"github.com/open-policy-agent/opa/v1/ast"
)

// results are what rules and functions came to within one evaluation, so that OPA evaluates each once (topdown.VirtualCache). OPA's own
// has a table for each part of a path; most policies come to a handful of results. The zero value is ready to begin.
type results struct {
	frames []frame
}

// frame is what was evaluated under the same input: with begins another.
type frame map[int]*result

// result is what a path, with its arguments, came to; nil for undefined.
type result struct {
	of    ast.Ref
	value *ast.Term
	// next has the same hash.
	next *result
}

// maxKept is of how many results the table is used again.
const maxKept = 64

// begin forgets those of the last evaluation.
func (r *results) begin() {
	if len(r.frames) == 0 || len(r.frames[0]) > maxKept {
		r.frames = make([]frame, 1, 2)
	}
	clear(r.frames[0])
	r.frames = r.frames[:1]
}

// Push implements topdown.VirtualCache.
func (r *results) Push() { r.frames = append(r.frames, nil) }

// Pop implements topdown.VirtualCache.
func (r *results) Pop() { r.frames = r.frames[:len(r.frames)-1] }

// Get implements topdown.VirtualCache.
func (r *results) Get(of ast.Ref) (value *ast.Term, undefined bool) {
	top := r.frames[len(r.frames)-1]
	if len(top) == 0 {
		return nil, false
	}
	if known := top[hash(of)].find(of); known != nil {
		return known.value, known.value == nil
	}
	return nil, false
}

// Put implements topdown.VirtualCache. OPA uses the path again for others.
func (r *results) Put(of ast.Ref, value *ast.Term) {
	top := &r.frames[len(r.frames)-1]
	if *top == nil {
		*top = frame{}
	}
	key := hash(of)
	if known := (*top)[key].find(of); known != nil {
		known.value = value
		return
	}
	(*top)[key] = &result{append(ast.Ref(nil), of...), value, (*top)[key]}
}

// Keys implements topdown.VirtualCache.
func (r *results) Keys() (out []ast.Ref) {
	for _, known := range r.frames[len(r.frames)-1] {
		for ; known != nil; known = known.next {
			if known.value != nil {
				out = append(out, known.of)
			}
		}
	}
	return out
}

func (r *result) find(of ast.Ref) *result {
	for ; r != nil; r = r.next {
		if ast.RefEqual(r.of, of) {
			return r
		}
	}
	return nil
}

// hash tells the order of the parts, too: f(1, 2) is not f(2, 1), nor 1 apart from it f(2, 0).
func hash(of ast.Ref) (out int) {
	for _, part := range of {
		out = 31*out + part.Hash()
	}
	return out
}

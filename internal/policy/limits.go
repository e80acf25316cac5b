package policy

import (
	"context"
	"errors"
	"runtime/metrics"
	"sync"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
)

const (
	// budget is the time that one policy may take, so that none takes another's.
	budget = time.Second
	// grace is how long it may take to notice that its time is over, until it is left behind.
	grace = 250 * time.Millisecond
	// quick is how long an evaluation runs before it is looked after, and how often that is then.
	quick = 5 * time.Millisecond
	// maxHeap is how much more memory there may be in use, in bytes, than when the longest evaluation began: it is cut off then,
	// and the next longest if that does not help.
	maxHeap = 64 << 20
)

var errBusy = errors.New("it took too long for this namespace before, and is still being evaluated for it")

// evaluation is one policy at work on one review.
type evaluation struct {
	bounds
	cancel context.CancelCauseFunc
	// before are the bytes that were in use when it was looked at first.
	before uint64
}

// evaluations are those under way, the longest first.
type evaluations struct {
	mu    sync.Mutex
	order []*evaluation
}

func (e *evaluations) begin(one *evaluation) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.order = append(e.order, one)
}

func (e *evaluations) end(one *evaluation) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, other := range e.order {
		if other == one {
			e.order = append(e.order[:i], e.order[i+1:]...)
			return
		}
	}
}

// watch cuts an evaluation off that is the longest and has taken too much memory.
func (e *evaluations) watch(one *evaluation) {
	e.mu.Lock()
	longest := len(e.order) > 0 && e.order[0] == one
	e.mu.Unlock()
	switch now := inUse(); {
	case one.before == 0:
		one.before = now
	case longest && now > one.before+one.heap:
		one.cancel(one.large)
	}
}

// inUse returns the bytes of the heap that are in use, or not yet swept.
func inUse() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// turns keep a namespace for whose objects a policy took too long from having it evaluated more than once at a time: its
// requests are answered at once then, and leave the webhook to others.
type turns struct {
	mu sync.Mutex
	of map[string]*turn
}

type turn struct {
	running int
	late    bool
}

func (t *turns) begin(namespace string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	of := t.of[namespace]
	switch {
	case of == nil && t.of == nil:
		t.of = map[string]*turn{}
		fallthrough
	case of == nil:
		of = &turn{}
		t.of[namespace] = of
	case of.late && of.running > 0:
		return false
	}
	of.running++
	return true
}

func (t *turns) end(namespace string, late bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	of := t.of[namespace]
	of.running--
	if of.late = late; !late && of.running == 0 {
		delete(t.of, namespace)
	}
}

// leave has one go on without anybody waiting for it.
func (t *turns) leave(namespace string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if of := t.of[namespace]; of != nil {
		of.late = true
	}
}

// worker evaluates the policies of one review, one after the other: a goroutine for each would grow a stack for each.
type worker struct{ jobs chan func() }

func (w *worker) do(job func()) {
	if w.jobs == nil {
		jobs := make(chan func())
		w.jobs = jobs
		go func() {
			for job := range jobs {
				job()
			}
		}()
	}
	w.jobs <- job
}

// leave lets it end when it is done with what it is at.
func (w *worker) leave() {
	if w.jobs != nil {
		close(w.jobs)
		w.jobs = nil
	}
}

// evaluate evaluates one policy in time and memory. One that does not end when it is told to is left behind, which is true then:
// it has the input still.
func (e *Engine) evaluate(ctx context.Context, by *worker, policy *compiled, namespace string, input ast.Object) (denied, warned []Violation, left bool, err error) {
	if !policy.turns.begin(namespace) {
		return nil, nil, false, errBusy
	}
	var out struct{ denied, warned []Violation }
	left, err = e.bounded(ctx, by, deciding, func(ctx context.Context) (err error) {
		defer func() { policy.turns.end(namespace, ctx.Err() != nil) }()
		out.denied, out.warned, err = policy.eval(ctx, input)
		return err
	})
	if left {
		policy.turns.leave(namespace)
		return nil, nil, true, err
	}
	return out.denied, out.warned, false, err
}

// sentences returns of a result what violations reads: texts, and objects of texts. Whatever else a policy has in its results
// is left where it is.
func sentences(term *ast.Term, _ *rego.EvalContext) (any, error) {
	set, is := term.Value.(ast.Set)
	if !is {
		return nil, nil
	}
	out := make([]any, 0, set.Len())
	set.Foreach(func(item *ast.Term) { out = append(out, sentence(item)) })
	return out, nil
}

func sentence(item *ast.Term) any {
	if text, is := item.Value.(ast.String); is {
		return string(text)
	}
	object, is := item.Value.(ast.Object)
	if !is {
		return named(item)
	}
	out := map[string]any{}
	for _, key := range []string{"msg", "code", "field", "fix"} {
		if value := object.Get(ast.InternedTerm(key)); value != nil {
			out[key] = named(value)
		}
	}
	return out
}

// notText stands for what is no text.
type notText string

// named returns a text, or the sort of value that a term is.
func named(term *ast.Term) any {
	if text, is := term.Value.(ast.String); is {
		return string(text)
	}
	return notText(ast.ValueName(term.Value))
}

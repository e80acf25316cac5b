package policy

import (
	"errors"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/egress-governor/egress-governor/internal/processor"
)

const (
	// budget is the time that one policy may take, so that none takes another's.
	budget = time.Second
	// starved is how many times its budget it may take on the clock where the process has had less of the processors meanwhile: a busy
	// machine, or a limit on processor time, is not the policy's fault.
	starved = 2
	// grace is how long it may take to notice that its time is over, until it is left behind.
	grace = 250 * time.Millisecond
	// quick is how long an evaluation runs before it is looked after, and how often that is then.
	quick = 5 * time.Millisecond
	// maxHeap is how much more memory there may be in use, in bytes, than when the longest evaluation began: it is cut off then,
	// and the next longest if that does not help.
	maxHeap = 64 << 20
)

// started stands for the beginning of the process, where it cannot be told what that has had of the processors.
var started = time.Now()

var errBusy = errors.New("it took too long for this namespace before, and is still being evaluated for it")

// evaluation is one policy at work on one review.
type evaluation struct {
	bounds
	began time.Time
	// cancel is what OPA looks at between steps.
	cancel topdown.Cancel
	// why is the first reason for which it was stopped, and when.
	why atomic.Pointer[reason]
	// before are the bytes that were in use when it was looked at first, spent what the process had had of the processors.
	before uint64
	spent  time.Duration
}

type reason struct {
	err  error
	when time.Time
}

func newEvaluation(of bounds) *evaluation {
	return &evaluation{bounds: of, began: time.Now(), cancel: topdown.NewCancel()}
}

// stop tells it to end.
func (e *evaluation) stop(now time.Time, why error) {
	e.why.CompareAndSwap(nil, &reason{why, now})
	e.cancel.Cancel()
}

// stopped returns why it was told to end, nil where it was not.
func (e *evaluation) stopped() error {
	if why := e.why.Load(); why != nil {
		return why.err
	}
	return nil
}

// tookTooMuch says whether it was told to end for what it took, and not since nobody waits for its answer any more.
func (e *evaluation) tookTooMuch() bool {
	why := e.stopped()
	return why != nil && (errors.Is(why, e.tooLate) || errors.Is(why, e.tooBig))
}

// processors is what the process has had of the processors.
func processors() time.Duration {
	if out, err := processor.Time(); err == nil {
		return out
	}
	return time.Since(started)
}

// late says whether its time is over.
func (e *evaluation) late(now time.Time) bool {
	took := now.Sub(e.began)
	return took > e.time && (processors()-e.spent > e.time || took > starved*e.time)
}

// overdue says whether it was told to end, and had time to notice.
func (e *evaluation) overdue(now time.Time) bool {
	why := e.why.Load()
	return why != nil && now.Sub(why.when) > grace
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
func (e *evaluations) watch(one *evaluation, at time.Time) {
	e.mu.Lock()
	longest := len(e.order) > 0 && e.order[0] == one
	e.mu.Unlock()
	switch now := inUse(); {
	case one.before == 0:
		one.before, one.spent = now, processors()
	case longest && now > one.before+one.heap:
		one.stop(at, one.tooBig)
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
	of map[string]turn
}

type turn struct {
	running int
	late    bool
}

func (t *turns) begin(namespace string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	of := t.of[namespace]
	if of.late && of.running > 0 {
		return false
	}
	if t.of == nil {
		t.of = map[string]turn{}
	}
	of.running++
	t.of[namespace] = of
	return true
}

func (t *turns) end(namespace string, late bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	of := t.of[namespace]
	of.running--
	if of.late = late; !late && of.running == 0 {
		delete(t.of, namespace)
		return
	}
	t.of[namespace] = of
}

// leave has one go on without anybody waiting for it.
func (t *turns) leave(namespace string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if of, running := t.of[namespace]; running {
		of.late = true
		t.of[namespace] = of
	}
}

// sentences returns of a result what violations reads: texts, and objects of texts. Whatever else a policy has in its results
// is left where it is.
func sentences(term *ast.Term) (out []any) {
	if term == nil {
		return nil
	}
	set, is := term.Value.(ast.Set)
	if !is {
		return nil
	}
	for _, item := range set.Slice() {
		out = append(out, sentence(item))
	}
	return out
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
	for _, key := range partsOfResult {
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

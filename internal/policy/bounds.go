package policy

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// bounds are what an evaluation may take, and what is said of one that takes more.
type bounds struct {
	time            time.Duration
	heap            uint64
	tooLate, tooBig error
}

func within(time time.Duration, heap uint64) bounds {
	return bounds{time, heap, fmt.Errorf("it took more than %v", time), fmt.Errorf("it took more than %d MiB of memory", heap>>20)}
}

// answer is what one evaluation came to.
type answer struct {
	denied, warned []Violation
	err            error
	// left says that it did not end when it was told to: whatever it was given, it has still.
	left bool
}

// job evaluates the policy of a number.
type job func(one *evaluation, number int) answer

// bounded has jobs of evaluating done one after the other, each within bounds, and returns what each came to. They share a
// goroutine: one for each would grow a stack for each, and be waited for. Where one is left behind, the next begin in another, with
// a job of its own.
func (e *Engine) bounded(ctx context.Context, of bounds, size int, begin func() job) []answer {
	out := make([]answer, 0, size)
	for len(out) < size {
		next := &line{of: of, evaluations: &e.evaluations, from: len(out), to: size, job: begin(), done: make(chan struct{}), answers: out}
		work(func() { next.work(ctx) })
		out = next.await(ctx)
	}
	return out
}

// idle goroutines have done a line, and take the next: their stacks have grown to what an evaluation takes.
var idle = make(chan func())

// patience is how long one waits for it.
const patience = 10 * time.Second

// work has something done by a goroutine that is idle, or by a new one.
func work(next func()) {
	select {
	case idle <- next:
		return
	default:
	}
	go func() {
		over := time.NewTimer(patience)
		defer over.Stop()
		for {
			next()
			over.Reset(patience)
			select {
			case next = <-idle:
			case <-over.C:
				return
			}
		}
	}()
}

// line are jobs that are done one after the other, and who waits for them.
type line struct {
	of          bounds
	evaluations *evaluations
	from, to    int
	job         job
	// done is closed when all are done.
	done chan struct{}

	mu sync.Mutex
	// answers are those of the lines before, too; nothing is added to them any more where one is left.
	answers []answer
	// now is the one under way, nil between two.
	now *evaluation
	// left says that nobody waits any more.
	left bool
}

func (l *line) work(ctx context.Context) {
	defer close(l.done)
	for i := l.from; i < l.to; i++ {
		if ctx.Err() != nil {
			if !l.answer(answer{err: context.Cause(ctx)}) {
				return
			}
			continue
		}
		one := newEvaluation(l.of)
		l.evaluations.begin(one)
		l.begin(one)
		got := guarded(one, i, l.job)
		l.evaluations.end(one)
		if !l.answer(got) {
			return
		}
	}
}

func (l *line) begin(one *evaluation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = one
}

// answer notes down what one came to, and says whether somebody wants the next.
func (l *line) answer(of answer) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left {
		return false
	}
	l.answers, l.now = append(l.answers, of), nil
	return true
}

// await looks after the evaluations while they last, and returns the answers: all, or all up to the one that is left behind.
func (l *line) await(ctx context.Context) []answer {
	look := time.NewTicker(quick)
	defer look.Stop()
	ended := ctx.Done()
	for {
		select {
		case <-l.done:
			return l.answers
		case <-ended:
			ended = nil
			if l.look(ctx) {
				return l.answers
			}
		case <-look.C:
			if l.look(ctx) {
				return l.answers
			}
		}
	}
}

// look stops the evaluation under way where its time is over or its memory used up, and says whether it is left behind.
func (l *line) look(ctx context.Context) (left bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.now
	if one == nil {
		return false
	}
	now := time.Now()
	if ctx.Err() != nil {
		one.stop(now, context.Cause(ctx))
	}
	l.evaluations.watch(one, now)
	if one.late(now) {
		one.stop(now, one.tooLate)
	}
	if !one.overdue(now) {
		return false
	}
	l.left = true
	l.answers = append(l.answers, answer{err: one.stopped(), left: true})
	return true
}

// guarded does a job, and survives it.
func guarded(one *evaluation, number int, do job) (out answer) {
	defer func() {
		if problem := recover(); problem != nil {
			out = answer{err: fmt.Errorf("it panicked: %v", problem)}
		}
		if why := one.stopped(); why != nil && out.err != nil {
			out.err = why
		}
	}()
	return do(one, number)
}

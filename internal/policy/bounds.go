package policy

import (
	"context"
	"fmt"
	"time"
)

// bounds are what an evaluation may take, and what is said of one that takes more.
type bounds struct {
	time        time.Duration
	heap        uint64
	late, large error
}

func within(time time.Duration, heap uint64) bounds {
	return bounds{time, heap, fmt.Errorf("it took more than %v", time), fmt.Errorf("it took more than %d MiB of memory", heap>>20)}
}

// deciding are those of an evaluation that decides.
var deciding = within(budget, maxHeap)

// bounded has a job of evaluating done within bounds. One that does not end when it is told to is left behind, which is true then:
// whatever it was given, it has still.
func (e *Engine) bounded(ctx context.Context, by *worker, of bounds, job func(ctx context.Context) error) (left bool, err error) {
	ctx, stop := context.WithTimeoutCause(ctx, of.time, of.late)
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	one := &evaluation{bounds: of, cancel: cancel}
	e.evaluations.begin(one)
	done := make(chan error, 1)
	by.do(func() {
		err := guarded(ctx, job)
		e.evaluations.end(one)
		done <- err
	})
	if left, err = e.await(ctx, one, done); left {
		by.leave()
	}
	return left, err
}

// guarded does a job, and survives it.
func guarded(ctx context.Context, job func(ctx context.Context) error) (err error) {
	defer func() {
		if problem := recover(); problem != nil {
			err = fmt.Errorf("it panicked: %v", problem)
		}
	}()
	return job(ctx)
}

// await waits for an evaluation, and looks after it while it lasts.
func (e *Engine) await(ctx context.Context, one *evaluation, done <-chan error) (left bool, err error) {
	look := time.NewTicker(quick)
	defer look.Stop()
	var over <-chan time.Time
	for {
		select {
		case err = <-done:
			if err != nil && ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return false, err
		case <-look.C:
			e.evaluations.watch(one)
			if over == nil && ctx.Err() != nil {
				over = time.After(grace)
			}
		case <-over:
			return true, context.Cause(ctx)
		}
	}
}

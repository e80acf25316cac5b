package controller

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// taken begins turns until no more may be, each of which ends when it is let go.
func taken(yield *Yield, turns int, now *atomic.Int64) (let chan struct{}) {
	let = make(chan struct{})
	of := working("test", reconcile.TypedFunc[string](func(context.Context, string) (reconcile.Result, error) {
		now.Add(1)
		<-let
		now.Add(-1)
		return reconcile.Result{}, nil
	}), yield, func(string) []string { return []string{""} })
	for range turns {
		go func() { _, _ = of.Reconciler.Reconcile(context.Background(), "") }()
	}
	return let
}

// TestWorkYieldsToRequests: while requests are answered few turns are taken, but some, and as soon as none comes any more as many as may be.
func TestWorkYieldsToRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		yield, now := &Yield{}, atomic.Int64{}
		done := yield.Answer()
		let := taken(yield, 3*atMost, &now)
		synctest.Wait()
		assert.EqualValues(t, atLeast, now.Load(), "a request is answered")
		let <- struct{}{}
		synctest.Wait()
		assert.EqualValues(t, atLeast, now.Load(), "the next has its turn all the same")
		done()
		let <- struct{}{}
		synctest.Wait()
		assert.EqualValues(t, atLeast, now.Load(), "others are to be expected")
		time.Sleep(lately)
		let <- struct{}{}
		synctest.Wait()
		assert.EqualValues(t, atMost, now.Load(), "none came any more")
		done = yield.Answer()
		for range atMost - atLeast {
			let <- struct{}{}
			synctest.Wait()
		}
		assert.EqualValues(t, atLeast, now.Load(), "one came")
		close(let)
		synctest.Wait()
		assert.Zero(t, now.Load(), "all had their turns")
		done()
	})
}

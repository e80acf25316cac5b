package controller

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// TestReplicasAddUpWhatTheyCounted: each policy is written at most once a minute by each, whatever is sent; what another wrote
// meanwhile is not lost, what may have been written is not added twice, and what is left is added at the end.
func TestReplicasAddUpWhatTheyCounted(t *testing.T) {
	t.Parallel()
	stored := &v1alpha1.EgressPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p"}}
	writes, fails := 0, error(nil)
	cluster := interceptor.NewClient(policiesIn(t, stored), interceptor.Funcs{
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
			writes++
			if fails != nil {
				return fails
			}
			return c.SubResource(sub).Patch(ctx, object, patch, options...)
		},
	})
	now := time.Unix(1e9, 0)
	clock := func() time.Time { return now }
	one, two := &Tally{Client: cluster, Now: clock}, &Tally{Client: cluster, Now: clock}
	requests := func() v1alpha1.Requests {
		require.NoError(t, cluster.Get(t.Context(), types.NamespacedName{Name: "p"}, stored))
		return *stored.Status.Requests
	}
	one.add(t.Context(), addEvery)
	assert.Zero(t, writes, "nothing was counted")
	for range 1000 {
		one.Count("p", v1alpha1.Requests{Judged: 1, Denied: 1}, "")
		two.Count("p", v1alpha1.Requests{Judged: 1, Warned: 1}, "")
		one.Count("gone", v1alpha1.Requests{Judged: 1}, "")
		one.add(t.Context(), addEvery)
		two.add(t.Context(), addEvery)
	}
	assert.Equal(t, 2, writes)
	assert.Equal(t, v1alpha1.Requests{Judged: 2, Warned: 1, Denied: 1}, requests())
	now = now.Add(addEvery)
	one.add(t.Context(), addEvery)
	assert.Equal(t, v1alpha1.Requests{Judged: 1001, Warned: 1, Denied: 1000}, requests())

	addAnew := func(of *Tally, err error) int64 {
		now, fails = now.Add(addEvery), err
		of.add(t.Context(), addEvery)
		return requests().Judged
	}
	assert.Equal(t, int64(1001), addAnew(two, apierrors.NewConflict(schema.GroupResource{}, "p", errors.New("newer"))))
	assert.Equal(t, int64(2000), addAnew(two, nil), "what was not written is kept")
	two.Count("p", v1alpha1.Requests{Judged: 5}, "")
	assert.Equal(t, int64(2000), addAnew(two, errors.New("timeout")))
	assert.Equal(t, int64(2000), addAnew(two, nil), "what may have been written is given up")
	two.Count("p", v1alpha1.Requests{Judged: 5}, "")
	assert.Equal(t, int64(2005), addAnew(two, nil))

	one.Count("p", v1alpha1.Requests{Judged: 1, Audited: 1}, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, one.Start(ctx))
	assert.Equal(t, int64(2006), requests().Judged)
	assert.Equal(t, int64(1), requests().Audited)
}

// TestAPolicyThatFailsSaysSo: in its status, as long as some of what was counted last could not be judged, or it is another by now; what the
// audit says of what is stored stays before that.
func TestAPolicyThatFailsSaysSo(t *testing.T) {
	t.Parallel()
	stored := &v1alpha1.EgressPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p", Generation: 1}}
	cluster := policiesIn(t, stored)
	now := time.Unix(1e9, 0)
	clock := func() time.Time { return now }
	tally, other := &Tally{Client: cluster, Now: clock}, &Tally{Client: cluster, Now: clock}
	after := func(failures ...string) *metav1.Condition {
		for _, failure := range failures {
			counted := v1alpha1.Requests{Judged: 1}
			if failure != "" {
				counted.Failed = 1
			}
			tally.Count("p", counted, failure)
		}
		tally.add(t.Context(), 0)
		require.NoError(t, cluster.Get(t.Context(), types.NamespacedName{Name: "p"}, stored))
		return meta.FindStatusCondition(stored.Status.Conditions, v1alpha1.ConditionFailing)
	}
	assert.Nil(t, after(""))
	fails := after("it took more than 1s", "", "deny: "+strings.Repeat("é", 1000))
	require.NotNil(t, fails)
	assert.Equal(t, metav1.ConditionTrue, fails.Status)
	assert.Contains(t, fails.Message, "2 of 3 requests could not be judged, the last for: deny: é")
	assert.Less(t, len(fails.Message), 700, "a tenant may have a say in it")
	assert.Equal(t, v1alpha1.Requests{Judged: 4, Failed: 2}, *stored.Status.Requests)
	assert.Equal(t, metav1.ConditionTrue, after().Status, "nothing was counted")
	failing := func() metav1.ConditionStatus {
		other.Count("p", v1alpha1.Requests{Judged: 1}, "")
		other.add(t.Context(), 0)
		require.NoError(t, cluster.Get(t.Context(), types.NamespacedName{Name: "p"}, stored))
		return meta.FindStatusCondition(stored.Status.Conditions, v1alpha1.ConditionFailing).Status
	}
	for range 3 {
		assert.Equal(t, metav1.ConditionTrue, after("no").Status)
		now = now.Add(quietFor)
		assert.Equal(t, metav1.ConditionTrue, failing(), "another replica counted no failure, and hears of this one's")
	}
	now = now.Add(quietFor - time.Second)
	assert.Equal(t, metav1.ConditionTrue, failing())
	now = now.Add(time.Second)
	assert.Equal(t, metav1.ConditionFalse, failing(), "no replica has for a while")

	stored.Fails(v1alpha1.ReasonFailsForStored, "stored")
	require.False(t, stored.Fails(v1alpha1.ReasonFailsForStored, "stored"), "it is no news")
	require.NoError(t, cluster.Status().Update(t.Context(), stored))
	assert.Equal(t, "stored", after("no").Message)
	assert.Equal(t, metav1.ConditionTrue, after("").Status)
	stored.Generation = 2
	require.NoError(t, cluster.Update(t.Context(), stored))
	assert.Equal(t, metav1.ConditionFalse, after("").Status, "it is another policy")
}

// TestNothingIsLostBetweenCountingAndAdding, at once.
func TestNothingIsLostBetweenCountingAndAdding(t *testing.T) {
	t.Parallel()
	tally := &Tally{Now: time.Now}
	var wg sync.WaitGroup
	var sum v1alpha1.Requests
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				tally.Count("p", v1alpha1.Requests{Judged: 1}, "")
			}
		})
	}
	for range 100 {
		sum.Add(tally.due(0)["p"].Requests)
	}
	wg.Wait()
	sum.Add(tally.due(0)["p"].Requests)
	assert.Equal(t, int64(8000), sum.Judged)
}

// TestCountedRequestsYieldToRequests: their sums are written in a turn as any other work in the background.
func TestCountedRequestsYieldToRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		yield, now := &Yield{}, atomic.Int64{}
		defer yield.Answer()()
		let := taken(yield, atLeast, &now)
		synctest.Wait()
		var writes atomic.Int64
		stored := &v1alpha1.EgressPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p"}}
		cluster := interceptor.NewClient(policiesIn(t, stored), interceptor.Funcs{
			SubResourcePatch: func(context.Context, client.Client, string, client.Object, client.Patch, ...client.SubResourcePatchOption) error {
				writes.Add(1)
				return nil
			},
		})
		tally := &Tally{Client: cluster, Now: time.Now, Yield: yield}
		tally.Count("p", v1alpha1.Requests{Judged: 1}, "")
		go tally.add(t.Context(), addEvery)
		synctest.Wait()
		assert.Zero(t, writes.Load(), "all turns are taken")
		let <- struct{}{}
		synctest.Wait()
		assert.EqualValues(t, 1, writes.Load())
		close(let)
	})
}

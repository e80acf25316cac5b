package controller

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache/informertest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// patient is an engine that several ask at once; done is called after each policy.
type patient struct {
	mu sync.Mutex
	engine
	done func()
}

func (p *patient) Set(policy *v1alpha1.EgressPolicy) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.done()
	return p.engine.Set(policy)
}

// synced is a manager whose cache is.
type synced struct{ manager.Manager }

func (synced) GetCache() cache.Cache { return &informertest.FakeInformers{} }

// TestEveryStoredPolicyIsInForceBeforeAnyRequestIsAnswered; where the process ends before, none is.
func TestEveryStoredPolicyIsInForceBeforeAnyRequestIsAnswered(t *testing.T) {
	t.Parallel()
	const count = 300
	scheme := runtime.NewScheme()
	require.NoError(t, v1alpha1.AddToScheme(scheme))
	stored := fake.NewClientBuilder().WithScheme(scheme)
	for i := range count {
		stored.WithObjects(&v1alpha1.EgressPolicy{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("p%d", i), Generation: 1}})
	}
	cluster := stored.Build()
	load := func(ctx context.Context, done func()) *Policies {
		out := &Policies{engine: &patient{engine: engine{}, done: done}, client: cluster, cache: synced{}}
		require.NoError(t, loader{out}.Start(ctx))
		return out
	}
	p := load(t.Context(), func() {})
	assert.True(t, p.Loaded())
	assert.Len(t, p.engine.(*patient).engine, count)
	assert.Len(t, p.inForce, count)
	ctx, end := context.WithCancel(t.Context())
	assert.False(t, load(ctx, end).Loaded(), "some are not in force")
}

// TestWhatIsStoredWhileAReplicaStartsIsInForce, another version of a policy or its deletion, however the loader and the controller meet.
func TestWhatIsStoredWhileAReplicaStartsIsInForce(t *testing.T) {
	t.Parallel()
	name := types.NamespacedName{Name: "p"}
	for what, of := range map[string]struct {
		change func(ctx context.Context, cluster client.Client, stored *v1alpha1.EgressPolicy) error
		want   engine
	}{
		"changed": {func(ctx context.Context, cluster client.Client, stored *v1alpha1.EgressPolicy) error {
			stored.Generation = 2
			return cluster.Update(ctx, stored)
		}, engine{"p": 2}},
		"deleted": {func(ctx context.Context, cluster client.Client, stored *v1alpha1.EgressPolicy) error {
			return cluster.Delete(ctx, stored)
		}, engine{}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			p := &Policies{cache: synced{}}
			change := func(ctx context.Context, cluster client.Client) {
				stored := &v1alpha1.EgressPolicy{}
				require.NoError(t, cluster.Get(ctx, name, stored))
				require.NoError(t, of.change(ctx, cluster, stored))
			}
			p.client = interceptor.NewClient(policiesIn(t, &v1alpha1.EgressPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p", Generation: 1}}), interceptor.Funcs{
				List: func(ctx context.Context, cluster client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
					defer func() {
						change(ctx, cluster)
						_, err := p.Reconcile(ctx, ctrl.Request{NamespacedName: name})
						require.NoError(t, err)
					}()
					return cluster.List(ctx, list, options...)
				},
			})
			p.engine = &patient{engine: engine{}, done: func() {}}
			require.NoError(t, loader{p}.Start(t.Context()))
			assert.Equal(t, of.want, p.engine.(*patient).engine)
		})
	}
}

// TestOneAtATimeFollowsAPolicy, the loader or the controller; others are followed meanwhile.
func TestOneAtATimeFollowsAPolicy(t *testing.T) {
	t.Parallel()
	p := &Policies{cache: synced{}, client: policiesIn(t, &v1alpha1.EgressPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p", Generation: 1}})}
	asked := 0
	p.engine = &patient{engine: engine{}, done: func() {
		asked++
		assert.False(t, p.following.of["p"].TryLock())
		p.following.begin("another")()
	}}
	require.NoError(t, loader{p}.Start(t.Context()))
	_, err := p.Reconcile(t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Name: "p"}})
	require.NoError(t, err)
	assert.Equal(t, 2, asked)
	assert.Empty(t, p.following.of)
}

// TestWhoeverIsAtWorkOnAName is alone.
func TestWhoeverIsAtWorkOnAName(t *testing.T) {
	t.Parallel()
	var by oneByName
	var all sync.WaitGroup
	var count [3]int
	for i := range 300 {
		all.Go(func() {
			defer by.begin(fmt.Sprint(i % 3))()
			count[i%3]++
		})
	}
	all.Wait()
	assert.Equal(t, [3]int{100, 100, 100}, count)
	assert.Empty(t, by.of)
}

// TestWhatWasLoadedIsLookedAtOnceTheControllerBegins, whoever is first: that controller is told of no policy that went before it began.
func TestWhatWasLoadedIsLookedAtOnceTheControllerBegins(t *testing.T) {
	t.Parallel()
	for _, loads := range []int{0, 1} {
		cluster := policiesIn(t, &v1alpha1.EgressPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p", Generation: 1}})
		p := &Policies{engine: engine{}, client: cluster, cache: synced{}}
		queue := queueOf[ctrl.Request](t)
		steps := []func() error{func() error { return loader{p}.Start(t.Context()) }, func() error { return p.start(t.Context(), queue) }}
		require.NoError(t, steps[loads]())
		require.NoError(t, steps[1-loads]())
		require.Equal(t, 1, queue.Len())
		require.NoError(t, cluster.Delete(t.Context(), &v1alpha1.EgressPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p"}}))
		request, _ := queue.Get()
		_, err := p.Reconcile(t.Context(), request)
		require.NoError(t, err)
		assert.Empty(t, p.engine)
	}
}

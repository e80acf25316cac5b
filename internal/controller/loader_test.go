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
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache/informertest"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
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

package controller

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/hop"
)

func egressPolicyOf(name, library string, labels map[string]string) *v1alpha1.EgressPolicy {
	return &v1alpha1.EgressPolicy{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Spec: v1alpha1.EgressPolicySpec{Policy: library}}
}

var ours = map[string]string{hop.ManagedByLabel: hop.Manager}

func policiesIn(t *testing.T, objects ...client.Object) client.WithWatch {
	t.Helper()
	scheme := runtime.NewScheme()
	require.NoError(t, v1alpha1.AddToScheme(scheme))
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&v1alpha1.EgressPolicy{}).Build()
}

// TestTheBaselineIsStoredAsItIs: what is missing comes, what differs is put back, what is over goes, what is others' stays.
func TestTheBaselineIsStoredAsItIs(t *testing.T) {
	t.Parallel()
	c := policiesIn(t, egressPolicyOf("baseline-changed", "weaker", map[string]string{"team": "a"}), egressPolicyOf("baseline-over", "x", ours),
		egressPolicyOf("baseline-like", "x", nil), egressPolicyOf("copied", "x", ours))
	b := &Baseline{Client: c, Policies: []*v1alpha1.EgressPolicy{egressPolicyOf("baseline-changed", "b", nil), egressPolicyOf("baseline-missing", "a", nil)}}
	for range 2 {
		require.NoError(t, b.keep(t.Context()))
	}
	var list v1alpha1.EgressPolicyList
	require.NoError(t, c.List(t.Context(), &list))
	got := map[string]string{}
	for _, item := range list.Items {
		got[item.Name] = item.Spec.Policy
	}
	assert.Equal(t, map[string]string{"baseline-changed": "b", "baseline-missing": "a", "baseline-like": "x", "copied": "x"}, got)
	changed := &v1alpha1.EgressPolicy{}
	require.NoError(t, c.Get(t.Context(), client.ObjectKey{Name: "baseline-changed"}, changed))
	assert.Equal(t, map[string]string{"team": "a", hop.ManagedByLabel: hop.Manager}, changed.Labels)
}

// TestTheBaselineIsWrittenOnce, however its parameters are written, and once more when it says something else.
func TestTheBaselineIsWrittenOnce(t *testing.T) {
	t.Parallel()
	of := func(parameters string) *v1alpha1.EgressPolicy {
		out := egressPolicyOf("baseline-a", "a", ours)
		out.Spec.Parameters = &apiextensionsv1.JSON{Raw: []byte(parameters)}
		return out
	}
	for parameters, want := range map[string]int{`{"users": ["a"], "groups": [ "b" ]}`: 0, `{"groups": ["c"]}`: 1} {
		updates := 0
		c := interceptor.NewClient(policiesIn(t, of(`{"groups":["b"],"users":["a"]}`)), interceptor.Funcs{
			Update: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.UpdateOption) error {
				updates++
				return c.Update(ctx, object, options...)
			},
		})
		b := &Baseline{Client: c, Policies: []*v1alpha1.EgressPolicy{of(parameters)}}
		for range 2 {
			require.NoError(t, b.keep(t.Context()))
		}
		assert.Equal(t, want, updates, parameters)
	}
}

// inForce is an engine that knows what it was given.
type inForce struct{ set, removed []string }

func (e *inForce) Set(policy *v1alpha1.EgressPolicy) error {
	e.set = append(e.set, policy.Name+" "+policy.Spec.Policy)
	return nil
}

func (*inForce) Unread(*v1alpha1.EgressPolicy) []string { return nil }

func (*inForce) Check(*v1alpha1.EgressPolicy) error { return nil }

func (e *inForce) Remove(name string) { e.removed = append(e.removed, name) }

// TestWhatIsStoredDoesNotChangeTheBaseline: neither a change, nor a deletion, nor what another version keeps, which says that it is not in
// force.
func TestWhatIsStoredDoesNotChangeTheBaseline(t *testing.T) {
	t.Parallel()
	engine, changes := &inForce{}, 0
	p := &Policies{
		engine: engine, changed: func() { changes++ }, baseline: map[string]*v1alpha1.EgressPolicy{"baseline-a": egressPolicyOf("baseline-a", "a", nil), "baseline-gone": nil},
		client: policiesIn(t, egressPolicyOf("baseline-a", "weaker", ours), egressPolicyOf("baseline-next", "next", ours), egressPolicyOf("own", "x", nil)),
	}
	for _, name := range []string{"baseline-a", "baseline-next", "baseline-gone", "own", "own-gone"} {
		_, err := p.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Name: name}})
		require.NoError(t, err)
	}
	slices.Sort(engine.set)
	assert.Equal(t, []string{"own x"}, engine.set)
	assert.Equal(t, []string{"own-gone"}, engine.removed)
	assert.Equal(t, 5, changes)
	for name, reason := range map[string]string{"baseline-a": "InForce", "baseline-next": "NotInForce", "own": "InForce"} {
		stored := &v1alpha1.EgressPolicy{}
		require.NoError(t, p.client.Get(t.Context(), client.ObjectKey{Name: name}, stored))
		require.Len(t, stored.Status.Conditions, 1)
		assert.Equal(t, reason, stored.Status.Conditions[0].Reason, name)
		assert.Equal(t, reason == "InForce", stored.Status.Conditions[0].Status == metav1.ConditionTrue, name)
	}
}

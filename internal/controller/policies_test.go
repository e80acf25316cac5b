package controller

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// engine has policies in force.
type engine map[string]int64

func (e engine) Set(policy *v1alpha1.EgressPolicy) error {
	e[policy.Name] = policy.Generation
	return nil
}

func (engine) Unread(*v1alpha1.EgressPolicy) []string { return nil }

func (engine) Check(*v1alpha1.EgressPolicy) error { return nil }

func (e engine) Remove(name string) { delete(e, name) }

// TestEachVersionOfAPolicyIsToldOnce, when it is in force already.
func TestEachVersionOfAPolicyIsToldOnce(t *testing.T) {
	t.Parallel()
	stored := &v1alpha1.EgressPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p", Generation: 1}}
	cluster := policiesIn(t, stored)
	inForce := engine{}
	p := &Policies{engine: inForce, client: cluster, inForce: map[string]string{}}
	p.loaded.Store(true)
	var told []int64
	p.OnChange(func() { told = append(told, inForce["p"]) })
	reconcile := func() {
		_, err := p.Reconcile(t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Name: "p"}})
		require.NoError(t, err)
	}
	reconcile()
	reconcile()
	assert.Equal(t, []int64{1}, told)
	require.NoError(t, cluster.Get(t.Context(), types.NamespacedName{Name: "p"}, stored))
	stored.Generation = 2
	require.NoError(t, cluster.Update(t.Context(), stored))
	reconcile()
	require.NoError(t, cluster.Delete(t.Context(), stored))
	reconcile()
	assert.Equal(t, []int64{1, 2, 0}, told)
}

// TestReadySaysOfWhatToBeware: a policy that objects escape by their labels is in force, and no wall.
func TestReadySaysOfWhatToBeware(t *testing.T) {
	t.Parallel()
	stored := &v1alpha1.EgressPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p", Generation: 1}}
	stored.Spec.Match.ObjectSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "new"}}
	cluster := policiesIn(t, stored)
	p := &Policies{engine: engine{}, client: cluster}
	_, err := p.Reconcile(t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Name: "p"}})
	require.NoError(t, err)
	require.NoError(t, cluster.Get(t.Context(), types.NamespacedName{Name: "p"}, stored))
	require.Len(t, stored.Status.Conditions, 1)
	assert.Equal(t, metav1.ConditionTrue, stored.Status.Conditions[0].Status)
	assert.Contains(t, stored.Status.Conditions[0].Message, "the policy is in force; beware: spec.match.objectSelector: ")
}

// TestItIsToldWhichVersionOfAPolicyIsInForce, of each that is stored.
func TestItIsToldWhichVersionOfAPolicyIsInForce(t *testing.T) {
	t.Parallel()
	stored := &v1alpha1.EgressPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p", Generation: 3}}
	cluster := policiesIn(t, stored)
	by := &choosy{engine: engine{}}
	p := &Policies{engine: by, client: cluster}
	says := func(inForce, generation int) {
		t.Helper()
		_, err := p.Reconcile(t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Name: "p"}})
		require.NoError(t, err)
		assert.NoError(t, testutil.CollectAndCompare(p.States(), strings.NewReader(fmt.Sprintf(`
# HELP egress_governor_policy_generation The generation of an EgressPolicy that is in force in this replica, 0 for none.
# TYPE egress_governor_policy_generation gauge
egress_governor_policy_generation{policy="p"} %d
# HELP egress_governor_policy_in_force 1 while a stored EgressPolicy is in force in this replica; 0 while its last good version is, or, where there is none, whatever it selects fails.
# TYPE egress_governor_policy_in_force gauge
egress_governor_policy_in_force{policy="p"} %d
`, generation, inForce))))
	}
	by.refuses = errors.New("it does not compile")
	says(0, 0)
	by.refuses = nil
	says(1, 3)
	require.NoError(t, cluster.Get(t.Context(), types.NamespacedName{Name: "p"}, stored))
	stored.Generation = 4
	require.NoError(t, cluster.Update(t.Context(), stored))
	by.refuses = errors.New("it does not compile any more")
	says(0, 3)
	require.NoError(t, cluster.Delete(t.Context(), stored))
	_, err := p.Reconcile(t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Name: "p"}})
	require.NoError(t, err)
	assert.Zero(t, testutil.CollectAndCount(p.States()), "one that is gone is not told of")
}

// choosy is an engine that refuses policies.
type choosy struct {
	engine
	refuses error
}

func (c *choosy) Set(policy *v1alpha1.EgressPolicy) error {
	if c.refuses != nil {
		return c.refuses
	}
	return c.engine.Set(policy)
}

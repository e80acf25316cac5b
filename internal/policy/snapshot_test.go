package policy_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// TestWhomPoliciesSelectIsTold by what holds now: the namespace of the request, its labels and the policies in force, whoever asked before.
func TestWhomPoliciesSelectIsTold(t *testing.T) {
	t.Parallel()
	e := engine(t)
	of := func(name, kind string, enforcement v1alpha1.Enforcement, labels map[string]string, namespaces ...v1alpha1.NamespacePattern) *v1alpha1.EgressPolicy {
		out := inline(name, `deny contains "no"`)
		out.Spec.Enforcement = enforcement
		out.Spec.Match = v1alpha1.Match{Kinds: []v1alpha1.Kind{v1alpha1.Kind(kind)}, Namespaces: namespaces}
		if labels != nil {
			out.Spec.Match.NamespaceSelector = &metav1.LabelSelector{MatchLabels: labels}
		}
		return out
	}
	asked := func(namespace, team, kind string) []string {
		in := review("x")
		in.Kind, in.Namespace.Name, in.Namespace.Labels = kind, namespace, map[string]string{"team": team}
		return e.Evaluate(t.Context(), in).Asked
	}
	require.NoError(t, e.Set(of("routes", "VirtualService", "", nil)))
	require.NoError(t, e.Set(of("team-a", "ServiceEntry", v1alpha1.Audit, map[string]string{"team": "a"})))
	for i := range 100 {
		// More than fit into one word.
		require.NoError(t, e.Set(of(fmt.Sprintf("others-%d", i), "ServiceEntry", "", nil, v1alpha1.NamespacePattern(fmt.Sprintf("other-%d", i)))))
	}
	for range 2 {
		assert.Equal(t, []string{"team-a"}, asked("own", "a", "ServiceEntry"))
		assert.Empty(t, asked("own", "b", "ServiceEntry"), "its labels have changed")
		assert.Equal(t, []string{"routes"}, asked("own", "a", "VirtualService"))
		assert.Equal(t, []string{"others-99", "team-a"}, asked("other-99", "a", "ServiceEntry"))
		assert.Empty(t, asked("own", "a", "Sidecar"))
	}
	require.NoError(t, e.Set(of("others-99", "ServiceEntry", "", nil, "own")))
	assert.Equal(t, []string{"others-99", "team-a"}, asked("own", "a", "ServiceEntry"), "a policy has changed")
	assert.Equal(t, []string{"team-a"}, asked("other-99", "a", "ServiceEntry"))
	e.Remove("team-a")
	assert.Equal(t, []string{"others-99"}, asked("own", "a", "ServiceEntry"))
}

// TestOnceTheRequestIsOverNobodySaysYes: whoever was not asked yet is a failure, however many there are.
func TestOnceTheRequestIsOverNobodySaysYes(t *testing.T) {
	t.Parallel()
	e := engine(t)
	for i := range 3 {
		require.NoError(t, e.Set(inline(fmt.Sprintf("p%d", i), `deny contains "no" if input.name == "bad"`)))
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	cancel(gone)
	got := e.Evaluate(ctx, review("good"))
	require.Len(t, got.Failed, 3)
	for _, failure := range got.Failed {
		require.ErrorIs(t, failure.Err, gone)
	}
}

// TestPoliciesOfOneKeepTheirOwnParameters, though they share what is compiled, and are evaluated at once.
func TestPoliciesOfOneKeepTheirOwnParameters(t *testing.T) {
	t.Parallel()
	e := engine(t)
	for _, name := range []string{"a", "b", "c"} {
		require.NoError(t, e.Set(egressPolicy(name, v1alpha1.EgressPolicySpec{Policy: "listed", Parameters: parameters(`{"names": ["` + name + `"]}`)})))
	}
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			allowed := string("abc"[i%3])
			denied := e.Evaluate(t.Context(), review(allowed)).Denied
			assert.Len(t, denied, 2)
			for _, one := range denied {
				assert.NotEqual(t, allowed, one.Policy)
			}
		})
	}
	wg.Wait()
}

package policy_test

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/policies"
)

func baselineOf(t *testing.T, of policy.Baseline) map[string]*v1alpha1.EgressPolicy {
	t.Helper()
	e, err := policy.NewEngine(policies.Library())
	require.NoError(t, err)
	all, err := e.Baseline(of)
	require.NoError(t, err)
	out := map[string]*v1alpha1.EgressPolicy{}
	for _, one := range all {
		require.NoError(t, e.Set(one))
		out[one.Name] = one
	}
	return out
}

// TestABaselineDoesAtMostWhatIsSaid, and all of it.
func TestABaselineDoesAtMostWhatIsSaid(t *testing.T) {
	t.Parallel()
	for _, enforcement := range []v1alpha1.Enforcement{v1alpha1.Deny, v1alpha1.Warn, v1alpha1.Audit} {
		got := baselineOf(t, policy.Baseline{Enforcement: enforcement})
		require.NotEmpty(t, got)
		for name, one := range got {
			assert.Equal(t, enforcement, one.Spec.Enforcement, name)
		}
	}
	assert.Empty(t, baselineOf(t, policy.Baseline{Enforcement: policy.Off}))
	selector, other := &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}, &metav1.LabelSelector{MatchLabels: map[string]string{"c": "d"}}
	got := baselineOf(t, policy.Baseline{Enforcement: v1alpha1.Warn, NamespaceSelector: selector, Policies: map[string]policy.BaselinePolicy{
		"gateway-binding": {Enforcement: v1alpha1.Deny}, "sidecar-outbound": {Enforcement: policy.Off},
		"envoy-extensions": {Parameters: parameters(`{"namespaces": ["platform"]}`)}, "workload-entries": {NamespaceSelector: other},
	}})
	assert.Equal(t, v1alpha1.Deny, got["baseline-gateway-binding"].Spec.Enforcement)
	assert.NotContains(t, got, "baseline-sidecar-outbound")
	assert.JSONEq(t, `{"namespaces": ["platform"]}`, string(got["baseline-envoy-extensions"].Spec.Parameters.Raw))
	assert.Equal(t, selector, got["baseline-mesh-hosts"].Spec.Match.NamespaceSelector)
	assert.Equal(t, other, got["baseline-workload-entries"].Spec.Match.NamespaceSelector)
}

// TestAPolicyMayComeWithLess than the baseline does, unless the operator names it.
func TestAPolicyMayComeWithLess(t *testing.T) {
	t.Parallel()
	e, err := policy.NewEngine(fstest.MapFS{"lax/lax.rego": {Data: []byte("# METADATA\n# custom: {baseline: {enforcement: Warn}}\npackage policies.lax\ndeny contains \"no\"\n")}})
	require.NoError(t, err)
	for want, of := range map[v1alpha1.Enforcement]policy.Baseline{
		v1alpha1.Warn: {Enforcement: v1alpha1.Deny}, v1alpha1.Audit: {Enforcement: v1alpha1.Audit},
		v1alpha1.Deny: {Enforcement: v1alpha1.Audit, Policies: map[string]policy.BaselinePolicy{"lax": {Enforcement: v1alpha1.Deny}}},
	} {
		got, err := e.Baseline(of)
		require.NoError(t, err)
		require.Len(t, got, 1)
		assert.Equal(t, want, got[0].Spec.Enforcement)
	}
}

func TestABaselineNamesWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	e, err := policy.NewEngine(policies.Library())
	require.NoError(t, err)
	_, err = e.Baseline(policy.Baseline{Enforcement: v1alpha1.Deny, Policies: map[string]policy.BaselinePolicy{
		"allowed-hosts": {}, "envoy-extensions": {Parameters: parameters(`{"namespace": "x"}`)},
	}})
	require.ErrorContains(t, err, "policies.allowed-hosts: the baseline has no such policy")
	require.ErrorContains(t, err, "policies.envoy-extensions: spec.parameters")
}

// TestKindsAreThoseOfTheMetadata, or the four, unless the policy names its own.
func TestKindsAreThoseOfTheMetadata(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		rego  string
		match []v1alpha1.Kind
		want  []v1alpha1.Kind
	}{
		"inline":              {"package any\ndeny contains \"no\"", nil, v1alpha1.DefaultKinds},
		"inline with its own": {"# METADATA\n# custom: {kinds: [Sidecar]}\npackage any\ndeny contains \"no\"", nil, []v1alpha1.Kind{"Sidecar"}},
		"matched":             {"# METADATA\n# custom: {kinds: [Sidecar]}\npackage any\ndeny contains \"no\"", []v1alpha1.Kind{"Gateway"}, []v1alpha1.Kind{"Gateway"}},
		"broken":              {"package any\ndeny contains", nil, v1alpha1.DefaultKinds},
	} {
		e := engine(t)
		p := egressPolicy("p", v1alpha1.EgressPolicySpec{Rego: tc.rego, Match: v1alpha1.Match{Kinds: tc.match}})
		assert.Equal(t, name == "broken", e.Set(p) != nil, name)
		assert.Equal(t, tc.want, e.Kinds(), name)
	}
	require.ErrorContains(t, engine(t).Check(inline("p", "")), "neither deny nor warn")
	err := engine(t).Check(egressPolicy("p", v1alpha1.EgressPolicySpec{Rego: "# METADATA\n# custom: {kinds: [Sidecars]}\npackage any\ndeny contains \"no\""}))
	require.ErrorContains(t, err, `custom.kinds: "Sidecars" is not governed`)
}

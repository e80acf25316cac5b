package policy_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/policies"
)

const loud = `package loud

import data.policies.lib.result

# METADATA
# title: No a
# custom:
#   msg: there is %s
deny contains result.of(rego.metadata.rule(), input.name, [input.name], []) if {
	print("asked of", input.name)
	input.name == "a"
}

deny contains "it is a" if {
	some name in [input.name, "a"]
	input.name == "a"
}

warn contains "it is b" if {
	input.name == "b"
}
`

func observed(t *testing.T, of *v1alpha1.EgressPolicy, name string, watch policy.Watch) (policy.Observed, error) {
	t.Helper()
	engine, err := policy.NewEngine(policies.Library())
	require.NoError(t, err)
	return engine.Observe(t.Context(), of, policy.Review{
		Kind: "ServiceEntry", Namespace: policy.Namespace{Name: "app", Labels: map[string]string{"team": "a"}}, Document: map[string]any{"name": name},
	}, watch)
}

func own(rego string) *v1alpha1.EgressPolicy {
	out := &v1alpha1.EgressPolicy{Spec: v1alpha1.EgressPolicySpec{Rego: rego}}
	out.Name = "loud"
	return out
}

// TestSentencesHaveTheirRules, each at its own line, and what is printed has its too.
func TestSentencesHaveTheirRules(t *testing.T) {
	t.Parallel()
	out, err := observed(t, own(loud), "a", policy.Watch{})
	require.NoError(t, err)
	assert.True(t, out.Asked)
	assert.Equal(t, []policy.Printed{{File: "loud.rego", Line: 10, Text: "asked of a"}}, out.Printed)
	assert.ElementsMatch(t, []policy.Said{
		{Violation: policy.Violation{Policy: "loud", Code: "no-a", Field: "a", Message: "there is a"}, Rule: "deny", File: "loud.rego", Line: 9},
		{Violation: policy.Violation{Policy: "loud", Message: "it is a"}, Rule: "deny", File: "loud.rego", Line: 14},
	}, out.Said)
	assert.Empty(t, out.Trace)
	out, err = observed(t, own(loud), "b", policy.Watch{Trace: true})
	require.NoError(t, err)
	assert.Equal(t, []policy.Said{{Violation: policy.Violation{Policy: "loud", Message: "it is b"}, Rule: "warn", File: "loud.rego", Line: 19}}, out.Said)
	assert.Contains(t, out.Trace, "loud.rego:20")
}

// TestObservingSaysWhyAPolicyIsAsked, and that one which cannot be evaluated is none that says nothing.
func TestObservingSaysWhyAPolicyIsAsked(t *testing.T) {
	t.Parallel()
	selecting := own(loud)
	selecting.Spec.Match.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "a"}}
	other := own(loud)
	other.Spec.Match.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "b"}}
	kinds := own(loud)
	kinds.Spec.Match.Kinds = []v1alpha1.Kind{"Sidecar"}
	for want, of := range map[string]*v1alpha1.EgressPolicy{
		"it selects every governed namespace": own(loud), `it selects namespace "app" by namespaceSelector team=a`: selecting,
		`its match does not select this of namespace "app": namespaceSelector team=b`: other, "it does not evaluate ServiceEntry": kinds,
	} {
		out, err := observed(t, of, "a", policy.Watch{})
		require.NoError(t, err)
		assert.Equal(t, want, out.Why)
		assert.Equal(t, of != other && of != kinds, out.Asked)
		assert.Equal(t, out.Asked, len(out.Said) > 0)
	}
	_, err := observed(t, own("package loud\ndeny contains x if { x := 1 / count(input.none) }\ndeny contains \"y\" if 1 / (count(input.name) - 1) == 1\n"), "a", policy.Watch{})
	require.ErrorContains(t, err, "divide by zero")
	_, err = observed(t, own("package"), "a", policy.Watch{})
	assert.Error(t, err)
}

// TestObservingSaysWhomAPolicyExempts, as it is not asked about what such a user writes.
func TestObservingSaysWhomAPolicyExempts(t *testing.T) {
	t.Parallel()
	engine, err := policy.NewEngine(policies.Library())
	require.NoError(t, err)
	of := own(loud)
	of.Spec.Match.ExcludeUsers = []v1alpha1.UserName{"ann"}
	out, err := engine.Observe(t.Context(), of, policy.Review{
		Kind: "ServiceEntry", Namespace: policy.Namespace{Name: "app"}, User: policy.User{Name: "ann"}, Document: map[string]any{"name": "a"},
	}, policy.Watch{})
	require.NoError(t, err)
	assert.False(t, out.Asked)
	assert.Equal(t, `it does not apply to user "ann": excludeUsers ["ann"]`, out.Why)
	assert.Empty(t, out.Said)
}

// TestTheWebhookPrintsNothing: print statements are left out of what is in force, and cost nothing.
func TestTheWebhookPrintsNothing(t *testing.T) {
	t.Parallel()
	engine, err := policy.NewEngine(policies.Library())
	require.NoError(t, err)
	require.NoError(t, engine.Set(own(loud)))
	decision := engine.Evaluate(t.Context(), policy.Review{Kind: "ServiceEntry", Namespace: policy.Namespace{Name: "app"}, Document: map[string]any{"name": "a"}})
	assert.Len(t, decision.Denied, 2)
	assert.Empty(t, decision.Failed)
}

// TestWhatExplodesIsCutOffWhileItIsObserved, as where it decides: in memory, traced or not. What was traced until then is there.
func TestWhatExplodesIsCutOffWhileItIsObserved(t *testing.T) {
	policy.Patient(t)
	for _, name := range []string{"a range without end", "a network's addresses"} {
		for _, watch := range []policy.Watch{{}, {Trace: true, Coverage: policy.NewCoverage()}} {
			of := own("package loud\n\n" + exploding[name].rules + "\n")
			out, err := observed(t, of, "a", watch)
			require.ErrorContains(t, err, "MiB of memory", name)
			assert.True(t, out.Asked)
			assert.Equal(t, watch.Trace, out.Trace != "", name)
			assert.LessOrEqual(t, strings.Count(out.Trace, "\n"), 110_000)
			if watch.Coverage != nil {
				covered, _, err := watch.Coverage.Of(of)
				require.NoError(t, err)
				assert.NotZero(t, covered.Of)
			}
		}
	}
}

package policy_test

import (
	"context"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/policy"
)

const listed = `# METADATA
# custom:
#   parameters:
#     type: object
#     additionalProperties: false
#     required: [names]
#     properties:
#       names: {type: array, uniqueItems: true, items: {type: string}}
package policies.listed

import data.policies.lib.say

deny contains {"msg": say.no(input.name), "field": "metadata.name", "fix": "rename it", "code": "unlisted"} if {
	is_set(input.parameters.names)
	not input.name in input.parameters.names
}
`

func engine(t testing.TB) *policy.Engine {
	t.Helper()
	out, err := policy.NewEngine(fstest.MapFS{
		"listed/listed.rego":      {Data: []byte(listed)},
		"listed/listed_test.rego": {Data: []byte("package broken {")},
		"lib/say/say.rego":        {Data: []byte("package policies.lib.say\n\nno(name) := sprintf(\"%s is not listed\", [name])\n")},
	})
	require.NoError(t, err)
	return out
}

func egressPolicy(name string, spec v1alpha1.EgressPolicySpec) *v1alpha1.EgressPolicy {
	return &v1alpha1.EgressPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
}

func parameters(text string) *apiextensionsv1.JSON { return &apiextensionsv1.JSON{Raw: []byte(text)} }

func inline(name, rules string) *v1alpha1.EgressPolicy {
	return egressPolicy(name, v1alpha1.EgressPolicySpec{Rego: "package any\n" + rules})
}

func review(name string) policy.Review {
	return policy.Review{Kind: "ServiceEntry", Namespace: policy.Namespace{Name: "own", Labels: map[string]string{"team": "a"}}, Document: map[string]any{"name": name}}
}

func TestEvaluateSaysWhatThePolicySays(t *testing.T) {
	t.Parallel()
	e := engine(t)
	require.NoError(t, e.Set(egressPolicy("b", v1alpha1.EgressPolicySpec{Policy: "listed", Parameters: parameters(`{"names": ["good"]}`)})))
	require.NoError(t, e.Set(inline("a", `deny contains "plain" if input.name == "bad"`+"\n"+`warn contains "careful" if input.name == "bad"`)))
	assert.Equal(t, policy.Decision{Asked: []string{"a", "b"}}, e.Evaluate(t.Context(), review("good")))
	assert.Equal(t, policy.Decision{
		Denied: []policy.Violation{
			{Policy: "a", Message: "plain"},
			{Policy: "b", Library: "listed", Code: "unlisted", Field: "metadata.name", Message: "bad is not listed", Fix: "rename it"},
		},
		Warned: []policy.Violation{{Policy: "a", Message: "careful"}},
		Asked:  []string{"a", "b"},
	}, e.Evaluate(t.Context(), review("bad")))
	e.Remove("b")
	assert.Len(t, e.Evaluate(t.Context(), review("bad")).Denied, 1)
}

// TestAFixOfThePackageServesWhereTheResultHasNone: METADATA says once what every rule of a policy advises.
func TestAFixOfThePackageServesWhereTheResultHasNone(t *testing.T) {
	t.Parallel()
	e := engine(t)
	rego := "# METADATA\n# custom:\n#   fix: ask us\npackage any\ndeny contains \"plain\"\ndeny contains {\"msg\": \"own\", \"fix\": \"do this\"}\n"
	require.NoError(t, e.Set(egressPolicy("p", v1alpha1.EgressPolicySpec{Rego: rego})))
	assert.Equal(t, []policy.Violation{
		{Policy: "p", Message: "own", Fix: "do this"}, {Policy: "p", Message: "plain", Fix: "ask us"},
	}, e.Evaluate(t.Context(), review("x")).Denied)
}

func TestMatchNarrows(t *testing.T) {
	t.Parallel()
	always := "package any\ndeny contains \"no\""
	for name, tc := range map[string]struct {
		match v1alpha1.Match
		want  int
	}{
		"everything":      {v1alpha1.Match{}, 1},
		"the kind":        {v1alpha1.Match{Kinds: []v1alpha1.Kind{"ServiceEntry"}}, 1},
		"another kind":    {v1alpha1.Match{Kinds: []v1alpha1.Kind{"VirtualService"}}, 0},
		"the label":       {v1alpha1.Match{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "a"}}}, 1},
		"another label":   {v1alpha1.Match{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "b"}}}, 0},
		"an empty select": {v1alpha1.Match{NamespaceSelector: &metav1.LabelSelector{}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := engine(t)
			require.NoError(t, e.Set(egressPolicy("p", v1alpha1.EgressPolicySpec{Rego: always, Match: tc.match})))
			assert.Len(t, e.Evaluate(t.Context(), review("x")).Denied, tc.want)
		})
	}
}

func TestWhatIsNotAPolicyIsRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		spec v1alpha1.EgressPolicySpec
		want string
	}{
		"nothing":             {v1alpha1.EgressPolicySpec{}, "exactly one"},
		"the network":         {v1alpha1.EgressPolicySpec{Rego: "package a\ndeny contains \"x\" if http.send({})"}, "p.rego:2"},
		"name resolution":     {v1alpha1.EgressPolicySpec{Rego: "package a\ndeny contains \"x\" if net.lookup_ip_addr(\"a\")"}, "p.rego:2"},
		"the environment":     {v1alpha1.EgressPolicySpec{Rego: "package a\ndeny contains \"x\" if opa.runtime()"}, "p.rego:2"},
		"the clock":           {v1alpha1.EgressPolicySpec{Rego: "package a\ndeny contains \"x\" if time.now_ns() > 0"}, "p.rego:2"},
		"chance":              {v1alpha1.EgressPolicySpec{Rego: "package a\ndeny contains \"x\" if rand.intn(\"a\", 2) == 1"}, "p.rego:2"},
		"an unused variable":  {v1alpha1.EgressPolicySpec{Rego: "package a\ndeny contains \"x\" if {\n  y := 1\n}"}, "p.rego:3"},
		"a rule of one value": {v1alpha1.EgressPolicySpec{Rego: "package a\ndeny := true"}, "p.rego:2"},
		"no rule to ask":      {v1alpha1.EgressPolicySpec{Rego: "package a\nallow := true"}, "neither deny nor warn"},
		"Rego of old":         {v1alpha1.EgressPolicySpec{Rego: "package a\ndeny[msg] { msg := \"x\" }"}, "p.rego:2"},
		"the library's name":  {v1alpha1.EgressPolicySpec{Rego: "package policies.lib.say\ndeny contains \"x\""}, "library's own"},
		"a wrong parameter":   {v1alpha1.EgressPolicySpec{Policy: "listed", Parameters: parameters(`{"names": [1]}`)}, "spec.parameters.names[0]: got number, want string"},
		"a missing parameter": {v1alpha1.EgressPolicySpec{Policy: "listed"}, "spec.parameters: missing property 'names'"},
		"an unknown policy":   {v1alpha1.EgressPolicySpec{Policy: "other"}, "it has listed"},
		"a bad selector": {v1alpha1.EgressPolicySpec{Rego: "package a\ndeny contains \"x\"", Match: v1alpha1.Match{NamespaceSelector: &metav1.LabelSelector{
			MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Like"}},
		}}}, "spec.match.namespaceSelector"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := engine(t).Check(egressPolicy("p", tc.spec))
			require.Error(t, err)
			assert.Contains(t, err.Error(), tc.want)
		})
	}
}

func TestBadPolicyNeverReplacesAGoodOne(t *testing.T) {
	t.Parallel()
	e := engine(t)
	require.NoError(t, e.Set(inline("p", `deny contains "good" if input.name`)))
	require.Error(t, e.Set(inline("p", `deny contains`)))
	assert.Equal(t, []policy.Violation{{Policy: "p", Message: "good"}}, e.Evaluate(t.Context(), review("x")).Denied)
}

func TestFailureFollowsTheEnforcement(t *testing.T) {
	t.Parallel()
	for name, rules := range map[string]string{
		"never compiled":  `deny contains`,
		"a runtime error": `deny contains "x" if to_number(input.name) == 1`,
		"a bad result":    `deny contains 7`,
		"no message":      `deny contains {"field": "spec"}`,
		"a bad field":     `deny contains {"msg": "x", "field": 1}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, enforcement := range []v1alpha1.Enforcement{v1alpha1.Deny, v1alpha1.Warn, v1alpha1.Audit} {
				e := engine(t)
				p := inline("p", rules)
				p.Spec.Enforcement = enforcement
				_ = e.Set(p)
				got := e.Evaluate(t.Context(), review("x"))
				found := map[v1alpha1.Enforcement]int{v1alpha1.Deny: len(got.Failed), v1alpha1.Warn: len(got.Warned), v1alpha1.Audit: len(got.Audited)}
				assert.Empty(t, got.Denied)
				for other, count := range found {
					assert.Equal(t, other == enforcement, count == 1, "%s under %s", other, enforcement)
				}
			}
		})
	}
}

// endless is a rule that no time is enough for.
const endless = `deny contains "x" if count([1 | some i in numbers.range(1, 100000); some j in numbers.range(1, 100000); i == j]) < 0`

// TestASlowPolicyTakesItsOwnTime: one that only audits fails neither those that deny nor those that come after it.
func TestASlowPolicyTakesItsOwnTime(t *testing.T) {
	t.Parallel()
	e := engine(t)
	slow, tells := inline("a", endless), inline("b", `deny contains "told"`)
	slow.Spec.Enforcement, tells.Spec.Enforcement = v1alpha1.Audit, v1alpha1.Audit
	for _, p := range []*v1alpha1.EgressPolicy{slow, tells, inline("z", `deny contains "no"`)} {
		require.NoError(t, e.Set(p))
	}
	got := e.Evaluate(t.Context(), review("x"))
	assert.Empty(t, got.Failed)
	require.Len(t, got.Denied, 1)
	assert.Equal(t, "no", got.Denied[0].Message)
	require.Len(t, got.Audited, 2)
	assert.Equal(t, policy.CodeEvaluationFailed, got.Audited[0].Code)
	assert.Equal(t, "told", got.Audited[1].Message)

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	assert.Len(t, e.Evaluate(ctx, review("x")).Denied, 1, "those that deny come first")
}

func TestTimeIsUp(t *testing.T) {
	t.Parallel()
	e := engine(t)
	require.NoError(t, e.Set(inline("p", endless)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.Len(t, e.Evaluate(ctx, review("x")).Failed, 1)
}

func TestPoliciesChangeUnderLoad(t *testing.T) {
	t.Parallel()
	e := engine(t)
	first, second := inline("p", `deny contains "one"`), inline("p", `deny contains "two"`)
	require.NoError(t, e.Set(first))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				got := e.Evaluate(t.Context(), review("x"))
				if assert.Len(t, got.Denied, 1) {
					assert.Contains(t, []string{"one", "two"}, got.Denied[0].Message)
				}
			}
		})
	}
	for i := range 20 {
		next := first
		if i%2 == 0 {
			next = second
		}
		require.NoError(t, e.Set(next))
	}
	wg.Wait()
}

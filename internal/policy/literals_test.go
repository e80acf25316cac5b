package policy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/policies"
)

// TestWhatIsNoResultIsRefused at apply, where that stands in the rule, or the compiler knows it: it would fail whatever it is said of. What may be
// one is left.
func TestWhatIsNoResultIsRefused(t *testing.T) {
	t.Parallel()
	engine, err := policy.NewEngine(policies.Library())
	require.NoError(t, err)
	for rule, want := range map[string]string{
		`deny contains 5 if input.name == "x"`:                                          "p.rego:3: a result of deny is a text, or an object with msg: this is a number",
		`warn contains true if input.name == "x"`:                                       "a result of warn is a text, or an object with msg: this is a boolean",
		`deny contains null`:                                                            "this is a null",
		`deny contains ["a"] if input.name == "x"`:                                      "this is an array",
		`deny contains {"a"} if input.name == "x"`:                                      "this is a set",
		`deny contains [x | some x in input.egress.hosts]`:                              "this is an array",
		`deny contains {"message": "no"}`:                                               "this has none",
		`deny contains {"msg": 5}`:                                                      "its msg is a number",
		`deny contains {"msg": "no", "code": ["a"]}`:                                    "its code is an array",
		`deny contains x if { x := 5 }`:                                                 "this is a number",
		`deny contains n if n := count(input.egress.hosts)`:                             "this is a number",
		`deny contains input.egress.allClients if input.name == "x"`:                    "",
		`deny contains "no"`:                                                            "",
		`deny contains sprintf("%s", [input.name])`:                                     "",
		`deny contains {"msg": sprintf("%s", [input.name]), "field": input.name}`:       "",
		`deny contains {"msg": concat("", ["a"]), "code": "c", "field": "", "fix": ""}`: "",
		`deny contains object.union({"msg": "a"}, {"code": "b"})`:                       "",
		`deny contains x if some x in input.parameters`:                                 "",
		`deny contains {input.name: "a"}`:                                               "",
		`deny contains $"no {input.name}"`:                                              "",
		`deny contains {"msg": $"no {input.name}"}`:                                     "",
		"deny contains 5 if false\n\ndeny contains \"no\"":                              "this is a number",
	} {
		err := engine.Check(&v1alpha1.EgressPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: v1alpha1.EgressPolicySpec{Rego: "package p\n\n" + rule}})
		if want == "" {
			assert.NoError(t, err, rule)
		} else {
			assert.ErrorContains(t, err, want, rule)
		}
	}
}

package policy_test

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/policy"
)

// TestTimedPoliciesAreThoseThatReadTheTime, by whatever way they come to it.
func TestTimedPoliciesAreThoseThatReadTheTime(t *testing.T) {
	t.Parallel()
	lib := fstest.MapFS{"lib/clock.rego": {Data: []byte("package policies.lib.clock\n\nafter(end) if input.time > end\n\nname := input.name\n")}}
	for name, tc := range map[string]struct {
		rego string
		want bool
	}{
		"never":             {`deny contains "no" if input.name == "x"`, false},
		"of its own field":  {`deny contains "no" if input.object.time == "x"`, false},
		"a helper without":  {"import data.policies.lib.clock\n" + `deny contains "no" if clock.name == "x"`, false},
		"straight":          {`deny contains "no" if input.time > "2026"`, true},
		"in a rule behind":  {"deny contains \"no\" if late\nlate if input.time > \"2026\"", true},
		"imported":          {"import input.time as now\n" + `deny contains "no" if now > "2026"`, true},
		"by a helper":       {"import data.policies.lib.clock\n" + `deny contains "no" if clock.after("2026")`, true},
		"in a function":     {"late(x) if input.time > x\n" + `deny contains "no" if late("2026")`, true},
		"by another name":   {`deny contains "no" if { all := input; all.time > "2026" }`, true},
		"by any key":        {`deny contains "no" if { some key; input[key] == "2026" }`, true},
		"in a warning":      {`warn contains "soon" if input.time > "2026"`, true},
		"in an else branch": {"late if input.name == \"x\" else := input.time > \"2026\"\n" + `deny contains "no" if late`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, err := policy.NewEngine(lib)
			require.NoError(t, err)
			p := &v1alpha1.EgressPolicy{Spec: v1alpha1.EgressPolicySpec{Rego: "package own\n\n" + tc.rego + "\n"}}
			p.Name = "p"
			require.NoError(t, e.Set(p))
			assert.Equal(t, tc.want, len(e.Timed()) == 1)
		})
	}
}

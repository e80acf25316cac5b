package suite

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/policy"
)

// Covered is how much of the Rego of an EgressPolicy was evaluated.
type Covered struct {
	Policy string
	// Rego is what the lines are of.
	Rego string
	// Lines are how many were, of Of.
	Lines, Of int
	// Missing are the places of those that were not.
	Missing []string
}

// Covered says how much of their own Rego was evaluated, of each EgressPolicy of the suite that has some.
func (o *Outcome) Covered(by *policy.Coverage) (out []Covered, err error) {
	for _, object := range o.Policies {
		source, is, _ := unstructured.NestedString(object.Object, "spec", "rego")
		if !is {
			continue
		}
		of := &v1alpha1.EgressPolicy{Spec: v1alpha1.EgressPolicySpec{Rego: source}}
		of.Name = object.GetName()
		lines, own, err := by.Of(of)
		if err != nil {
			return nil, err
		}
		if !own {
			continue
		}
		one := Covered{Policy: of.Name, Rego: source, Lines: lines.Lines, Of: lines.Of}
		for _, missing := range lines.Missing {
			one.Missing = append(one.Missing, dryrun.RegoPlace(object, missing[0]))
		}
		one.Missing = slices.Compact(one.Missing)
		out = append(out, one)
	}
	return out, nil
}

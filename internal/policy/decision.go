package policy

import (
	"cmp"
	"slices"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// add files what one policy said for a client, as its enforcement has it.
func (d *Decision) add(asked question, said answer) {
	policy, client, denied, warned, err := asked.policy, asked.client, said.denied, said.warned, said.err
	if err != nil && policy.enforcement == v1alpha1.Deny {
		d.Failed = append(d.Failed, Failure{Policy: policy.name, Client: client, Err: err, Docs: policy.wording.docs})
		return
	}
	if err != nil {
		denied = []Violation{{Policy: policy.name, Library: policy.library, Code: CodeEvaluationFailed, Message: "policy could not be evaluated: " + err.Error(), Docs: policy.wording.docs}}
	}
	for _, violations := range [][]Violation{denied, warned} {
		for i := range violations {
			violations[i].Client = client
		}
	}
	switch policy.enforcement {
	case v1alpha1.Deny:
		d.Denied = append(d.Denied, denied...)
		d.Warned = append(d.Warned, warned...)
	case v1alpha1.Warn:
		d.Warned = append(append(d.Warned, denied...), warned...)
	case v1alpha1.Audit:
		d.Audited = append(append(d.Audited, denied...), warned...)
	}
}

func (d *Decision) sort() {
	slices.Sort(d.Asked)
	slices.Sort(d.Exempt)
	for _, violations := range [][]Violation{d.Denied, d.Warned, d.Audited} {
		slices.SortFunc(violations, func(a, b Violation) int {
			return cmp.Or(cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.Field, b.Field), cmp.Compare(a.Message, b.Message), cmp.Compare(a.Code, b.Code))
		})
	}
}

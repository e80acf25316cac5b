package main

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/internal/report"
	"github.com/egress-governor/egress-governor/internal/suite"
)

// covered says how much of their own Rego suites evaluate together. The error is that of two EgressPolicies of one name, whose lines
// nobody could tell apart.
func covered(by *policy.Coverage, outcomes []*suite.Outcome) (out []report.Coverage, err error) {
	seen := map[string]string{}
	for _, outcome := range outcomes {
		of, err := outcome.Covered(by)
		if err != nil {
			return nil, err
		}
		for _, one := range of {
			if rego, is := seen[one.Policy]; is {
				if rego != one.Rego {
					return nil, fmt.Errorf("%s: EgressPolicy %s has other Rego than in a suite before: have them covered one by one", outcome.File, one.Policy)
				}
				continue
			}
			seen[one.Policy] = one.Rego
			out = append(out, report.Coverage{
				Policy: one.Policy, Covered: one.Lines, Lines: one.Of, Percent: 100 * float64(one.Lines) / float64(max(one.Of, 1)), Missing: one.Missing,
			})
		}
	}
	slices.SortFunc(out, func(a, b report.Coverage) int { return cmp.Compare(a.Policy, b.Policy) })
	return out, nil
}

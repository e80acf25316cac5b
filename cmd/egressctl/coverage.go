package main

import (
	"cmp"
	"slices"

	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/internal/report"
	"github.com/egress-governor/egress-governor/internal/suite"
)

// covered says how much of their own Rego suites evaluate together.
func covered(by *policy.Coverage, outcomes []*suite.Outcome) (out []report.Coverage, err error) {
	seen := map[string]bool{}
	for _, outcome := range outcomes {
		of, err := outcome.Covered(by)
		if err != nil {
			return nil, err
		}
		for _, one := range of {
			if !seen[one.Policy] {
				seen[one.Policy] = true
				out = append(out, report.Coverage{
					Policy: one.Policy, Covered: one.Lines, Lines: one.Of, Percent: 100 * float64(one.Lines) / float64(max(one.Of, 1)), Missing: one.Missing,
				})
			}
		}
	}
	slices.SortFunc(out, func(a, b report.Coverage) int { return cmp.Compare(a.Policy, b.Policy) })
	return out, nil
}

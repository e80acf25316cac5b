package report

import (
	"fmt"

	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/suite"
)

// Tests is what came of suites.
type Tests struct {
	APIVersion string      `json:"apiVersion"`
	Kind       string      `json:"kind"`
	Summary    TestSummary `json:"summary"`
	Suites     []TestSuite `json:"suites"`
	Coverage   []Coverage  `json:"coverage,omitempty"`
}

// TestSummary counts cases.
type TestSummary struct {
	Cases  int `json:"cases"`
	Passed int `json:"passed"`
	Failed int `json:"failed"`
	Errors int `json:"errors"`
}

// TestSuite is one suite.
type TestSuite struct {
	File  string     `json:"file"`
	Cases []TestCase `json:"cases"`
	// Unasked are the EgressPolicies that no case is about, which fails the suite.
	Unasked []string `json:"unasked,omitempty"`
}

// TestCase is one case: passed, failed or, where that cannot be told, error.
type TestCase struct {
	Name     string        `json:"name"`
	Line     int           `json:"line"`
	Result   string        `json:"result"`
	Failures []TestFailure `json:"failures,omitempty"`
	Error    string        `json:"error,omitempty"`
	Notes    []string      `json:"notes,omitempty"`
	Updated  []string      `json:"updated,omitempty"`
}

// TestFailure is an expectation that does not hold.
type TestFailure struct {
	Line    int    `json:"line"`
	Message string `json:"message"`
}

// Coverage is how much of the Rego of an EgressPolicy was evaluated.
type Coverage struct {
	Policy  string  `json:"policy"`
	Covered int     `json:"covered"`
	Lines   int     `json:"lines"`
	Percent float64 `json:"percent"`
	// Missing are the places of what was not, such as policies/owned.yaml:23.
	Missing []string `json:"missing,omitempty"`
}

// The results of a case.
const (
	passed  = "passed"
	failed  = "failed"
	errored = "error"
)

// marks are how results stand before a line.
var marks = map[string]string{passed: "ok", failed: "FAIL", errored: "ERROR"}

// NewTests returns the report of suites, in their order.
func NewTests(outcomes []*suite.Outcome) *Tests {
	out := &Tests{APIVersion: "report.egress-governor.io/v1alpha1", Kind: "TestReport", Suites: []TestSuite{}}
	for _, outcome := range outcomes {
		of := TestSuite{File: outcome.File, Cases: []TestCase{}}
		for _, result := range outcome.Results {
			of.Cases = append(of.Cases, caseOf(result))
		}
		for _, policy := range outcome.Unasked {
			of.Unasked = append(of.Unasked, fmt.Sprintf("%s: no case is about what EgressPolicy %s selects, so nothing that the suite says is due to it",
				manifest.Place(policy.File, policy.Line), policy.GetName()))
		}
		for _, one := range of.Cases {
			out.Summary.Cases++
			switch one.Result {
			case passed:
				out.Summary.Passed++
			case failed:
				out.Summary.Failed++
			default:
				out.Summary.Errors++
			}
		}
		out.Suites = append(out.Suites, of)
	}
	return out
}

func caseOf(result suite.Result) TestCase {
	out := TestCase{Name: result.Name, Line: result.Line, Result: passed, Notes: result.Notes, Updated: result.Updated}
	for _, failure := range result.Failures {
		out.Result = failed
		out.Failures = append(out.Failures, TestFailure{failure.Line, failure.Text})
	}
	if result.Err != nil {
		out.Result, out.Error = errored, result.Err.Error()
	}
	return out
}

// Failed says whether something that was expected did not come.
func (t *Tests) Failed() bool {
	for _, of := range t.Suites {
		if len(of.Unasked) > 0 {
			return true
		}
	}
	return t.Summary.Failed > 0
}

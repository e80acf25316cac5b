package policy

import (
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// Coverage is which lines of policies were evaluated.
type Coverage struct {
	// mu: an evaluation that was left behind goes on.
	mu    sync.Mutex
	cover *cover.Cover
}

// Enabled implements topdown.QueryTracer.
func (c *Coverage) Enabled() bool { return true }

// Config implements topdown.QueryTracer.
func (c *Coverage) Config() topdown.TraceConfig { return c.cover.Config() }

// TraceEvent implements topdown.QueryTracer.
func (c *Coverage) TraceEvent(event topdown.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cover.TraceEvent(event)
}

// NewCoverage returns one in which nothing was evaluated.
func NewCoverage() *Coverage { return &Coverage{cover: cover.New()} }

// Covered is how much of a policy was evaluated.
type Covered struct {
	Lines, Of int
	// Missing are the first and last lines of what was not, in their order.
	Missing [][2]int
}

// Of returns how much of the Rego of an EgressPolicy was evaluated, false for one that uses the library's. The error is that of
// one that does not parse.
func (c *Coverage) Of(policy *v1alpha1.EgressPolicy) (out Covered, own bool, err error) {
	if policy.Spec.Rego == "" {
		return out, false, nil
	}
	name := policy.Name + ".rego"
	module, err := parse(name, policy.Spec.Rego)
	if err != nil || module == nil {
		return out, false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	report := c.cover.Report(map[string]*ast.Module{name: module}).Files[name]
	for _, missing := range report.NotCovered {
		out.Missing = append(out.Missing, [2]int{missing.Start.Row, missing.End.Row})
	}
	out.Lines, out.Of = report.CoveredLines, report.CoveredLines+report.NotCoveredLines
	return out, true, nil
}

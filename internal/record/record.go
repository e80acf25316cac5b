// Package record keeps account of what was decided: in metrics and in the log.
package record

import (
	"context"
	"fmt"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/egress-governor/egress-governor/internal/review"
)

// Recorder counts decisions and logs what is only recorded. It is safe for concurrent use.
type Recorder struct {
	decisions, findings *prometheus.CounterVec
	tally               func(policy string, effects map[review.Effect]bool)
	decided             func(req review.Request, outcome *review.Outcome)
}

// Tell has a function told of every policy that was asked about a request, with the effects of what it said.
func (r *Recorder) Tell(tally func(policy string, effects map[review.Effect]bool)) { r.tally = tally }

// TellDecisions has a function told of every outcome.
func (r *Recorder) TellDecisions(decided func(req review.Request, outcome *review.Outcome)) {
	r.decided = decided
}

// New returns a Recorder with its metrics registered; a nil registerer takes none. The error is that of registering.
func New(registerer prometheus.Registerer) (*Recorder, error) {
	out := &Recorder{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "egress_governor_decisions_total",
			Help: "Validated requests by kind, operation and verdict (allowed, denied, refused, failed); dry runs are not counted.",
		}, []string{"kind", "operation", "verdict"}),
		findings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "egress_governor_violations_total",
			Help: "Findings by EgressPolicy (empty for what no policy found), code and effect (denied, refused, failed, warned, audited); dry runs are not counted.",
		}, []string{"policy", "code", "effect"}),
	}
	if registerer == nil {
		return out, nil
	}
	for _, collector := range []prometheus.Collector{out.decisions, out.findings} {
		if err := registerer.Register(collector); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return out, nil
}

// maxLogged bounds what one object has logged: its author writes the object, and the log is everybody's.
const maxLogged = 20

// Record takes account of an outcome. A dry run leaves no trace.
func (r *Recorder) Record(ctx context.Context, req review.Request, outcome *review.Outcome) {
	if req.DryRun {
		return
	}
	r.decisions.WithLabelValues(req.Object.GetKind(), string(req.Operation), string(outcome.Verdict)).Inc()
	logger := logr.FromContextOrDiscard(ctx).WithValues("kind", req.Object.GetKind(), "namespace", req.Namespace.Name, "name", req.Name)
	if exempt := outcome.Exempt; len(exempt.Policies) > 0 {
		logger.Info("User is excluded", "user", exempt.User, "from", exempt.From())
	}
	r.tell(outcome)
	if r.decided != nil {
		r.decided(req, outcome)
	}
	audited := 0
	for _, finding := range outcome.Findings {
		r.findings.WithLabelValues(finding.Policy, finding.Code, string(finding.Effect)).Inc()
		if finding.Effect != review.Audited {
			continue
		}
		if audited++; audited <= maxLogged {
			logger.Info("Audited violation", "policy", finding.Policy, "code", finding.Code, "field", finding.Field, "message", finding.Message)
		}
	}
	if audited > maxLogged {
		logger.Info("Further audited violations", "count", audited-maxLogged)
	}
}

func (r *Recorder) tell(outcome *review.Outcome) {
	if r.tally == nil {
		return
	}
	effects := map[string]map[review.Effect]bool{}
	for _, finding := range outcome.Findings {
		if effects[finding.Policy] == nil {
			effects[finding.Policy] = map[review.Effect]bool{}
		}
		effects[finding.Policy][finding.Effect] = true
	}
	for _, policy := range outcome.Asked {
		r.tally(policy, effects[policy])
	}
}

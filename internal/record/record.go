// Package record keeps account of what was decided: in metrics and in the log.
package record

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/egress-governor/egress-governor/internal/review"
)

// Recorder counts decisions, and logs those against an object and what is only recorded. It is safe for concurrent use.
type Recorder struct {
	decisions, findings *prometheus.CounterVec
	codes               codes
	durations           *prometheus.HistogramVec
	tally               func(policy string, said Said)
	decided             func(req review.Request, outcome *review.Outcome)
}

// Said is what a policy said of a request.
type Said struct {
	Effects map[review.Effect]bool
	// Failure is why it could not be evaluated, empty where it could.
	Failure string
}

// Tell has a function told of every policy that was asked about a request, with what it said.
func (r *Recorder) Tell(tally func(policy string, said Said)) { r.tally = tally }

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
			Help: "Findings by EgressPolicy (empty for what no policy found), code (other beyond 50 of a policy) and effect (denied, refused, failed, warned, audited); dry runs are not counted.",
		}, []string{"policy", "code", "effect"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "egress_governor_request_duration_seconds",
			Help:    "How long requests took by handler (mutate, validate, validate-policy) and kind, without the wait for their turn.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"handler", "kind"}),
	}
	if registerer == nil {
		return out, nil
	}
	for _, collector := range []prometheus.Collector{out.decisions, out.findings, out.durations} {
		if err := registerer.Register(collector); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return out, nil
}

// Took takes account of how long a handler took for a kind.
func (r *Recorder) Took(handler, kind string, took time.Duration) {
	r.durations.WithLabelValues(handler, kind).Observe(took.Seconds())
}

// maxLogged bounds what one object has logged: its author writes the object, and the log is everybody's.
const maxLogged = 20

// Record takes account of an outcome. A dry run leaves no trace.
func (r *Recorder) Record(ctx context.Context, req review.Request, outcome *review.Outcome) {
	if req.DryRun {
		return
	}
	r.decisions.WithLabelValues(req.Object.GetKind(), string(req.Operation), string(outcome.Verdict)).Inc()
	// The logger of a request names its object, who asks, and its ID in the API server's audit log.
	logger := logr.FromContextOrDiscard(ctx).WithValues("kind", req.Object.GetKind())
	if exempt := outcome.Exempt; len(exempt.Policies) > 0 {
		logger.Info("User is excluded", "user", exempt.User, "from", exempt.From())
	}
	if outcome.Verdict != review.Allowed {
		logger.Info("Not allowed", "verdict", outcome.Verdict, "operation", req.Operation, "reasons", reasons(outcome))
	}
	r.tell(outcome)
	if r.decided != nil {
		r.decided(req, outcome)
	}
	audited := 0
	for _, finding := range outcome.Findings {
		r.findings.WithLabelValues(finding.Policy, r.codes.label(finding.Policy, finding.Code), string(finding.Effect)).Inc()
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

// reasons are what a log says of an object that is not allowed: code, field and policy of each, without what its author wrote.
func reasons(outcome *review.Outcome) (out []string) {
	for _, finding := range outcome.Reasons() {
		if len(out) == maxLogged {
			return append(out, "…")
		}
		reason := finding.Code
		if finding.Field != "" {
			reason += " at " + finding.Field
		}
		if finding.Policy != "" {
			reason += " by " + finding.Policy
		}
		out = append(out, reason)
	}
	return out
}

func (r *Recorder) tell(outcome *review.Outcome) {
	if r.tally == nil {
		return
	}
	all := map[string]Said{}
	for _, finding := range outcome.Findings {
		said := all[finding.Policy]
		if said.Effects == nil {
			said.Effects = map[review.Effect]bool{}
		}
		said.Effects[finding.Effect] = true
		if finding.Unevaluated() {
			said.Failure = finding.Message
		}
		all[finding.Policy] = said
	}
	for _, policy := range outcome.Asked {
		r.tally(policy, all[policy])
	}
}

package admit

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/egress-governor/egress-governor/internal/policy"
)

type counters struct {
	decisions  *prometheus.CounterVec
	violations *prometheus.CounterVec
}

func newCounters(registerer prometheus.Registerer) (counters, error) {
	out := counters{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "egress_governor_decisions_total",
			Help: "Validated requests by kind, operation and verdict (allowed, denied, refused, failed); dry runs are not counted.",
		}, []string{"kind", "operation", "verdict"}),
		violations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "egress_governor_violations_total",
			Help: "Violations by EgressPolicy and effect (denied, warned, audited); dry runs are not counted.",
		}, []string{"policy", "effect"}),
	}
	if registerer == nil {
		return out, nil
	}
	for _, collector := range []prometheus.Collector{out.decisions, out.violations} {
		if err := registerer.Register(collector); err != nil {
			return counters{}, fmt.Errorf("register metrics: %w", err)
		}
	}
	return out, nil
}

func (c counters) count(kind, operation, verdict string, decision policy.Decision) {
	c.decisions.WithLabelValues(kind, operation, verdict).Inc()
	for effect, violations := range map[string][]policy.Violation{"denied": decision.Denied, "warned": decision.Warned, "audited": decision.Audited} {
		for _, violation := range violations {
			c.violations.WithLabelValues(violation.Policy, effect).Inc()
		}
	}
}

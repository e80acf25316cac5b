package audit

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/review"
)

// gauges are what the last pass found.
type gauges struct {
	violations, held, observed   *prometheus.GaugeVec
	suspended, unsealed, objects prometheus.Gauge
	last                         prometheus.Gauge
	age                          prometheus.GaugeFunc
	passedAt                     atomic.Pointer[time.Time]
}

func newGauges(now func() time.Time) *gauges {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "egress_governor_" + name, Help: help})
	}
	out := &gauges{
		violations: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "egress_governor_violations",
			Help: "Violations in what is stored, by EgressPolicy (empty for what cannot be expressed as a hop) and enforcement.",
		}, []string{"policy", "enforcement"}),
		held: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "egress_governor_suspend_held",
			Help: "Exits that an EgressPolicy would suspend and that are too many at once (suspend.maxShare).",
		}, []string{"policy"}),
		observed: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "egress_governor_observed_objects",
			Help: "Objects of observed namespaces by what they would be answered if these were governed (allowed, denied, refused, failed).",
		}, []string{"verdict"}),
		suspended: gauge("suspended_entries", "ServiceEntries that are suspended."),
		unsealed:  gauge("unsealed_entries", "ServiceEntries of governed namespaces that are not sealed and lead straight out."),
		objects:   gauge("audit_objects", "Objects that the last audit judged."),
		last:      gauge("audit_last_success_timestamp_seconds", "When an audit last ended."),
	}
	out.age = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "egress_governor_audit_age_seconds", Help: "How long ago an audit last ended; -1 before the first.",
	}, func() float64 {
		if last := out.passedAt.Load(); last != nil {
			return now().Sub(*last).Seconds()
		}
		return -1
	})
	return out
}

func (g *gauges) register(with prometheus.Registerer) error {
	var errs []error
	for _, collector := range []prometheus.Collector{g.violations, g.held, g.observed, g.suspended, g.unsealed, g.objects, g.last, g.age} {
		errs = append(errs, with.Register(collector))
	}
	return errors.Join(errs...)
}

func (g *gauges) observe(verdicts map[review.Verdict]int) {
	g.observed.Reset()
	for verdict, objects := range verdicts {
		g.observed.WithLabelValues(string(verdict)).Set(float64(objects))
	}
}

func (g *gauges) passed(at time.Time, objects int) {
	g.passedAt.Store(&at)
	g.last.Set(float64(at.Unix()))
	g.objects.Set(float64(objects))
}

// enforcements are how the effects of findings are called where they are counted.
var enforcements = map[review.Effect]v1alpha1.Enforcement{
	review.Denied: v1alpha1.Deny, review.Refused: v1alpha1.Deny, review.Failed: v1alpha1.Deny,
	review.Warned: v1alpha1.Warn, review.Audited: v1alpha1.Audit,
}

func (a *Auditor) count() {
	a.metrics.violations.Reset()
	for _, of := range a.found {
		for _, finding := range of.findings {
			if finding.Unevaluated() {
				continue
			}
			a.metrics.violations.WithLabelValues(finding.Policy, string(enforcements[finding.Effect])).Inc()
		}
	}
	a.metrics.held.Reset()
	for policy, exits := range a.held {
		a.metrics.held.WithLabelValues(policy).Set(float64(exits))
	}
	a.metrics.suspended.Set(float64(len(a.Entries.Suspensions())))
	a.metrics.unsealed.Set(float64(len(a.Unsealed())))
}

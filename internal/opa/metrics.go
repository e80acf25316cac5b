package opa

import (
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// register has metrics told of bundles and decision logs.
func (o *OPA) register() error {
	if o.Metrics == nil {
		return nil
	}
	var collectors []prometheus.Collector
	for name, of := range o.sources {
		labels := prometheus.Labels{"bundle": name}
		collectors = append(collectors,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "egress_governor_bundle_failed", ConstLabels: labels,
				Help: "1 while a bundle could not be fetched, verified or compiled when it was asked for last; the last good one stays in force.",
			}, func() float64 {
				if o.Problem(name) != nil {
					return 1
				}
				return 0
			}),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "egress_governor_bundle_activation_timestamp_seconds", ConstLabels: labels,
				Help: "When the bundle in force came, 0 where none has come.",
			}, func() float64 {
				o.mu.Lock()
				defer o.mu.Unlock()
				if of.activated.IsZero() {
					return 0
				}
				return float64(of.activated.Unix())
			}))
	}
	if o.logs != nil {
		collectors = append(collectors, prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "egress_governor_decision_logs_dropped_total",
			Help: "Decisions that were not logged: too many waited, their file could not be written, or OPA's own limits of size, rate and buffer were passed.",
		}, o.logs.droppedTotal))
	}
	for _, collector := range collectors {
		if err := o.Metrics.Register(collector); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}

// lost says whether a counter of OPA's plugin counts decisions that were lost.
func lost(counter string) bool {
	return strings.Contains(counter, "decision_logs_dropped") || strings.Contains(counter, "decision_logs_encoding_failure")
}

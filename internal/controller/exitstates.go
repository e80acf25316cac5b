package controller

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/registry"
)

// What is counted of sealed entries, by what their authors are told of their exits.
const (
	exitStands    = "ready"
	exitPending   = "pending"
	exitSuspended = "suspended"
	exitConflict  = "conflict"
	exitFailed    = "failed"
)

// exitStates counts sealed entries by the state of their exits. It is a prometheus.Collector, of the leader alone.
type exitStates struct {
	now           func() time.Time
	count, oldest *prometheus.Desc

	mu    sync.Mutex
	known map[types.NamespacedName]exitSince
}

// exitSince is a state, and since when an exit is not ready.
type exitSince struct {
	state string
	at    time.Time
}

func newExitStates(now func() time.Time) *exitStates {
	return &exitStates{
		now: now, known: map[types.NamespacedName]exitSince{},
		count: prometheus.NewDesc("egress_governor_exits",
			"Sealed ServiceEntries by the state of their exits (ready, pending, suspended, conflict, failed); of the leader alone.", []string{"state"}, nil),
		oldest: prometheus.NewDesc("egress_governor_exit_unready_seconds",
			"How long the exit of the entry that waits longest has not been ready, 0 for none; what is suspended does not wait. Of the leader alone.", nil, nil),
	}
}

// stateOf is the state of which a condition tells; known says whether it does.
func stateOf(of condition, known bool) string {
	switch {
	case !known:
		return exitPending
	case of.Status == "True":
		return exitStands
	case of.Reason == registry.ReasonSuspended:
		return exitSuspended
	case of.Reason == reasonConflict:
		return exitConflict
	}
	return exitFailed
}

func (s *exitStates) set(entry types.NamespacedName, state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, was := s.known[entry]
	if !was || !waits(last.state) {
		last.at = s.now()
	}
	last.state = state
	s.known[entry] = last
}

// waits says whether an exit of that state is to be ready and is not.
func waits(state string) bool { return state != exitStands && state != exitSuspended }

func (s *exitStates) forget(entry types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, entry)
}

// Describe implements prometheus.Collector.
func (s *exitStates) Describe(to chan<- *prometheus.Desc) { to <- s.count; to <- s.oldest }

// Collect implements prometheus.Collector.
func (s *exitStates) Collect(to chan<- prometheus.Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := map[string]int{exitStands: 0, exitPending: 0, exitSuspended: 0, exitConflict: 0, exitFailed: 0}
	oldest, now := time.Duration(0), s.now()
	for _, of := range s.known {
		counts[of.state]++
		if waits(of.state) {
			oldest = max(oldest, now.Sub(of.at))
		}
	}
	for state, count := range counts {
		to <- prometheus.MustNewConstMetric(s.count, prometheus.GaugeValue, float64(count), state)
	}
	to <- prometheus.MustNewConstMetric(s.oldest, prometheus.GaugeValue, oldest.Seconds())
}

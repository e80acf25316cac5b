package controller

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// policyStates tells of each stored EgressPolicy whether the replica goes by it. It is a prometheus.Collector.
type policyStates struct {
	mu    sync.Mutex
	known map[string]policyState
}

// policyState is what became of the version that is stored, and the generation of the one in force, 0 for none.
type policyState struct {
	good       bool
	generation int64
}

var (
	policyInForce = prometheus.NewDesc("egress_governor_policy_in_force",
		"1 while a stored EgressPolicy is in force in this replica; 0 while its last good version is, or, where there is none, whatever it selects fails.", []string{"policy"}, nil)
	policyGeneration = prometheus.NewDesc("egress_governor_policy_generation",
		"The generation of an EgressPolicy that is in force in this replica, 0 for none.", []string{"policy"}, nil)
)

// set takes in what became of a stored version.
func (s *policyStates) set(policy *v1alpha1.EgressPolicy, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[string]policyState{}
	}
	next := policyState{good: err == nil, generation: policy.Generation}
	if err != nil {
		next.generation = s.known[policy.Name].generation
	}
	s.known[policy.Name] = next
}

func (s *policyStates) forget(policy string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, policy)
}

// Describe implements prometheus.Collector.
func (s *policyStates) Describe(to chan<- *prometheus.Desc) {
	to <- policyInForce
	to <- policyGeneration
}

// Collect implements prometheus.Collector.
func (s *policyStates) Collect(to chan<- prometheus.Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for policy, of := range s.known {
		good := 0.0
		if of.good {
			good = 1
		}
		to <- prometheus.MustNewConstMetric(policyInForce, prometheus.GaugeValue, good, policy)
		to <- prometheus.MustNewConstMetric(policyGeneration, prometheus.GaugeValue, float64(of.generation), policy)
	}
}

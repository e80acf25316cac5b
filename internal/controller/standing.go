package controller

import (
	"maps"
	"reflect"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// exitKey names an exit set: a host, in a namespace of egress gateways.
type exitKey struct{ Namespace, Host string }

// exitState is what is known of an exit set.
type exitState struct {
	// exit is what it was made of, nil when there is none.
	exit *egress.Exit
	// err is why it could not be written, nil when it stands.
	err error
}

// standing is what the controller of exits knows and the controller of conditions tells. Neither walks all entries of
// a host for a change that concerns one of them.
type standing struct {
	mu    sync.Mutex
	exits map[exitKey]exitState
	// losers are the entries that are told that another defines a host otherwise.
	losers map[exitKey]map[types.NamespacedName]bool
	// rules are the specs of the client rules that stand, by namespace and host, waiting the entries that wait for an exit
	// or a rule.
	rules   map[exitKey]map[string]any
	waiting map[exitKey]map[types.NamespacedName]bool
}

func newStanding() *standing {
	return &standing{exits: map[exitKey]exitState{}, losers: map[exitKey]map[types.NamespacedName]bool{},
		rules: map[exitKey]map[string]any{}, waiting: map[exitKey]map[types.NamespacedName]bool{}}
}

// rule takes in the spec of a client rule that stands, nil for none.
func (s *standing) rule(key exitKey, rule map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rule == nil {
		delete(s.rules, key)
		return
	}
	s.rules[key] = rule
}

// ruled says whether the client rule of a namespace for a host stands as it is to be.
func (s *standing) ruled(key exitKey, want map[string]any) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return want == nil || reflect.DeepEqual(s.rules[key], want)
}

// wait notes an entry that is to be looked at again once an exit, or a client rule, was written.
func (s *standing) wait(key exitKey, entry types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting[key] == nil {
		s.waiting[key] = map[types.NamespacedName]bool{}
	}
	s.waiting[key][entry] = true
}

// waitingFor returns those entries, once.
func (s *standing) waitingFor(key exitKey) []types.NamespacedName {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := slices.Collect(maps.Keys(s.waiting[key]))
	delete(s.waiting, key)
	return out
}

// affected says which entries of a host a change of its exit set concerns.
type affected int

const (
	nobody affected = iota
	// losers are those that have no part in it.
	losers
	// everybody is all entries of the host.
	everybody
)

// set takes in the state of an exit set, and says whom it concerns.
func (s *standing) set(key exitKey, next exitState) affected {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, known := s.exits[key]
	if next.exit == nil {
		delete(s.exits, key)
	} else {
		s.exits[key] = next
	}
	leads, names := last.exit.SameAs(next.exit)
	switch {
	case !known || next.exit == nil || text(last.err) != text(next.err) || !leads:
		return everybody
	case !names:
		return losers
	}
	return nobody
}

func (s *standing) get(key exitKey) (exitState, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out, known := s.exits[key]
	return out, known
}

// lose notes whether an entry is told that another defines a host otherwise.
func (s *standing) lose(key exitKey, entry types.NamespacedName, lost bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !lost {
		delete(s.losers[key], entry)
		if len(s.losers[key]) == 0 {
			delete(s.losers, key)
		}
		return
	}
	if s.losers[key] == nil {
		s.losers[key] = map[types.NamespacedName]bool{}
	}
	s.losers[key][entry] = true
}

// forget takes an entry that is gone, or leads to no gateway, from all losers.
func (s *standing) forget(entry types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, entries := range s.losers {
		if delete(entries, entry); len(entries) == 0 {
			delete(s.losers, key)
		}
	}
}

func (s *standing) losersOf(key exitKey) (out []types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.losers[key] {
		out = append(out, name)
	}
	return out
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

package controller

import (
	"maps"
	"reflect"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// exitKey names an exit set: a host, in a namespace of egress gateways; or a client rule: a host, in a namespace of its entries.
type exitKey struct{ Namespace, Host string }

// exitState is what is known of an exit set.
type exitState struct {
	// exit is what it was made of, nil when there is none.
	exit *egress.Exit
	// err is why it could not be written, nil when it stands.
	err error
}

// standing is what the controller of exits knows and the controller of conditions tells. Neither walks all entries of
// a host to tell of a change that concerns one of them.
type standing struct {
	mu    sync.Mutex
	exits map[exitKey]exitState
	// losers are the entries that are told that another defines a host otherwise.
	losers map[exitKey]map[types.NamespacedName]bool
	// rules are the client rules that were looked at, by namespace and host, waiting the entries that wait for an exit or a
	// rule.
	rules   map[exitKey]ruleState
	waiting map[exitKey]map[types.NamespacedName]bool
}

func newStanding() *standing {
	return &standing{exits: map[exitKey]exitState{}, losers: map[exitKey]map[types.NamespacedName]bool{},
		rules: map[exitKey]ruleState{}, waiting: map[exitKey]map[types.NamespacedName]bool{}}
}

// ruleState is what is known of a client rule.
type ruleState struct {
	// spec is what it says, nil for none.
	spec map[string]any
	// err is why it could not be written, nil when it stands; tries is how often in a row it could not, and lags says that a
	// cache may be the reason, which is nothing to tell an author of.
	err   error
	tries int
	lags  bool
}

// told is the error that authors are told, empty for none.
func (r ruleState) told() string {
	if r.lags {
		return ""
	}
	return text(r.err)
}

// rule takes in the state of a client rule, and says whether its entries are to be looked at.
func (s *standing) rule(key exitKey, next ruleState) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.rules[key]
	if next.err == nil && next.spec == nil {
		delete(s.rules, key)
	} else {
		next.tries = 0
		if next.err != nil {
			next.tries = last.tries + 1
		}
		s.rules[key] = next
	}
	return last.told() != next.told()
}

// failures returns how often in a row a client rule could not be written.
func (s *standing) failures(key exitKey) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rules[key].tries
}

// awaitRule returns why the client rule of a namespace for a host could not be written, empty for nothing, and whether it
// stands as it is to be; where it does not yet, the entry is looked at again.
func (s *standing) awaitRule(key exitKey, entry types.NamespacedName, want map[string]any) (failed string, stands bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.rules[key]
	if stands = state.err == nil && reflect.DeepEqual(state.spec, want); !stands {
		s.wait(key, entry)
	}
	return state.told(), stands
}

// await returns the state of an exit set, and whether it meets a condition; where it does not yet, the entry is looked at
// again once it was written.
func (s *standing) await(key exitKey, entry types.NamespacedName, met func(exitState) bool) (state exitState, stands, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state, stands = s.exits[key]
	if ok = stands && met(state); !ok {
		s.wait(key, entry)
	}
	return state, stands, ok
}

// wait notes an entry that is to be looked at again once an exit, or a client rule, was written. The lock is held.
func (s *standing) wait(key exitKey, entry types.NamespacedName) {
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

// owner returns the namespace of the oldest entry that an exit set was made of, empty for none.
func (s *standing) owner(key exitKey) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if owner := s.exits[key].exit.Owner(); owner != nil {
		return owner.Namespace
	}
	return ""
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

// forget takes an entry that is gone, or leads to no gateway, from all losers, and from whoever waits.
func (s *standing) forget(entry types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, of := range []map[exitKey]map[types.NamespacedName]bool{s.losers, s.waiting} {
		for key, entries := range of {
			if delete(entries, entry); len(entries) == 0 {
				delete(of, key)
			}
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

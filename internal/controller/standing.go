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
	// absent are the exits that do not stand and are not made, since none but observed entries have part in them.
	absent map[exitKey]bool
	// unwritten is why rules of authors' could not be rewritten.
	unwritten map[types.NamespacedName]string
	// passages are the client rules that are to go once a passage stands, by its exit.
	passages map[exitKey]map[exitKey]bool
}

func newStanding() *standing {
	return &standing{exits: map[exitKey]exitState{}, losers: map[exitKey]map[types.NamespacedName]bool{},
		rules: map[exitKey]ruleState{}, waiting: map[exitKey]map[types.NamespacedName]bool{},
		absent: map[exitKey]bool{}, unwritten: map[types.NamespacedName]string{}, passages: map[exitKey]map[exitKey]bool{}}
}

// ruleState is what is known of a client rule.
type ruleState struct {
	// spec is what it says, nil for none.
	spec map[string]any
	// passing says that there is none as long as entries pass, and that their passage stands.
	passing bool
	// unnamed says that there is none since gateways have been told of the passage by which they take calls under no name of a port.
	unnamed bool
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
	if next.err == nil && next.spec == nil && !next.passing && !next.unnamed {
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
// stands as it is to be, or is gone for entries that pass; where it is not so yet, the entry is looked at again.
func (s *standing) awaitRule(key exitKey, entry types.NamespacedName, want map[string]any, passing bool) (failed string, stands bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.rules[key]
	if stands = state.err == nil && state.passing == passing && reflect.DeepEqual(state.spec, want); !stands {
		s.wait(key, entry)
	}
	return state.told(), stands
}

// isUnnamed says whether gateways take the calls of a namespace to a host under no name of a port by now.
func (s *standing) isUnnamed(key exitKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rules[key].unnamed
}

// isGone says whether a client rule is gone since gateways take the calls of its namespace without it, or cannot go.
func (s *standing) isGone(key exitKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rules[key].unnamed || s.rules[key].err != nil
}

// awaitRewrite has an entry looked at again once the rules of a namespace were looked at.
func (s *standing) awaitRewrite(key exitKey, entry types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wait(key, entry)
}

// whyNot returns why a rule of an author's could not be rewritten, empty for nothing.
func (s *standing) whyNot(rule types.NamespacedName) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unwritten[rule]
}

// rewrote takes in why a rule of an author's could not be rewritten, nil for nothing, and says whether that is news. Those that are gone are
// forgotten.
func (s *standing) rewrote(rule types.NamespacedName, err error, gone func(rule types.NamespacedName) bool) (news bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.unwritten[rule]
	delete(s.unwritten, rule)
	if err != nil {
		maps.DeleteFunc(s.unwritten, func(of types.NamespacedName, _ string) bool { return gone(of) })
		s.unwritten[rule] = err.Error()
	}
	return last != text(err)
}

// isRuled says whether the client rule of a namespace for a host stands as it is to be.
func (s *standing) isRuled(key exitKey, want map[string]any) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.rules[key]
	return state.err == nil && reflect.DeepEqual(state.spec, want)
}

// awaitPassage says whether an exit set stands whose gateway takes what comes by a client leg under the SNI that proxies use by themselves;
// where it does not yet, the client rule is looked at again once it was written. No gateway takes the calls of one that is not made.
func (s *standing) awaitPassage(exit, rule exitKey, leg egress.Leg) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state := s.exits[exit]; s.absent[exit] || state.err == nil && state.exit.Passes(leg) {
		return true
	}
	if s.passages[exit] == nil {
		s.passages[exit] = map[exitKey]bool{}
	}
	s.passages[exit][rule] = true
	return false
}

// rulesWaitingFor returns those client rules, once.
func (s *standing) rulesWaitingFor(exit exitKey) []exitKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := slices.Collect(maps.Keys(s.passages[exit]))
	delete(s.passages, exit)
	return out
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

// lacks takes in that an exit set does not stand, and is not made.
func (s *standing) lacks(key exitKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.absent[key] = true
}

// set takes in the state of an exit set, and says whom it concerns.
func (s *standing) set(key exitKey, next exitState) affected {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, known := s.exits[key]
	delete(s.absent, key)
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

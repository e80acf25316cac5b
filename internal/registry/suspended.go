package registry

import (
	"maps"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
)

const (
	// ConditionExitReady is the condition in a ServiceEntry's status that tells its author whether calls get out.
	ConditionExitReady = "ExitReady"
	// ReasonAhead is its reason where the exit stands and the entry is not sealed yet, or no more.
	ReasonAhead = "ExitAhead"
	// ReasonConfigured is its reason where a sealed entry has its exits.
	ReasonConfigured = "ExitConfigured"
	// ReasonSuspended is its reason where an entry is suspended.
	ReasonSuspended = "Suspended"
)

// suspensions are the entries that open nothing, with why. Until somebody has judged what is stored, they are those that
// say so of themselves: a leader that starts gives nobody back what the last one took.
type suspensions struct {
	why    map[types.NamespacedName]string
	judged bool
}

// Suspended says whether an entry opens nothing, and why.
func (r *Registry) Suspended(name types.NamespacedName) (why string, is bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	why, is = r.suspended.why[name]
	return why, is
}

// Suspensions returns all suspended entries.
func (r *Registry) Suspensions() map[types.NamespacedName]string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return maps.Clone(r.suspended.why)
}

// Suspend takes in which entries open nothing, in place of those before. Entries that are not stored are left out.
func (r *Registry) Suspend(next map[types.NamespacedName]string) {
	var change Change
	r.mu.Lock()
	r.suspended.judged = true
	for name := range r.suspended.why {
		if _, still := next[name]; !still {
			r.suspend(name, "", false, &change)
		}
	}
	for name, why := range next {
		if last, is := r.suspended.why[name]; (!is || last != why) && r.entries[name] != nil {
			r.suspend(name, why, true, &change)
		}
	}
	r.mu.Unlock()
	r.tell(change)
}

// suspend sets what one stored entry is.
func (r *Registry) suspend(name types.NamespacedName, why string, is bool, change *Change) {
	stored := r.entries[name]
	hosts := r.uncount(stored)
	if delete(r.suspended.why, name); is {
		r.suspended.why[name] = why
	}
	r.count(r.counting(stored))
	r.forget(hosts)
	for _, host := range hosts {
		if egress.IsWildcard(host) {
			// The hosts below go by who calls it, too.
			change.Hosts = append(change.Hosts, host)
			continue
		}
		change.Callers = append(change.Callers, host)
	}
	change.Entries = append(change.Entries, name)
}

// recall takes from a stored entry what it says of itself, as long as nobody has judged it. It returns whether that is
// other than before.
func (r *Registry) recall(name types.NamespacedName, next *Stored) (changed bool) {
	last, was := r.suspended.why[name]
	if next == nil {
		delete(r.suspended.why, name)
		return was
	}
	if r.suspended.judged {
		return false
	}
	why, is := next.suspended()
	if delete(r.suspended.why, name); is {
		r.suspended.why[name] = why
	}
	return is != was || why != last
}

// suspended says why an entry is told to be suspended, if it is.
func (s *Stored) suspended() (why string, is bool) {
	if !strings.Contains(s.conditions, ReasonSuspended) {
		return "", false // most
	}
	if told := toldBy(s.Conditions()); told.Suspended() {
		return told.Message, true
	}
	return "", false
}

// Sealed returns how many entries are sealed to an egress gateway.
func (r *Registry) Sealed() (out int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, entries := range r.legs {
		out += entries
	}
	return out
}

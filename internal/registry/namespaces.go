package registry

import (
	"slices"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// counting returns the entry as it counts: of a namespace that is not governed none leads to a gateway, whatever it says; one that is
// observed keeps what stands of its own.
func (r *Registry) counting(stored *Stored) *egress.Entry {
	entry := stored.entry()
	switch {
	case entry == nil:
		return nil
	case entry.Gateway == "":
		return r.led(stored)
	}
	out := *entry
	_, out.Suspended = r.suspended.why[types.NamespacedName{Namespace: entry.Namespace, Name: entry.Name}]
	if _, out.Observed = r.observed[entry.Namespace]; out.Observed {
		out.Passing = r.passing(&out, stored.held)
		return &out
	}
	if !r.governed[entry.Namespace] {
		out.Gateway, out.Transport, out.Waypoint, out.Suspended = "", "", egress.Waypoint{}, false
		return &out
	}
	if gw, leaves := r.mesh.GatewayByName(r.leaving[entry.Namespace]); leaves && r.mesh.Seal && gw.Leg() != entry.Leg() {
		out.Moving = gw.Leg()
		out.Passing = r.passing(&out, stored.held)
	}
	if out.Suspended || out.Moving != (egress.Leg{}) {
		return &out
	}
	return entry
}

// led returns an entry that is not sealed as it counts: routes lead its calls to the gateway of its namespace where that can
// carry them, or its exit stands there for the time when it is sealed.
func (r *Registry) led(stored *Stored) *egress.Entry {
	gateway, observed := r.observed[stored.Namespace]
	if !observed {
		gateway = r.leaving[stored.Namespace]
	}
	gw, leaves := r.mesh.GatewayByName(gateway)
	if !leaves || !slices.Contains(stored.carriers, gateway) {
		return stored.Entry
	}
	out := *stored.Entry
	_, out.Suspended = r.suspended.why[types.NamespacedName{Namespace: out.Namespace, Name: out.Name}]
	switch {
	case r.mesh.Seal:
		out.Moving, out.Observed = gw.Leg(), observed
		out.Passing = r.passing(&out, stored.held)
	case observed:
		return stored.Entry
	default:
		out.Gateway, out.Transport, out.Led = gateway, egress.Plain, true
	}
	return &out
}

// count takes an entry, as it counts, into the index and returns its hosts; uncount takes a stored one out.
func (r *Registry) count(entry *egress.Entry) []string {
	if entry != nil && entry.Gateway != "" {
		r.legs[entry.Leg()]++
	}
	r.ports.add(entry)
	return r.hosts.add(entry)
}

func (r *Registry) uncount(stored *Stored) []string {
	if entry := r.counting(stored); entry != nil && entry.Gateway != "" {
		r.legs[entry.Leg()]--
	}
	r.ports.remove(stored.entry())
	return r.hosts.remove(stored.entry())
}

// Uses says whether some entry is sealed to a client leg.
func (r *Registry) Uses(leg egress.Leg) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.legs[leg] > 0
}

// Ungoverned returns the external entries that governed namespaces see and that no egress gateway carries, by name: those
// of namespaces that are not governed.
func (r *Registry) Ungoverned() (out []string) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for name, stored := range r.entries {
		if entry := stored.entry(); entry != nil && entry.External && r.ungoverned(entry) && r.seen(entry) {
			out = append(out, name.String())
		}
	}
	slices.Sort(out)
	return out
}

// ungoverned says whether nobody carries an entry of a namespace that is not governed.
func (r *Registry) ungoverned(entry *egress.Entry) bool {
	_, observed := r.observed[entry.Namespace]
	return !r.governed[entry.Namespace] && (!observed || entry.Gateway == "")
}

// seen says whether an entry is exported to a governed namespace.
func (r *Registry) seen(entry *egress.Entry) bool {
	names, all := egress.Clients(entry.ExportTo, entry.Namespace)
	return all || slices.ContainsFunc(names, func(namespace string) bool { return r.governed[namespace] })
}

// PutNamespace takes in a namespace's labels, which decide whether it is governed or observed, and by which gateway it leaves.
func (r *Registry) PutNamespace(name string, set map[string]string) {
	next := state{governed: r.mesh.Governed.Matches(labels.Set(set)), observed: r.mesh.Observes(labels.Set(set))}
	if gw, has := r.mesh.GatewayFor(labels.Set(set)); has && (next.governed || next.observed) {
		next.gateway = gw.Name
	}
	r.govern(name, set, next)
}

// DeleteNamespace forgets a namespace.
func (r *Registry) DeleteNamespace(name string) { r.govern(name, nil, state{}) }

// GatewayOf implements egress.View.
func (r *Registry) GatewayOf(namespace string) string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.leaving[namespace]
}

// state is what a namespace is to us: governed, observed, or neither, and the gateway that its labels choose, empty for none.
type state struct {
	governed, observed bool
	gateway            string
}

// stateOf returns that of a namespace.
func (r *Registry) stateOf(namespace string) (out state) {
	out.governed, out.gateway = r.governed[namespace], r.leaving[namespace]
	if gateway, observed := r.observed[namespace]; observed {
		out.observed, out.gateway = true, gateway
	}
	return out
}

// govern sets what a namespace of these labels is.
func (r *Registry) govern(namespace string, set map[string]string, next state) {
	var change Change
	r.mu.Lock()
	changed := r.stateOf(namespace) != next ||
		next.governed && egress.Ambient(r.clients.labels[namespace]) != egress.Ambient(set)
	if changed {
		for name, stored := range r.byNamespace[namespace] {
			change.Entries = append(change.Entries, name)
			change.Hosts = append(change.Hosts, r.uncount(stored)...)
		}
	}
	delete(r.leaving, namespace)
	delete(r.observed, namespace)
	delete(r.governed, namespace)
	switch {
	case next.observed:
		r.observed[namespace] = next.gateway
	case next.governed:
		if r.governed[namespace] = true; next.gateway != "" {
			r.leaving[namespace] = next.gateway
		}
	}
	if r.clients.set(namespace, set, next.governed) || changed {
		change.Namespaces = []string{namespace}
	}
	if changed {
		for _, stored := range r.byNamespace[namespace] {
			r.count(r.counting(stored))
		}
		change.Clients = append(clientsOf(namespace, slices.Concat(change.Hosts, r.ruledBy(namespace))), r.ruled(change.Hosts)...)
		change.Callers = r.calledFrom(namespace)
		for _, host := range change.Callers {
			if egress.IsWildcard(host) {
				// The hosts below go by who is governed, too.
				change.Hosts = append(change.Hosts, host)
			}
		}
	}
	r.forget(change.Hosts)
	r.mu.Unlock()
	r.tell(change)
}

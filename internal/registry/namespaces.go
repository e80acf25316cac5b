package registry

import (
	"slices"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// counting returns the entry as it counts: of a namespace that is not governed none leads to a gateway, whatever it says.
func (r *Registry) counting(stored *Stored) *egress.Entry {
	entry := stored.entry()
	switch {
	case entry == nil:
		return nil
	case entry.Gateway == "":
		return r.led(stored)
	}
	out := *entry
	if !r.governed[entry.Namespace] {
		out.Gateway, out.Transport, out.Waypoint = "", "", egress.Waypoint{}
		return &out
	}
	_, out.Suspended = r.suspended.why[types.NamespacedName{Namespace: entry.Namespace, Name: entry.Name}]
	if gw, leaves := r.mesh.GatewayByName(r.leaving[entry.Namespace]); leaves && r.mesh.Seal && gw.Leg() != entry.Leg() {
		out.Moving = gw.Leg()
	}
	if out.Suspended || out.Moving != (egress.Leg{}) {
		return &out
	}
	return entry
}

// led returns an entry that is not sealed as it counts: routes lead its calls to the gateway of its namespace where that can
// carry them.
func (r *Registry) led(stored *Stored) *egress.Entry {
	gateway := r.leaving[stored.Namespace]
	if gateway == "" || !slices.Contains(stored.carriers, gateway) {
		return stored.Entry
	}
	out := *stored.Entry
	out.Gateway, out.Transport, out.Led = gateway, egress.Plain, true
	_, out.Suspended = r.suspended.why[types.NamespacedName{Namespace: out.Namespace, Name: out.Name}]
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
		if entry := stored.entry(); entry != nil && entry.External && !r.governed[name.Namespace] && r.seen(entry) {
			out = append(out, name.String())
		}
	}
	slices.Sort(out)
	return out
}

// seen says whether an entry is exported to a governed namespace.
func (r *Registry) seen(entry *egress.Entry) bool {
	names, all := egress.Clients(entry.ExportTo, entry.Namespace)
	return all || slices.ContainsFunc(names, func(namespace string) bool { return r.governed[namespace] })
}

// PutNamespace takes in a namespace's labels, which decide whether it is governed, and by which gateway it leaves.
func (r *Registry) PutNamespace(name string, set map[string]string) {
	governed := r.mesh.Governed.Matches(labels.Set(set))
	gateway := ""
	if gw, has := r.mesh.GatewayFor(labels.Set(set)); governed && has {
		gateway = gw.Name
	}
	r.govern(name, set, governed, gateway)
}

// DeleteNamespace forgets a namespace.
func (r *Registry) DeleteNamespace(name string) {
	r.govern(name, nil, false, "")
}

// GatewayOf implements egress.View.
func (r *Registry) GatewayOf(namespace string) string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.leaving[namespace]
}

// govern sets whether a namespace of these labels is governed and by which gateway it leaves, none when that is empty.
func (r *Registry) govern(namespace string, set map[string]string, governed bool, gateway string) {
	var change Change
	r.mu.Lock()
	changed := r.governed[namespace] != governed || r.leaving[namespace] != gateway ||
		governed && egress.Ambient(r.clients.labels[namespace]) != egress.Ambient(set)
	if changed {
		for name, stored := range r.byNamespace[namespace] {
			change.Entries = append(change.Entries, name)
			change.Hosts = append(change.Hosts, r.uncount(stored)...)
		}
	}
	delete(r.leaving, namespace)
	if gateway != "" {
		r.leaving[namespace] = gateway
	}
	if governed {
		r.governed[namespace] = true
	} else {
		delete(r.governed, namespace)
	}
	if r.clients.set(namespace, set, governed) || changed {
		change.Namespaces = []string{namespace}
	}
	if changed {
		for _, stored := range r.byNamespace[namespace] {
			r.count(r.counting(stored))
		}
		change.Clients = clientsOf(namespace, slices.Concat(change.Hosts, r.ruledBy(namespace)))
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

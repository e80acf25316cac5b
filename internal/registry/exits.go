package registry

import "github.com/egress-governor/egress-governor/internal/egress"

// exits has what the entries of a host make, for those hosts that were asked for since their entries changed. There is
// nothing to know of a host without entries.
type exits map[exitKey]*egress.Exit

type exitKey struct{ host, namespace string }

// forget drops what the entries of hosts made.
func (r *Registry) forget(hosts []string) {
	for _, host := range hosts {
		for _, gw := range r.mesh.Gateways {
			delete(r.exits, exitKey{host, gw.Namespace()})
		}
	}
}

// grow takes a new entry into what the entries of its hosts make: most are like the others of their host, and cost the same however
// many those are. The index has it already.
func (r *Registry) grow(entry *egress.Entry) {
	gw, sealed := r.mesh.GatewayByName(entry.Gateway)
	for _, host := range entry.Hosts {
		if !sealed || entry.Moving != (egress.Leg{}) {
			r.forget([]string{host})
			continue
		}
		key := exitKey{host, gw.Namespace()}
		if last := r.exits[key]; last != nil {
			if next, ok := last.With(entry, r.rules.of(entry.Namespace, host)); ok {
				r.exits[key] = next
				continue
			}
		}
		r.forget([]string{host})
	}
}

// Exit implements egress.View.
func (r *Registry) Exit(host, gatewayNamespace string) *egress.Exit {
	key := exitKey{host, gatewayNamespace}
	r.mu.RLock()
	out, known := r.exits[key]
	entries := len(r.hosts[host])
	r.mu.RUnlock()
	if known || entries == 0 {
		return out
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	// Once more, under the lock: entries and rules are to be of one moment.
	out = r.mesh.ExitOf(r.hosts[host], gatewayNamespace, func(namespace string) *egress.Rule { return r.rules.of(namespace, host) })
	r.exits[key] = out
	return out
}

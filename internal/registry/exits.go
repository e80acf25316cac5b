package registry

import "github.com/egress-governor/egress-governor/internal/egress"

// exits has what the entries of a host make, for those hosts that were asked for since their entries changed. There is
// nothing to know of a host without entries.
type exits map[string]map[string]*egress.Exit

func (x exits) forget(hosts []string) {
	for _, host := range hosts {
		delete(x, host)
	}
}

// Exit implements egress.View.
func (r *Registry) Exit(host, gatewayNamespace string) *egress.Exit {
	r.mu.RLock()
	out, known := r.exits[host][gatewayNamespace]
	entries := len(r.hosts[host])
	r.mu.RUnlock()
	if known || entries == 0 {
		return out
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	// Once more, under the lock: entries and rules are to be of one moment.
	out = r.mesh.ExitOf(r.hosts[host], gatewayNamespace, func(namespace string) *egress.Rule { return r.rules.of(namespace, host) })
	if r.exits[host] == nil {
		r.exits[host] = map[string]*egress.Exit{}
	}
	r.exits[host][gatewayNamespace] = out
	return out
}

package registry

import (
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// give puts the addresses that istiod gave an entry's hosts in the place of those it had; nil is no entry.
func (r *Registry) give(name types.NamespacedName, next *Stored) {
	if last := r.entries[name]; last != nil {
		for _, ip := range last.given {
			r.given.remove(ip, name)
		}
	}
	if next != nil {
		for _, ip := range next.given {
			r.given.add(ip, name)
		}
	}
}

// GivenTo implements egress.View.
func (r *Registry) GivenTo(ip netip.Addr) (out []string) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for name := range r.given[ip] {
		out = append(out, name.String())
	}
	slices.Sort(out)
	return out
}

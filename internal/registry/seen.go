package registry

import (
	"slices"
	"strings"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// seers returns the VirtualServices of a host, and who sees them. A lock is held.
func (r *Registry) seers(of routesByHost, host string) (out []*egress.Seen) {
	for route := range of.routes[host] {
		out = append(out, r.seenBy[route])
	}
	slices.SortFunc(out, func(a, b *egress.Seen) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// Narrowing implements egress.View.
func (r *Registry) Narrowing(wildcard string) []*egress.Seen {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.seers(r.narrowing, wildcard)
}

// Taking implements egress.View.
func (r *Registry) Taking(host string) []*egress.Seen {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.seers(r.taking, host)
}

// Astray implements egress.View.
func (r *Registry) Astray(host string) []*egress.Seen {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.seers(r.astray, host)
}

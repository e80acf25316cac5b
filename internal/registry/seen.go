package registry

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// seers returns VirtualServices, and who sees them. A lock is held.
func (r *Registry) seers(of map[types.NamespacedName]bool) (out []*egress.Seen) {
	for route := range of {
		out = append(out, r.seenBy[route])
	}
	slices.SortFunc(out, func(a, b *egress.Seen) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// Narrowing implements egress.View.
func (r *Registry) Narrowing(wildcard string) []*egress.Seen {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.seers(r.narrowing.routes[wildcard])
}

// Taking implements egress.View.
func (r *Registry) Taking(host string) []*egress.Seen {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.seers(r.taking.routes[host])
}

// Astray implements egress.View.
func (r *Registry) Astray(host string) []*egress.Seen {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.seers(r.astray.routes[host])
}

// Mapped implements egress.View.
func (r *Registry) Mapped(of egress.Mapping) []*egress.Seen {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.seers(r.mapped.routes[of])
}

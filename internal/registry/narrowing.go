package registry

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// seen has VirtualServices, and who sees them, by the hosts whose calls they decide over.
type seen struct {
	byRoute map[types.NamespacedName][]string
	byHost  map[string]map[types.NamespacedName]*egress.Seen
}

func newSeen() seen {
	return seen{byRoute: map[types.NamespacedName][]string{}, byHost: map[string]map[types.NamespacedName]*egress.Seen{}}
}

func (s seen) swap(route types.NamespacedName, hosts []string, by *egress.Seen) {
	for _, host := range s.byRoute[route] {
		if delete(s.byHost[host], route); len(s.byHost[host]) == 0 {
			delete(s.byHost, host)
		}
	}
	delete(s.byRoute, route)
	if len(hosts) == 0 {
		return
	}
	s.byRoute[route] = hosts
	for _, host := range hosts {
		if s.byHost[host] == nil {
			s.byHost[host] = map[types.NamespacedName]*egress.Seen{}
		}
		s.byHost[host][route] = by
	}
}

func (s seen) of(host string) []*egress.Seen {
	return slices.SortedFunc(maps.Values(s.byHost[host]), func(a, b *egress.Seen) int { return strings.Compare(a.String(), b.String()) })
}

// Narrowing implements egress.View.
func (r *Registry) Narrowing(wildcard string) []*egress.Seen {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.narrowing.of(wildcard)
}

// Taking implements egress.View.
func (r *Registry) Taking(host string) []*egress.Seen {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.taking.of(host)
}

// Astray implements egress.View.
func (r *Registry) Astray(host string) []*egress.Seen {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.astray.of(host)
}

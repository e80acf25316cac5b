package registry

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// pairs has the pairs of stored routes: by the routes, by their names, and the names by the hosts that they lead to.
type pairs struct {
	byRoute map[types.NamespacedName]map[string]egress.Pair
	used    map[string]int
	byName  map[string]egress.Pair
	byHost  sets[string, string]
}

func newPairs() pairs {
	return pairs{
		byRoute: map[types.NamespacedName]map[string]egress.Pair{}, used: map[string]int{},
		byName: map[string]egress.Pair{}, byHost: sets[string, string]{},
	}
}

// swap puts the pairs of a route in the place of those it had, and returns the names that came or went.
func (p pairs) swap(route types.NamespacedName, next map[string]egress.Pair) (touched []string) {
	for name, pair := range p.byRoute[route] {
		if p.used[name]--; p.used[name] == 0 {
			delete(p.used, name)
			delete(p.byName, name)
			p.byHost.remove(pair.Led, name)
			touched = append(touched, name)
		}
	}
	delete(p.byRoute, route)
	if len(next) == 0 {
		return touched
	}
	p.byRoute[route] = next
	for name, pair := range next {
		p.used[name]++
		p.byName[name] = pair
		p.byHost.add(pair.Led, name)
		touched = append(touched, name)
	}
	return touched
}

// Pair returns the pair of a name that some stored route makes.
func (r *Registry) Pair(name string) (egress.Pair, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out, ok := r.pairs.byName[name]
	return out, ok
}

// PairsTo returns the names of the pairs that lead to a host.
func (r *Registry) PairsTo(host string) []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Sorted(maps.Keys(r.pairs.byHost[host]))
}

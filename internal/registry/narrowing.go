package registry

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// narrowing has the VirtualServices whose TLS routes take some of the calls of a wildcard, by the wildcard.
type narrowing struct {
	byRoute    map[types.NamespacedName][]string
	byWildcard map[string]map[types.NamespacedName]*egress.Narrow
}

func newNarrowing() narrowing {
	return narrowing{byRoute: map[types.NamespacedName][]string{}, byWildcard: map[string]map[types.NamespacedName]*egress.Narrow{}}
}

func (n narrowing) swap(route types.NamespacedName, next *storedRoutes) {
	for _, wildcard := range n.byRoute[route] {
		if delete(n.byWildcard[wildcard], route); len(n.byWildcard[wildcard]) == 0 {
			delete(n.byWildcard, wildcard)
		}
	}
	delete(n.byRoute, route)
	if len(next.narrows) == 0 {
		return
	}
	n.byRoute[route] = next.narrows
	for _, wildcard := range next.narrows {
		if n.byWildcard[wildcard] == nil {
			n.byWildcard[wildcard] = map[types.NamespacedName]*egress.Narrow{}
		}
		n.byWildcard[wildcard][route] = next.narrow
	}
}

// Narrowing implements egress.View.
func (r *Registry) Narrowing(wildcard string) []*egress.Narrow {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.SortedFunc(maps.Values(r.narrowing.byWildcard[wildcard]), func(a, b *egress.Narrow) int { return strings.Compare(a.String(), b.String()) })
}

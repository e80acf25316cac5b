package registry

import (
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// rivals has the VirtualServices of sidecars by the hosts that they name: of each namespace, and those that others see.
type rivals struct {
	byRoute  map[types.NamespacedName]*egress.Rival
	own      sets[Client, types.NamespacedName]
	exported sets[string, types.NamespacedName]
}

func newRivals() rivals {
	return rivals{map[types.NamespacedName]*egress.Rival{}, sets[Client, types.NamespacedName]{}, sets[string, types.NamespacedName]{}}
}

// swap puts a VirtualService in the place of what it was, nil for none.
func (x rivals) swap(route types.NamespacedName, next *egress.Rival) {
	if last := x.byRoute[route]; last != nil {
		for _, host := range last.Hosts {
			x.own.remove(Client{route.Namespace, host}, route)
			x.exported.remove(host, route)
		}
	}
	if delete(x.byRoute, route); next == nil {
		return
	}
	x.byRoute[route] = next
	for _, host := range next.Hosts {
		x.own.add(Client{route.Namespace, host}, route)
		if next.Exported() {
			x.exported.add(host, route)
		}
	}
}

// Rivals implements egress.View.
func (r *Registry) Rivals(namespace, host string) (out []*egress.Rival) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for route := range r.rivals.own[Client{namespace, host}] {
		out = append(out, r.rivals.byRoute[route])
	}
	for route := range r.rivals.exported[host] {
		if route.Namespace != namespace {
			out = append(out, r.rivals.byRoute[route])
		}
	}
	return out
}

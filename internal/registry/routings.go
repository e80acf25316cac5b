package registry

import (
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// routings has, where routes alone lead calls to gateways, what the VirtualServices of authors say: by the routes, by their
// namespaces and hosts, and by the hosts that they lead to straight.
type routings struct {
	byRoute  map[types.NamespacedName]*egress.Routing
	byHost   sets[Client, types.NamespacedName]
	straight sets[Client, types.NamespacedName]
}

func newRoutings() routings {
	return routings{
		byRoute: map[types.NamespacedName]*egress.Routing{}, byHost: sets[Client, types.NamespacedName]{}, straight: sets[Client, types.NamespacedName]{},
	}
}

// swap puts what a VirtualService says in the place of what it said, nil for nothing, and says whether that is other.
func (x routings) swap(route types.NamespacedName, next *egress.Routing) (last *egress.Routing, changed bool) {
	if last = x.byRoute[route]; reflect.DeepEqual(last, next) {
		return last, false
	}
	x.index(route, last, sets[Client, types.NamespacedName].remove)
	if delete(x.byRoute, route); next != nil {
		x.byRoute[route] = next
	}
	x.index(route, next, sets[Client, types.NamespacedName].add)
	return last, true
}

// index puts a VirtualService into the sets of its hosts, or takes it out of them.
func (x routings) index(route types.NamespacedName, of *egress.Routing, at func(set sets[Client, types.NamespacedName], key Client, route types.NamespacedName)) {
	if of == nil {
		return
	}
	for _, host := range of.Hosts {
		at(x.byHost, Client{route.Namespace, host}, route)
	}
	for _, host := range of.Straight {
		at(x.straight, Client{route.Namespace, host}, route)
	}
}

// touched returns the hosts whose calls a VirtualService says something of.
func touched(of *egress.Routing) []string {
	if of == nil {
		return nil
	}
	return slices.Concat(of.Hosts, of.Straight)
}

// Routings implements egress.View.
func (r *Registry) Routings(namespace, host string) (out []*egress.Routing) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for name := range r.routings.byHost[Client{namespace, host}] {
		out = append(out, r.routings.byRoute[name])
	}
	return out
}

// Straight returns the names of VirtualServices of a namespace that lead calls to a host past the gateways, where routes alone
// lead there.
func (r *Registry) Straight(namespace, host string) (out []string) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for name := range r.routings.straight[Client{namespace, host}] {
		out = append(out, name.Name)
	}
	slices.Sort(out)
	return out
}

package registry

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// sets has sets of values by key. A key without a value is not there.
type sets[K, V comparable] map[K]map[V]bool

func (s sets[K, V]) add(key K, value V) {
	if s[key] == nil {
		s[key] = map[V]bool{}
	}
	s[key][value] = true
}

func (s sets[K, V]) remove(key K, value V) {
	if delete(s[key], value); len(s[key]) == 0 {
		delete(s, key)
	}
}

// first returns the first of names, the same one each time; empty for none.
func first(names map[string]bool) (out string) {
	for name := range names {
		if out == "" || name < out {
			out = name
		}
	}
	return out
}

// routesBy has VirtualServices, or Gateway objects, by what is said of them, of a host mostly.
type routesBy[K comparable] struct {
	hosts  map[types.NamespacedName][]K
	routes sets[K, types.NamespacedName]
}

type routesByHost = routesBy[string]

func newRoutesBy[K comparable]() routesBy[K] {
	return routesBy[K]{map[types.NamespacedName][]K{}, sets[K, types.NamespacedName]{}}
}

// swap puts the hosts of an object in the place of those it had, and says whether they are others.
func (r routesBy[K]) swap(route types.NamespacedName, next []K) (changed bool) {
	last := r.hosts[route]
	if slices.Equal(last, next) {
		return false
	}
	for _, host := range last {
		r.routes.remove(host, route)
	}
	if delete(r.hosts, route); len(next) > 0 {
		r.hosts[route] = next
	}
	for _, host := range next {
		r.routes.add(host, route)
	}
	return true
}

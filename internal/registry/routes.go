package registry

import (
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// storedRoutes is what is kept of a stored VirtualService: the pairs that it makes, and the Gateway objects on which it
// decides.
type storedRoutes struct {
	metav1.ObjectMeta
	pairs    map[string]egress.Pair
	deciding []string
	// leads are the hosts that its sidecars' routes lead to as it is stored, and are for.
	leads []string
	// narrows are the wildcards of which its TLS routes leave calls out, for those who see it.
	narrows []string
	// takes are the hosts over whose calls it decides for all who see it.
	takes []string
	// astray are the hosts to which it leads calls that ask for others.
	astray []string
	seen   *egress.Seen
	// routing is what it says of its hosts' calls where routes alone lead to gateways; nil for one of ours.
	routing *egress.Routing
}

// GetObjectKind implements runtime.Object.
func (*storedRoutes) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements runtime.Object. What is shared is never changed.
func (s *storedRoutes) DeepCopyObject() runtime.Object {
	out := *s
	return &out
}

// pairs has the pairs of stored routes: by the routes, by their names, and the names by the hosts that they lead to.
type pairs struct {
	byRoute map[types.NamespacedName]map[string]egress.Pair
	used    map[string]int
	byName  map[string]egress.Pair
	byHost  map[string]map[string]bool
}

func newPairs() pairs {
	return pairs{
		byRoute: map[types.NamespacedName]map[string]egress.Pair{}, used: map[string]int{},
		byName: map[string]egress.Pair{}, byHost: map[string]map[string]bool{},
	}
}

// swap puts the pairs of a route in the place of those it had, and returns the names that came or went.
func (p pairs) swap(route types.NamespacedName, next map[string]egress.Pair) (touched []string) {
	for name, pair := range p.byRoute[route] {
		if p.used[name]--; p.used[name] == 0 {
			delete(p.used, name)
			delete(p.byName, name)
			if delete(p.byHost[pair.Led], name); len(p.byHost[pair.Led]) == 0 {
				delete(p.byHost, pair.Led)
			}
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
		if p.byHost[pair.Led] == nil {
			p.byHost[pair.Led] = map[string]bool{}
		}
		p.byHost[pair.Led][name] = true
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

// Deciding implements egress.View.
func (r *Registry) Deciding(namespace, gateway string) (out []string) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for route, gateways := range r.deciding {
		if slices.Contains(gateways, namespace+"/"+gateway) {
			out = append(out, route.String())
		}
	}
	slices.Sort(out)
	return out
}

// leading has the routes that lead to a host as they are stored, or are for it.
type leading struct {
	byRoute map[types.NamespacedName][]string
	byHost  map[string]map[types.NamespacedName]bool
}

func newLeading() leading {
	return leading{byRoute: map[types.NamespacedName][]string{}, byHost: map[string]map[types.NamespacedName]bool{}}
}

func (l leading) swap(route types.NamespacedName, next []string) {
	for _, host := range l.byRoute[route] {
		if delete(l.byHost[host], route); len(l.byHost[host]) == 0 {
			delete(l.byHost, host)
		}
	}
	delete(l.byRoute, route)
	if len(next) == 0 {
		return
	}
	l.byRoute[route] = next
	for _, host := range next {
		if l.byHost[host] == nil {
			l.byHost[host] = map[types.NamespacedName]bool{}
		}
		l.byHost[host][route] = true
	}
}

// leads returns the hosts that a VirtualService leads to and that are neither Services nor gateways, and those that sidecars
// apply it for: whose calls these are may change.
func (r *Registry) leads(vs *unstructured.Unstructured) []string {
	hosts := map[string]bool{}
	gateways, _, _ := unstructured.NestedStringSlice(vs.Object, "spec", "gateways")
	if len(gateways) == 0 || slices.Contains(gateways, "mesh") {
		own, _, _ := unstructured.NestedStringSlice(vs.Object, "spec", "hosts")
		for _, host := range own {
			hosts[r.mesh.Qualify(host, vs.GetNamespace())] = true
		}
	}
	for _, d := range egress.Destinations(vs) {
		hosts[r.mesh.Qualify(d.Host(), vs.GetNamespace())] = true
	}
	maps.DeleteFunc(hosts, func(host string, _ bool) bool { return r.mesh.InCluster(host) })
	return slices.Sorted(maps.Keys(hosts))
}

// LeadingTo returns the VirtualServices of governed namespaces that lead to a host as they are stored, or are for it, by a
// wildcard too.
func (r *Registry) LeadingTo(host string) (out []types.NamespacedName) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	seen := map[types.NamespacedName]bool{}
	for _, of := range r.related(host) {
		for route := range r.leading.byHost[of] {
			if r.governed[route.Namespace] && !seen[route] {
				seen[route] = true
				out = append(out, route)
			}
		}
	}
	return out
}

// related returns the hosts of routes that stand for a host, and those that a wildcard stands for.
func (r *Registry) related(host string) []string {
	out := egress.Patterns(host)
	if egress.IsWildcard(host) {
		for of := range r.leading.byHost {
			if of != host && strings.HasSuffix(of, host[1:]) {
				out = append(out, of)
			}
		}
	}
	return out
}

// PutRoutes takes in a VirtualService.
func (r *Registry) PutRoutes(object *unstructured.Unstructured) { r.putRoutes(r.slimRoutes(object)) }

// DeleteRoutes forgets a VirtualService.
func (r *Registry) DeleteRoutes(namespace, name string) {
	r.swapRoutes(types.NamespacedName{Namespace: namespace, Name: name}, &storedRoutes{})
}

func (r *Registry) slimRoutes(obj any) any {
	object, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return obj
	}
	out := &storedRoutes{ObjectMeta: identity(object), deciding: hop.Deciding(object), leads: r.leads(object), narrows: hop.Narrows(object, r.mesh), takes: egress.Takes(object, r.mesh), astray: egress.Astray(object, r.mesh)}
	if len(out.narrows)+len(out.takes)+len(out.astray) > 0 {
		out.seen = &egress.Seen{Namespace: out.Namespace, Name: out.Name, ExportTo: egress.ExportTo(object)}
	}
	if r.mesh.ByRoutes() && !hop.IsClientRoute(object) {
		out.routing = egress.ReadRouting(object, r.mesh)
	}
	if _, injected := object.GetAnnotations()[hop.IntentAnnotation]; !injected {
		return out
	}
	if intent, err := hop.RouteIntent(object, r.mesh); err == nil {
		out.pairs = hop.Pairs(object, intent, r.mesh)
		if r.mesh.ByRoutes() {
			// They follow the gateway of their namespace, too.
			out.leads = append(out.leads, r.leads(intent)...)
			slices.Sort(out.leads)
			out.leads = slices.Compact(out.leads)
		}
	}
	return out
}

func (r *Registry) putRoutes(kept any) {
	if stored, ok := kept.(*storedRoutes); ok {
		r.swapRoutes(types.NamespacedName{Namespace: stored.Namespace, Name: stored.Name}, stored)
	}
}

func (r *Registry) swapRoutes(route types.NamespacedName, next *storedRoutes) {
	r.mu.Lock()
	var change Change
	if !slices.Equal(r.leading.byRoute[route], next.leads) && len(next.leads) > 0 {
		change.Routes = []types.NamespacedName{route}
	}
	r.leading.swap(route, next.leads)
	r.narrowing.swap(route, next.narrows, next.seen)
	r.taking.swap(route, next.takes, next.seen)
	r.astray.swap(route, next.astray, next.seen)
	delete(r.deciding, route)
	if len(next.deciding) > 0 {
		r.deciding[route] = next.deciding
	}
	if !maps.Equal(r.pairs.byRoute[route], next.pairs) {
		change.Hosts = r.pairs.swap(route, next.pairs)
	}
	if last, changed := r.routings.swap(route, next.routing); changed {
		hosts := append(touched(last), touched(next.routing)...)
		slices.Sort(hosts)
		change.Clients = clientsOf(route.Namespace, slices.Compact(hosts))
	}
	r.mu.Unlock()
	r.tell(change)
}

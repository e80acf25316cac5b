package registry

import (
	"maps"
	"slices"
	"strings"

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
	Identity
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
	// mapped are the ports of hosts to which it leads calls in a way that the gateway would not go by.
	mapped []egress.Mapping
	seen   *egress.Seen
	// routing is what it says of its hosts' calls where routes alone lead to gateways; nil for one of ours.
	routing *egress.Routing
	// rival is what it is beside others of its hosts; nil for one of ours.
	rival *egress.Rival
}

// GetObjectKind implements runtime.Object.
func (*storedRoutes) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements runtime.Object. What is shared is never changed.
func (s *storedRoutes) DeepCopyObject() runtime.Object {
	out := *s
	return &out
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

// LeadingTo returns the VirtualServices of governed namespaces that lead to a host as they are stored, or are for it, by a
// wildcard too.
func (r *Registry) LeadingTo(host string) (out []types.NamespacedName) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	seen := map[types.NamespacedName]bool{}
	for _, of := range r.related(host) {
		for route := range r.leading.routes[of] {
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
		for of := range r.leading.routes {
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
	out := &storedRoutes{Identity: identify(object), deciding: hop.Deciding(object), narrows: hop.Narrows(object, r.mesh), takes: egress.Takes(object, r.mesh), astray: egress.Astray(object, r.mesh)}
	intent, err := object, error(nil)
	_, injected := object.GetAnnotations()[hop.IntentAnnotation]
	if injected {
		intent, err = hop.RouteIntent(object, r.mesh)
	}
	if !r.ours(object) {
		// Those of exits stay as they are, whatever becomes of their hosts.
		out.leads, out.mapped = egress.Leads(object, r.mesh), egress.Mappings(object, r.mesh)
		if err == nil && r.mesh.Inject {
			out.mapped = append(out.mapped, egress.Meant(intent, r.mesh)...)
		}
	}
	if len(out.narrows)+len(out.takes)+len(out.astray)+len(out.mapped) > 0 {
		out.seen = &egress.Seen{Namespace: out.Namespace, Name: out.Name, ExportTo: egress.ExportTo(object), Gateways: egress.GatewaysAlone(object)}
	}
	if !hop.IsClientRoute(object) {
		out.rival = egress.ReadRival(object, r.mesh)
		if r.mesh.ByRoutes() {
			out.routing = egress.ReadRouting(object, r.mesh)
		}
	}
	if err == nil && r.mesh.Inject && !r.ours(object) {
		// They are there before the route asks for them, so that no call is lost while it is rewritten.
		for _, pair := range egress.Portless(intent, r.mesh) {
			if out.pairs == nil {
				out.pairs = map[string]egress.Pair{}
			}
			out.pairs[pair.Host()] = pair
		}
	}
	if injected && err == nil {
		made := hop.Pairs(egress.Destinations(object), intent, r.mesh)
		if out.pairs == nil {
			out.pairs = made
		}
		maps.Copy(out.pairs, made)
		// They follow the rule of the host that their author leads them to, too.
		out.leads = append(out.leads, egress.Leads(intent, r.mesh)...)
		slices.Sort(out.leads)
		out.leads = slices.Compact(out.leads)
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
	r.ledHosts.add(route.Namespace, len(next.leads)-len(r.leading.hosts[route]))
	if r.leading.swap(route, next.leads) && len(next.leads) > 0 {
		change.Routes = []types.NamespacedName{route}
	}
	r.narrowing.swap(route, next.narrows)
	r.taking.swap(route, next.takes)
	r.astray.swap(route, next.astray)
	r.mapped.swap(route, next.mapped)
	r.rivals.swap(route, next.rival)
	if delete(r.seenBy, route); next.seen != nil {
		r.seenBy[route] = next.seen
	}
	if delete(r.deciding, route); len(next.deciding) > 0 {
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

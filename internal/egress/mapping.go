package egress

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Mapping is a port of a host to which a stored VirtualService leads HTTP calls in a way in which the egress gateway would call
// another, once an entry of the host has such a port as Needs says.
type Mapping struct {
	Host  string
	Port  uint32
	Needs Need
}

// Need is what a port would have to be for a mapping to be wrong.
type Need int

// What ports would have to be.
const (
	// NeedsTLS: it takes TLS. The calls could not be encrypted.
	NeedsTLS Need = iota
	// NeedsSeveral: it is one of several that take HTTP. The calls ask for another, or for none.
	NeedsSeveral
)

// Mappings returns those of a stored VirtualService. One that was injected leads elsewhere.
func Mappings(vs *unstructured.Unstructured, mesh *Mesh) (out []Mapping) {
	gateways := GatewayNames(vs)
	r := &resolver{mesh: mesh, namespace: vs.GetNamespace()}
	r.readHosts(vs)
	for _, d := range Destinations(vs) {
		route := Route{Destination: d, Canonical: mesh.Qualify(d.Host(), vs.GetNamespace()), Reach: reachOf(gateways, d.Route)}
		_, toGateway := mesh.GatewayByService(route.Canonical)
		if d.Section != "http" || d.Port() == 0 || toGateway || mesh.InCluster(route.Canonical) {
			continue
		}
		route.Targets = r.targets(d)
		of := Mapping{Host: route.Canonical, Port: d.Port()}
		if !mesh.Inject || !route.AsksOnlyFor() {
			out = append(out, of)
		}
		if route.Reach.Mesh && !route.MayPair() && route.asksAsItCame() && !route.takesPort(d.Port()) {
			out = append(out, Mapping{of.Host, of.Port, NeedsSeveral})
		}
	}
	return out
}

// AsksOnlyFor says whether HTTP calls of the mesh are led to the very host that they are for, and so can be made to ask for a port of it.
func (r Route) AsksOnlyFor() bool {
	return r.Reach.Mesh && !r.Reach.Gateway && !r.Mirror && !IsWildcard(r.Canonical) && r.asksAsItCame() &&
		!slices.ContainsFunc(r.Targets, func(target Target) bool { return target.Canonical != r.Canonical })
}

// asksAsItCame says whether calls go on asking for hosts of the spec.
func (r Route) asksAsItCame() bool {
	return len(r.Targets) > 0 && !slices.ContainsFunc(r.Targets, func(target Target) bool { return !target.OfSpec })
}

// takesPort says whether a route takes calls to a port alone.
func (r Route) takesPort(port uint32) bool {
	matches := Matches(r.Route)
	return len(matches) > 0 && !slices.ContainsFunc(matches, func(match map[string]any) bool { return !MatchesPort(match, port) })
}

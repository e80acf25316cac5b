package egress

import (
	"iter"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Mapping is a port of a host to which a stored VirtualService leads HTTP calls in a way in which the egress gateway would call
// another, once an entry of the host has such a port as Needs says.
type Mapping struct {
	Host string
	// Port is 0 where the route names none.
	Port  uint32
	Needs Need
	// OnGateways says that proxies other than sidecars apply the route, and no sidecars: which they are, Seen.Gateways says.
	OnGateways bool
}

// Need is what a port would have to be for a mapping to be wrong.
type Need int

// What ports would have to be.
const (
	// NeedsTLS: it takes TLS. The calls could not be encrypted.
	NeedsTLS Need = iota
	// NeedsSeveral: it is one of several that take HTTP. The calls ask for another, or for none.
	NeedsSeveral
	// NeedsRule: it takes TLS, and no DestinationRule sets tls for it. The calls are for the host itself, and are made to ask for the port.
	NeedsRule
	// NeedsBySNI: it takes TLS, at a gateway that goes by the SNI. The calls ask for another host.
	NeedsBySNI
	// NeedsAny: it is there. HTTP calls ask for another host.
	NeedsAny
	// NeedsAnother: another takes HTTP, too. The calls ask for the host and leave out the port.
	NeedsAnother
)

// Mappings returns those of a stored VirtualService. One that was injected leads elsewhere.
func Mappings(vs *unstructured.Unstructured, mesh *Mesh) (out []Mapping) {
	gateways := GatewayNames(vs)
	r := &resolver{mesh: mesh, namespace: vs.GetNamespace()}
	r.readHosts(vs)
	for route := range r.outside(Destinations(vs), gateways) {
		of := Mapping{Host: route.Canonical, OnGateways: !route.Reach.Mesh}
		add := func(port uint32, needs Need) { out = append(out, Mapping{of.Host, port, needs, of.OnGateways}) }
		switch {
		case route.Section == "tls" && route.asksForAnother():
			add(0, NeedsBySNI)
		case route.Section == "http" && of.OnGateways && (len(route.Targets) == 0 || route.asksForAnother()):
			add(0, NeedsAny)
		}
		if route.Section != "http" {
			continue
		}
		if !mesh.Inject && route.asksFor80() {
			add(route.Port(), NeedsAnother)
		}
		if route.Port() == 0 {
			continue
		}
		if !mesh.Inject || !route.AsksOnlyFor() {
			out = append(out, Mapping{Host: of.Host, Port: route.Port()})
		}
		if !route.MayPair() && route.asksAsItCame() && !route.takesPort(route.Port()) {
			add(route.Port(), NeedsSeveral)
		}
	}
	return out
}

// asksFor80 says whether a route itself has some calls ask for the host that it leads to, which is then at port 80, and leads to another.
func (r Route) asksFor80() bool {
	return r.Port() != 80 && slices.ContainsFunc(r.Targets, func(target Target) bool {
		return !target.OfSpec && target.Canonical == r.Canonical && (target.Port == 0 || target.Port == 80)
	})
}

// Meant returns those of a VirtualService as its author wrote it, where calls are made to ask for what a route says: that lead HTTP calls to a
// host under the name of another and say no port of it, of several of which the gateway would not know which, and to a port of the host itself;
// and those that ask for the host alone and cannot be made to ask for the port.
func Meant(vs *unstructured.Unstructured, mesh *Mesh) (out []Mapping) {
	r := &resolver{mesh: mesh, namespace: vs.GetNamespace()}
	r.readHosts(vs)
	for route := range r.outside(Destinations(vs), GatewayNames(vs)) {
		of := Mapping{Host: route.Canonical, Port: route.Port()}
		switch {
		case route.MayPair() && of.Port == 0:
			of.Needs = NeedsSeveral
		case route.Section == "http" && of.Port != 0 && route.AsksOnlyFor():
			of.Needs = NeedsRule
		case route.Section == "http" && route.asksFor80() && !route.LeavesPortOut():
			of.Needs, of.OnGateways = NeedsAnother, !route.Reach.Mesh
		default:
			continue
		}
		if !slices.Contains(out, of) {
			out = append(out, of)
		}
	}
	return out
}

// outside yields the routes of destinations that are neither of the mesh nor egress gateways, with what their calls ask for.
func (r *resolver) outside(of []Destination, gateways []string) iter.Seq[Route] {
	return func(yield func(Route) bool) {
		for _, d := range of {
			route := Route{Destination: d, Canonical: r.mesh.Qualify(d.Host(), r.namespace), Reach: reachOf(gateways, d.Route)}
			if _, toGateway := r.mesh.GatewayByService(route.Canonical); toGateway || r.mesh.InCluster(route.Canonical) {
				continue
			}
			route.Targets = r.targets(d)
			if !yield(route) {
				return
			}
		}
	}
}

// AsksOnlyFor says whether HTTP calls of the mesh are led to the very host that they are for, and so can be made to ask for a port of it.
func (r Route) AsksOnlyFor() bool {
	return r.Reach.Mesh && !r.Reach.Gateway && !r.Mirror && !IsWildcard(r.Canonical) && r.asksAsItCame() &&
		!slices.ContainsFunc(r.Targets, func(target Target) bool { return target.Canonical != r.Canonical })
}

// asksForAnother says whether some calls ask for another host than the one that they are led to.
func (r Route) asksForAnother() bool {
	return slices.ContainsFunc(r.Targets, func(target Target) bool { return !IsReserved(target.Canonical) && !target.Within(r.Canonical) })
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

package egress

import (
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Route is one destination of a VirtualService with everything that the cluster says of it: what rewrites, checks and
// facts go by, resolved once.
type Route struct {
	Destination
	// Canonical is the destination's host, a short name expanded.
	Canonical string
	// Reach says which proxies apply the route, Bound which of them are not sidecars.
	Reach Reach
	Bound Bound
	// Targets are the hosts that its calls ask for. Routes of one object may share the slice.
	Targets []Target
	// Entries are those that name the host, Serving is the one by which calls go that the routes may lead; nil for none.
	Entries []*Entry
	Serving *Entry
	// Ports are those by which such calls go: of Serving, and of the other entries of the host that its namespace has at the same gateway.
	Ports []Port
	// Exit is how the gateway that Serving is sealed to reaches the host; nil for none.
	Exit *Exit
	// InMesh is true for hosts of Services and below the cluster domain, ToGateway for an egress gateway's own Service.
	InMesh    bool
	ToGateway bool
	// Alias is the host outside the mesh of which the destination is another name, an ExternalName Service's; empty for none.
	Alias string
	// ByMutualTLS says that this gateway takes mutual TLS alone.
	ByMutualTLS bool
}

// VirtualService is one with its routes resolved.
type VirtualService struct {
	// Namespace is the object's.
	Namespace string
	// Of is the kind of the Gateway API's route that Istio makes it of, empty for an author's own.
	Of string
	// Hosts are those of the spec. They are asked for by routes that change neither authority nor SNI.
	Hosts []Target
	// Delegated are the authorities that routes without destinations set, or the hosts of the spec where such a route of
	// sidecars delegates what it does not set; Inherited those that they set and an egress gateway serves: delegates ask it for
	// them, whatever is set beside their own destinations.
	Delegated, Inherited []Target
	// Mesh says whether sidecars apply it at all, Bound whether gateways do.
	Mesh, Bound bool
	// External says that a host of the spec is none of the mesh's own.
	External bool
	// Routes are its destinations, in the order of the fields.
	Routes       []Route
	destinations []Destination
	// Others are hosts of the spec whose calls are not the namespace's own to route for all that the routes are exported to: some of these
	// call them by an entry of another namespace, or by none.
	Others []Target
	// Taking are the routes that decide over the calls of all who see them, since gateways must see them too.
	Taking []*field.Path
	// ExportTo is as written; Exported says that sidecars of other namespaces apply it too.
	ExportTo []string
	Exported bool
	// Left says that it stays as its author wrote it, and that sealed entries carry its calls.
	Left bool
	// Routing is what it says of the calls of its hosts, nil where sidecars do not apply it, and Led are the ports of its hosts
	// that the namespace sees: known only where routes alone lead calls to gateways.
	Routing *Routing
	Led     []LedPort
	// Exits are those of the hosts of the spec, by host; known only where OnGateways is not empty.
	Exits map[string]*Exit
	// Above are the wildcards with an exit that stand for a host of the spec: known only where OnGateways is not empty.
	Above []string
	// Pairs are those that the routes make, by name, where the reader of the object knows them.
	Pairs map[string]Pair
	// Addresses are those at which sidecars of the namespace await calls of the hosts of the spec, in their one spelling; known only where
	// there are TLS routes, or some for addresses. It is false for those of the mesh's own that the operator declared: no host outside is
	// at them.
	Addresses map[string]bool
	// ranges are those among these for which it is false.
	ranges map[netip.Prefix]bool
	// Told are the hosts whose TLS calls sidecars tell from others by the TLS routes of the object, once it has some.
	Told []Target
	// OnGateways are the routes, with or without destinations, that proxies other than sidecars apply.
	OnGateways []OnGateway
}

// Destinations returns those of the routes.
func (v *VirtualService) Destinations() []Destination { return v.destinations }

// IsDelegate says whether others lead their calls to the routes: which hosts these are for is theirs to say.
func (v *VirtualService) IsDelegate() bool { return len(v.Hosts) == 0 }

// OnGateway is a route as it is written, and where it is applied.
type OnGateway struct {
	Section string
	Raw     map[string]any
	Path    *field.Path
	Bound   Bound
}

// Resolve reads a VirtualService against the cluster.
func Resolve(vs *unstructured.Unstructured, mesh *Mesh, view View) *VirtualService {
	gateways := GatewayNames(vs)
	r := &resolver{mesh: mesh, view: view, namespace: vs.GetNamespace(), known: map[string]Route{}, bounds: map[string]Bound{}}
	r.readHosts(vs)
	out := &VirtualService{Namespace: r.namespace, Hosts: r.hosts, Delegated: r.delegated(vs, gateways), Mesh: OfSidecars(gateways)}
	out.External = slices.ContainsFunc(r.hosts, func(target Target) bool { return !mesh.InMesh(target.Canonical, view) })
	for _, target := range out.Delegated {
		if serving := r.host(target.Canonical).Serving; !target.OfSpec && serving != nil && serving.Gateway != "" {
			out.Inherited = append(out.Inherited, target)
		}
	}
	out.destinations = Destinations(vs)
	out.Routes = r.routes(out.destinations, gateways)
	for _, section := range sections {
		for i, item := range RoutesOf(vs, section) {
			raw, _ := item.(map[string]any)
			if bound := r.bound(gateways, raw); bound != (Bound{}) && !bound.Away {
				out.OnGateways = append(out.OnGateways, OnGateway{section, raw, field.NewPath("spec", section).Index(i), bound})
			}
		}
	}
	out.Bound = ForGateways(gateways) && len(out.OnGateways) > 0
	if len(out.OnGateways) > 0 {
		out.Exits, out.Above = r.exits(), r.above()
	}
	out.Left = mesh.Seal && !mesh.Inject
	if mesh.ByRoutes() {
		out.Routing = ReadRouting(vs, mesh)
		out.Led = r.led()
	}
	out.ExportTo = ExportTo(vs)
	out.Exported = len(out.ExportTo) == 0 || slices.ContainsFunc(out.ExportTo, func(to string) bool { return to != "." && to != r.namespace })
	if slices.ContainsFunc(out.Routes, func(route Route) bool { return route.Section == "tls" && route.Reach.Mesh }) {
		out.Told = r.told(out)
	}
	if out.Told != nil || slices.ContainsFunc(out.destinations, forSubnets) {
		out.Addresses, out.ranges = r.addresses()
	}
	if out.Mesh && out.Exported {
		out.Others = r.others(out.ExportTo, !out.Bound)
	}
	if out.Bound && len(out.Others) > 0 {
		out.Taking = r.taking(vs)
	}
	return out
}

// Inside says whether a VirtualService has to do with the mesh's own alone: its hosts are, and it leads to no host of an entry and to no
// egress gateway. Most are so.
func Inside(vs *unstructured.Unstructured, mesh *Mesh, view View) bool {
	r := &resolver{mesh: mesh, view: view, namespace: vs.GetNamespace(), known: map[string]Route{}}
	r.readHosts(vs)
	if slices.ContainsFunc(r.hosts, func(target Target) bool { return !mesh.InMesh(target.Canonical, view) }) {
		return false
	}
	return !slices.ContainsFunc(Destinations(vs), func(d Destination) bool {
		to := r.host(d.Host())
		return len(to.Entries) > 0 || to.ToGateway
	})
}

// routes resolves destinations. Those of one route have in common who applies it.
func (r *resolver) routes(of []Destination, gateways []string) []Route {
	out := make([]Route, len(of))
	for i, d := range of {
		out[i] = r.host(d.Host())
		out[i].Destination, out[i].Targets = d, r.targets(d)
		if i > 0 && of[i-1].RoutePath == d.RoutePath {
			out[i].Reach, out[i].Bound = out[i-1].Reach, out[i-1].Bound
		} else {
			out[i].Reach, out[i].Bound = reachOf(gateways, d.Route), r.bound(gateways, d.Route)
		}
	}
	return out
}

// forSubnets says whether the route of a destination is for some addresses.
func forSubnets(d Destination) bool {
	return slices.ContainsFunc(Matches(d.Route), func(match map[string]any) bool { return match["destinationSubnets"] != nil })
}

// addresses returns those of the entries by which the namespace calls the hosts of the spec, and the ranges among those that the
// mesh's own have as the operator declared.
func (r *resolver) addresses() (out map[string]bool, ranges map[netip.Prefix]bool) {
	out, ranges = map[string]bool{}, map[netip.Prefix]bool{}
	for _, target := range r.hosts {
		serving := r.host(target.Canonical).Serving
		if serving == nil {
			continue
		}
		for _, written := range serving.Addresses {
			address, declared := Address(written), !serving.External && r.mesh.Declares(written)
			out[address] = out[address] || !declared
			if within, err := RangeOf(written); declared && err == nil {
				ranges[within.Masked()] = true
			}
		}
	}
	return out, ranges
}

// Awaits says whether sidecars await calls of the hosts of the spec at an address, or at all of a range: one that their entries have,
// or a part of one that the operator declared for the mesh's own.
func (v *VirtualService) Awaits(subnet string) bool {
	if _, awaited := v.Addresses[Address(subnet)]; awaited {
		return true
	}
	part, err := RangeOf(subnet)
	for bits := part.Bits(); err == nil && len(v.ranges) > 0 && bits >= 0; bits-- {
		if whole, _ := part.Addr().Prefix(bits); v.ranges[whole] { // of no more bits than it has
			return true
		}
	}
	return false
}

// exits returns the exits of the hosts of the spec, and of those that its wildcards stand for.
func (r *resolver) exits() map[string]*Exit {
	out := map[string]*Exit{}
	for _, target := range r.hosts {
		for _, host := range r.view.Below(target.Canonical) {
			for _, gw := range r.mesh.Gateways {
				if exit := r.view.Exit(host, gw.Namespace()); exit != nil {
					out[host] = exit
				}
			}
		}
	}
	return out
}

// above returns the wildcards with an exit that stand for hosts of the spec. Calls to such a host, which is the more specific, go by
// whatever a gateway has for it.
func (r *resolver) above() (out []string) {
	for _, target := range r.hosts {
		for _, wildcard := range Patterns(target.Canonical)[1:] {
			if slices.ContainsFunc(r.mesh.Gateways, func(gw Gateway) bool { return r.view.Exit(wildcard, gw.Namespace()) != nil }) {
				out = append(out, wildcard)
			}
		}
	}
	return out
}

// bound returns where a route is applied, asked for once.
func (r *resolver) bound(gateways []string, route map[string]any) Bound {
	names := gatewaysOf(gateways, route)
	key := strings.Join(names, ",")
	out, known := r.bounds[key]
	if !known {
		out = r.mesh.bound(names, r.namespace, r.view)
		r.bounds[key] = out
	}
	return out
}

// resolver reads the destinations of one object. What it knows of a host it has asked for once, since thousands of
// routes commonly lead to a few hosts.
type resolver struct {
	mesh      *Mesh
	view      View
	namespace string
	hosts     []Target
	// places are those of the hosts by their names, once somebody has asked.
	places map[string]int
	known  map[string]Route
	bounds map[string]Bound
}

// readHosts takes in the hosts of the spec, which its destinations' calls ask for unless they are told to ask for another.
func (r *resolver) readHosts(vs *unstructured.Unstructured) {
	for i, host := range Hosts(vs) {
		target := r.target(host, field.NewPath("spec", "hosts").Index(i), true)
		target.OfSpec = true
		r.hosts = append(r.hosts, target)
	}
}

// host returns the part of a route that depends on nothing but its destination's host.
func (r *resolver) host(written string) Route {
	if route, ok := r.known[written]; ok {
		return route
	}
	canonical := r.mesh.Qualify(written, r.namespace)
	entries := r.view.Entries(canonical)
	out := Route{
		Canonical: canonical, Entries: entries, Serving: Concerned(entries, r.namespace),
		InMesh: r.mesh.InMesh(canonical, r.view),
	}
	out.Ports = PortsBeside(out.Serving, entries)
	if out.Serving != nil && out.Serving.Gateway != "" {
		gw, _ := r.mesh.GatewayByName(out.Serving.Gateway)
		out.Exit = r.view.Exit(canonical, gw.Namespace())
	}
	out.Alias = r.mesh.aliased(canonical, r.view)
	gw, is := r.mesh.GatewayByService(canonical)
	out.ToGateway, out.ByMutualTLS = is, gw.Transport == MutualTLS
	r.known[written] = out
	return out
}

package egress

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
	"unique"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Rival is a VirtualService as it stands beside others of one of its hosts. Istio merges no two of them: a sidecar goes, at each port, by
// the first that has a route there, and the routes of the others are without effect.
type Rival struct {
	Seen
	// Created is zero for one that is not stored yet.
	Created time.Time
	// Hosts are canonical, those under the cluster's own domain left out.
	Hosts []string
	// routes has each kind of route of sidecars once.
	routes []rivalRoute
}

// maxServed is how many kinds of routes of one object are kept: people write a few, and nothing is said of whoever writes more.
const maxServed = 100

// rivalRoute is a kind of route with the SNIs of TLS.
type rivalRoute struct {
	served
	names map[string]bool
}

// served are the calls that a route is for.
type served struct {
	family Family
	// port is 0 for any.
	port uint32
	// names are the SNIs of TLS, each once, and subnets the addresses that calls must be for: lists as one text, which may be long.
	names, subnets unique.Handle[string]
	// some says that it is for the calls of some pods alone.
	some bool
}

// Served are the kinds of routes that a VirtualService has for calls of one of its hosts.
type Served []served

// all is a list that leaves nothing out.
var all = unique.Make("")

var families = map[string]Family{"http": FamilyHTTP, "tls": FamilyTLS, "tcp": FamilyTCP}

// ReadRival reads a VirtualService; nil where no sidecar applies it, or it is for none but the mesh's own hosts.
func ReadRival(vs *unstructured.Unstructured, mesh *Mesh) *Rival {
	gateways := GatewayNames(vs)
	if !OfSidecars(gateways) {
		return nil
	}
	out := &Rival{Seen: Seen{Namespace: vs.GetNamespace(), Name: vs.GetName(), ExportTo: ExportTo(vs)}, Created: vs.GetCreationTimestamp().Time}
	for _, host := range Hosts(vs) {
		if canonical := mesh.Qualify(host, vs.GetNamespace()); !mesh.InCluster(canonical) {
			out.Hosts = append(out.Hosts, canonical)
		}
	}
	if len(out.Hosts) == 0 {
		return nil
	}
	known := map[served]bool{}
	for _, section := range sections {
		for _, item := range RoutesOf(vs, section) {
			route, _ := item.(map[string]any)
			for _, of := range servedBy(route, families[section], gateways) {
				if known[of.served] {
					continue
				}
				if len(known) == maxServed {
					out.routes = nil
					return out
				}
				known[of.served] = true
				out.routes = append(out.routes, of)
			}
		}
	}
	return out
}

// servedBy returns the calls of sidecars that a route is for.
func servedBy(route map[string]any, family Family, gateways []string) (out []rivalRoute) {
	matches := Matches(route)
	if len(matches) == 0 && family != FamilyTLS {
		return []rivalRoute{{served: served{family: family, names: all, subnets: all}}}
	}
	for _, match := range matches {
		if !OfSidecars(narrowed(match, gateways)) {
			continue
		}
		of := rivalRoute{names: map[string]bool{}, served: served{
			family: family, port: Number(match["port"]), subnets: unique.Make(strings.Join(Texts(match["destinationSubnets"]), ",")),
			some: match["sourceLabels"] != nil || match["sourceNamespace"] != nil,
		}}
		for _, name := range Texts(match["sniHosts"]) {
			of.names[Canonical(name)] = true
		}
		of.served.names = unique.Make(strings.Join(slices.Sorted(maps.Keys(of.names)), ","))
		out = append(out, of)
	}
	return out
}

// at says whether calls to a port may meet the route.
func (s served) at(port Port) bool {
	return s.family == FamilyOf(port.Protocol) && (s.port == 0 || s.port == port.Number)
}

// over says whether a route that comes first leaves another of the same calls nothing. HTTP goes by one VirtualService as a whole, and so does
// TCP after a route for any address; of TLS a sidecar has the routes of all, but of several with one match the first.
func (s served) over(other served) bool {
	switch {
	case s.some:
		return false
	case s.family == FamilyTLS:
		return s.names == other.names && s.subnets == other.subnets
	}
	return s.subnets == all
}

// Kinds is how many kinds of routes it has.
func (r *Rival) Kinds() int { return len(r.routes) }

// Serving returns the kinds of routes for calls of a host.
func (r *Rival) Serving(host string) (out Served) {
	patterns := Patterns(host)
	for _, route := range r.routes {
		if route.family != FamilyTLS || slices.ContainsFunc(patterns, func(pattern string) bool { return route.names[pattern] }) {
			out = append(out, route.served)
		}
	}
	return out
}

// Over says whether the other, of the same host, has routes for calls to a port, and none that is applied where this comes first.
func (s Served) Over(other Served, host string, port Port) bool {
	// Of HTTP, Istio gives the hosts below a wildcard to the first that names it, whatever routes it has.
	whole := IsWildcard(host) && FamilyOf(port.Protocol) == FamilyHTTP
	has := false
	for _, theirs := range other {
		if !theirs.at(port) {
			continue
		}
		has = true
		if !whole && !slices.ContainsFunc(s, func(ours served) bool { return ours.at(port) && ours.over(theirs) }) {
			return false
		}
	}
	return has
}

// At says whether there is a route for calls to a port.
func (s Served) At(port Port) bool {
	return slices.ContainsFunc(s, func(route served) bool { return route.at(port) })
}

// Rank says how a client comes to see it: Istio takes what the client's own namespace has for itself before what is exported to it by
// name, and this before what is exported to everybody; 0 for one that does not see it.
func (r *Rival) Rank(client string) int {
	rank := exports(r.ExportTo, r.Namespace, client)
	if rank == reachesByName && client == r.Namespace {
		rank++
	}
	return int(rank)
}

// IsOwn says whether it is for the calls of a client by the client's own will, whatever others export.
func (r *Rival) IsOwn(client string) bool { return r.Rank(client) > int(reachesByName) }

// Older orders them by their ages: negative where r comes before the other.
func (r *Rival) Older(other *Rival) int {
	return cmp.Or(r.age().Compare(other.age()), cmp.Compare(r.Name, other.Name), cmp.Compare(r.Namespace, other.Namespace))
}

// age is when it was made; what is not stored yet is the youngest.
func (r *Rival) age() time.Time {
	if r.Created.IsZero() {
		return time.Unix(1<<40, 0)
	}
	return r.Created
}

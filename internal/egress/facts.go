// Package egress says where an object leads traffic: its hosts, its routes, and by which way each leaves the mesh.
package egress

import (
	"cmp"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// How a route leaves, from the proxy that takes it.
const (
	// ViaGateway: to the egress gateway.
	ViaGateway = "gateway"
	// ViaDirect: straight to the external host.
	ViaDirect = "direct"
	// ViaMesh: to a workload of the mesh.
	ViaMesh = "mesh"
	// ViaUnregistered: to a host that no ServiceEntry or Service names; the proxy has no such cluster.
	ViaUnregistered = "unregistered"
)

// Facts is what an object does to egress: the part of the policy input that authors of policies rely on.
type Facts struct {
	// Gateway is the name of the egress gateway through which the object's namespace leaves, empty for none.
	Gateway string
	// Internal says that the object is a ServiceEntry of the mesh's own, and provably so.
	Internal  bool
	Hosts     []HostFact
	Routes    []RouteFact
	Conflicts []Conflict
}

// HostFact is a host that the object names.
type HostFact struct {
	Host, Canonical string
	Path            *field.Path
	// InMesh is true under the cluster domain and for hosts of Services.
	InMesh bool
	// Leaves is true when the object leads traffic to the host out of the mesh.
	Leaves bool
	// Endpoint is true for an address that an entry leads its hosts to.
	Endpoint bool
	// Owner is the entry that defines the host at the namespace's gateway, or else the oldest that names it; nil for
	// none.
	Owner *Entry
}

// RouteFact is a way to a host that the object opens or changes.
type RouteFact struct {
	Host, Protocol, From, Via, Gateway string
	Path                               *field.Path
	// Port is 0 when the object leaves it open.
	Port uint32
}

// Conflict is a host that another entry defines otherwise.
type Conflict struct {
	Host, Reason string
	Path         *field.Path
	Owner        *Entry
}

// EntryFacts returns the facts of a ServiceEntry: intent is what its author wrote, gw the egress gateway of its
// namespace and sealed the one that the stored form leads to; the zero value for none.
func EntryFacts(intent *ServiceEntry, gw, sealed Gateway, mesh *Mesh, view View) Facts {
	out := Facts{Gateway: gw.Name}
	via := ViaDirect
	switch {
	case !intent.External() && len(mesh.Internal(intent, view)) == 0:
		via, out.Internal = ViaMesh, true
	case intent.External() && sealed.Name != "":
		via = ViaGateway
	}
	for i, host := range intent.Hosts {
		fact := hostFact(host, Canonical(host), field.NewPath("spec", "hosts").Index(i), gw, mesh, view)
		fact.Leaves = via != ViaMesh
		out.Hosts = append(out.Hosts, fact)
		for j, port := range intent.Ports {
			route := RouteFact{
				Host: fact.Canonical, Port: port.Number, Protocol: port.Protocol, From: "mesh", Via: via,
				Path: field.NewPath("spec", "ports").Index(j),
			}
			if via == ViaGateway {
				route.Gateway = sealed.Name
			}
			out.Routes = append(out.Routes, route)
		}
	}
	out.destinations(intent, sealed, mesh, view)
	return out
}

// destinations adds where an external entry really leads: its endpoints, and the ports that are called there and at the
// hosts, where they are others than its own.
func (f *Facts) destinations(intent *ServiceEntry, sealed Gateway, mesh *Mesh, view View) {
	if !intent.External() {
		return
	}
	open := func(host string, port Port, target uint32, path *field.Path) {
		f.Routes = append(f.Routes, RouteFact{
			Host: host, Port: target, Protocol: port.Protocol, From: "gateway", Via: ViaGateway, Gateway: sealed.Name, Path: path,
		})
	}
	named := map[string]bool{}
	for _, host := range intent.Hosts {
		named[Canonical(host)] = true
	}
	for i, endpoint := range intent.Endpoints {
		path := field.NewPath("spec", "endpoints").Index(i).Child("address")
		canonical := Canonical(endpoint.Address)
		if !named[canonical] {
			f.Hosts = append(f.Hosts, HostFact{
				Host: endpoint.Address, Canonical: canonical, Path: path, InMesh: mesh.InMesh(canonical, view), Leaves: true, Endpoint: true,
			})
		}
		for _, port := range intent.Ports {
			open(canonical, port, cmp.Or(endpoint.Ports[port.Name], port.TargetPort, port.Number), path)
		}
	}
	for j, port := range intent.Ports {
		if len(intent.Endpoints) > 0 || port.TargetPort == 0 || port.TargetPort == port.Number {
			continue
		}
		for _, host := range intent.Hosts {
			open(Canonical(host), port, port.TargetPort, field.NewPath("spec", "ports").Index(j).Child("targetPort"))
		}
	}
}

func hostFact(host, canonical string, path *field.Path, gw Gateway, mesh *Mesh, view View) HostFact {
	out := HostFact{
		Host: host, Canonical: canonical, Path: path,
		InMesh: mesh.InMesh(canonical, view),
	}
	if out.Owner = view.Exit(canonical, gw.Namespace()).Owner(); out.Owner != nil {
		return out
	}
	if entries := view.Entries(canonical); len(entries) > 0 {
		out.Owner = entries[0]
	}
	return out
}

// RuleFacts returns the facts of a DestinationRule: the host that it is for. It leads nowhere by itself.
func RuleFacts(rule *Rule, gw Gateway, mesh *Mesh, view View) Facts {
	return Facts{Gateway: gw.Name, Hosts: []HostFact{hostFact(rule.Host, rule.Host, field.NewPath("spec", "host"), gw, mesh, view)}}
}

// RouteFacts returns the facts of a VirtualService as it will be stored; gw is the egress gateway of its namespace.
func RouteFacts(vs *VirtualService, gw Gateway, mesh *Mesh, view View) Facts {
	out := routeFacts{
		Facts: Facts{Gateway: gw.Name}, gw: gw, mesh: mesh, view: view,
		pairs: vs.Pairs, hosts: map[string]int{}, opened: map[RouteFact]bool{},
	}
	if vs.Mesh {
		for _, host := range vs.Hosts {
			out.name(host, false)
		}
	}
	for _, route := range vs.Routes {
		out.add(route)
		// A rewritten authority is what a shared front end goes by, wherever the connection leads; the gateway goes by
		// whatever is asked for.
		via, _ := route.via("mesh")
		for _, target := range route.Targets {
			if _, paired := vs.Pairs[target.Canonical]; paired {
				continue
			}
			if !target.OfSpec || (route.Reach.Mesh && via == ViaGateway) {
				out.ask(target)
			}
		}
	}
	for _, target := range vs.Delegated {
		out.ask(target)
	}
	return out.Facts
}

// routeFacts collects the facts of one VirtualService, each distinct way once.
type routeFacts struct {
	Facts
	gw     Gateway
	mesh   *Mesh
	view   View
	pairs  map[string]Pair
	hosts  map[string]int
	opened map[RouteFact]bool
}

// name adds a host, or what more is known of one that is there.
func (f *routeFacts) name(host Target, leaves bool) {
	i, known := f.hosts[host.Canonical]
	if !known {
		i = len(f.Hosts)
		f.hosts[host.Canonical] = i
		f.Hosts = append(f.Hosts, hostFact(host.Host, host.Canonical, host.Path, f.gw, f.mesh, f.view))
	}
	f.Hosts[i].Leaves = f.Hosts[i].Leaves || leaves
}

// ask adds a host that calls ask the far side for. It leaves, unless it is the mesh's own.
func (f *routeFacts) ask(target Target) {
	f.name(target, false)
	i := f.hosts[target.Canonical]
	f.Hosts[i].Leaves = f.Hosts[i].Leaves || !f.Hosts[i].InMesh
}

// open adds a way to a host, unless the object has opened the same before.
func (f *routeFacts) open(fact RouteFact, host Target) {
	key := fact
	key.Path = nil
	if fact.Via == ViaGateway && f.opened[key] && host.OfSpec {
		return
	}
	f.opened[key] = true
	f.Routes = append(f.Routes, fact)
	f.name(host, fact.Via != ViaMesh)
}

func (f *routeFacts) add(route Route) {
	base := RouteFact{Host: route.Canonical, Port: route.Port(), Protocol: route.protocol(), Path: route.Path.Child("host")}
	if gw, ok := f.mesh.GatewayByService(route.Canonical); ok {
		base.Via, base.Gateway, base.From = ViaGateway, gw.Name, "gateway"
		if route.Reach.Mesh {
			base.From = "mesh"
		}
		for _, target := range route.Targets {
			if pair, is := f.pairs[target.Canonical]; is {
				// Both are judged: where the calls are led, and what they ask that host for.
				f.ask(Target{Host: pair.Asked, Canonical: pair.Asked, Path: target.Path})
				target.Host, target.Canonical = pair.Led, pair.Led
			}
			base.Host, base.Path = target.Canonical, target.Path
			f.open(base, target)
		}
		return
	}
	host := Target{Host: route.Host(), Canonical: route.Canonical, Path: base.Path}
	if route.Reach.Mesh {
		base.From = "mesh"
		base.Via, base.Gateway = route.via(base.From)
		f.open(base, host)
	}
	if route.Reach.Gateway {
		base.From = "gateway"
		base.Via, base.Gateway = route.via(base.From)
		f.open(base, host)
	}
}

// via says how calls of the route leave the proxies of a side, and by which gateway.
func (r Route) via(from string) (via, gateway string) {
	switch {
	case r.InMesh:
		return ViaMesh, ""
	case r.Serving == nil:
		return ViaUnregistered, ""
	case !r.Serving.External:
		return ViaMesh, ""
	case r.Serving.Gateway != "" && (from == "mesh" || r.Bound == Bound{Egress: true}):
		return ViaGateway, r.Serving.Gateway
	}
	return ViaDirect, ""
}

// protocol is the one that the host's entry declares for the route's port, or else what the route's section takes.
func (r Route) protocol() string {
	if r.Serving != nil {
		for _, port := range r.Serving.Ports {
			if port.Number == r.Port() {
				return port.Protocol
			}
		}
	}
	if r.Section == "tcp" {
		return "TCP"
	}
	return string(r.Family())
}

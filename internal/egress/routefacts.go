package egress

import "slices"

// RouteFacts returns the facts of a VirtualService as it will be stored; gw is the egress gateway of its namespace.
func RouteFacts(vs *VirtualService, gw Gateway, mesh *Mesh, view View) Facts {
	out := routeFacts{
		Facts: Facts{Gateway: gw.Name}, gw: gw, mesh: mesh, view: view,
		pairs: vs.Pairs, hosts: map[string]int{}, opened: map[RouteFact]bool{},
	}
	if vs.Mesh {
		out.Export(vs.ExportTo, vs.Namespace, nil, view)
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
	called := !slices.ContainsFunc(vs.Hosts, func(host Target) bool { return Serving(view.Entries(host.Canonical), vs.Namespace) == nil })
	for _, route := range vs.OnGateways {
		if route.Bound.Egress {
			out.OnGateways = append(out.OnGateways, route.Path)
		}
		if route.Bound.Egress && !called {
			out.ForOthers = append(out.ForOthers, route.Path)
		}
	}
	return out.Facts
}

// routeFacts collects the facts of one VirtualService, each distinct way once.
type routeFacts struct {
	Facts
	gw    Gateway
	mesh  *Mesh
	view  View
	pairs map[string]Pair
	hosts map[string]int
	// opened are the ways within the mesh and through gateways.
	opened map[RouteFact]bool
}

// name adds a host, or what more is known of one that is there.
func (f *routeFacts) name(host Target, leaves bool) {
	i, known := f.hosts[host.Canonical]
	if !known {
		i = len(f.Hosts)
		f.hosts[host.Canonical] = i
		f.Hosts = append(f.Hosts, hostFact(HostOnly(host.Host), host.Canonical, host.Path, f.gw, f.mesh, f.view))
	}
	f.Hosts[i].Leaves = f.Hosts[i].Leaves || leaves
}

// ask adds a host that calls ask the far side for. It leaves, unless it is the mesh's own.
func (f *routeFacts) ask(target Target) {
	f.name(target, false)
	i := f.hosts[target.Canonical]
	f.Hosts[i].Leaves = f.Hosts[i].Leaves || !f.Hosts[i].InMesh
}

// open adds a way to a host, unless the object has opened the same before: within the mesh, or through a gateway for a host of its own.
// Of any other each field is told.
func (f *routeFacts) open(fact RouteFact, host Target) {
	if fact.Via == ViaMesh || fact.Via == ViaGateway {
		key := fact
		key.Path = nil
		if f.opened[key] && (fact.Via == ViaMesh || host.OfSpec) {
			return
		}
		f.opened[key] = true
	}
	f.Routes = append(f.Routes, fact)
	f.name(host, fact.Via != ViaMesh)
}

func (f *routeFacts) add(route Route) {
	base := RouteFact{Host: route.Canonical, Port: route.Port(), Protocol: route.protocol(), Path: route.Path.Child("host")}
	for _, target := range route.Targets {
		if pair, is := f.pairs[target.Canonical]; is {
			// Both are judged: where the calls are led, and what they ask that host for.
			f.ask(Target{Host: pair.Asked, Canonical: pair.Asked, Path: target.Path})
		}
	}
	if route.ToGateway {
		gw, _ := f.mesh.GatewayByService(route.Canonical)
		base.Via, base.Gateway, base.From = ViaGateway, gw.Name, "gateway"
		if route.Reach.Mesh {
			base.From = "mesh"
		}
		for _, target := range route.Targets {
			if pair, is := f.pairs[target.Canonical]; is {
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

// via says how calls of the route leave the proxies of a side, and by which gateway. A gateway's own proxies see sealed hosts
// as sidecars do, but for those that see the exits of an egress gateway, or may.
func (r Route) via(from string) (via, gateway string) {
	switch {
	case r.InMesh:
		return ViaMesh, ""
	case r.Serving == nil:
		return ViaUnregistered, ""
	case !r.Serving.External:
		return ViaMesh, ""
	case r.Serving.Gateway != "" && (r.Bound == Bound{Egress: true} || !r.Serving.Led && (from == "mesh" || !r.Bound.Beside && r.Bound.Unknown == "")):
		return ViaGateway, r.Serving.Gateway
	}
	return ViaDirect, ""
}

// protocol is the one that the host's entry declares for the route's port, or else what the route's section takes.
func (r Route) protocol() string {
	for _, port := range r.Ports {
		if port.Number == r.Port() {
			return port.Protocol
		}
	}
	if r.Section == "tcp" {
		return "TCP"
	}
	return string(r.Family())
}

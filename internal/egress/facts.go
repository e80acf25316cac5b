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
	Internal bool
	// Clients are the governed namespaces whose sidecars go by the object: its own first, the others by name. AllClients
	// says that all of them do; its own alone is listed then.
	Clients    []string
	AllClients bool
	// Accounts narrow the clients to some of their service accounts, by namespace; nil does not.
	Accounts  map[string][]string
	Hosts     []HostFact
	Routes    []RouteFact
	Conflicts []Conflict
	// OnGateways are the fields by which the object opens servers, or decides over calls, on the pods of an egress gateway.
	OnGateways []*field.Path
	// ForOthers are those by which it does so for more than the hosts that its own namespace calls there.
	ForOthers []*field.Path
}

// HostFact is a host that the object names.
type HostFact struct {
	Host, Canonical string
	// Stored is the spelling in which it will be stored; empty for that of Host.
	Stored string
	Path   *field.Path
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
	Contradiction
	Host string
	Path *field.Path
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
		path := intent.EndpointPath(i)
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

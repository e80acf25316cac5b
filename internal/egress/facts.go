// Package egress says where an object leads traffic: its hosts, its routes, and by which way each leaves the mesh.
package egress

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
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
	Hosts     []HostFact
	Routes    []RouteFact
	Conflicts []Conflict
}

// HostFact is a host that the object names.
type HostFact struct {
	Host, Canonical, Field string
	// InMesh is true under the cluster domain and for hosts of Services.
	InMesh bool
	// Leaves is true when the object leads traffic to the host out of the mesh.
	Leaves bool
	// Owner is the oldest entry that names the host, nil for none.
	Owner *Entry
}

// RouteFact is a way to a host that the object opens or changes.
type RouteFact struct {
	Host, Protocol, From, Via, Gateway, Field string
	// Port is 0 when the object leaves it open.
	Port uint32
	// written is the host in the author's spelling.
	written string
}

// Conflict is a host that an older entry defines otherwise.
type Conflict struct {
	Host, Reason, Field string
	Owner               *Entry
}

// EntryFacts returns the facts of a ServiceEntry: intent is what its author wrote, gateway the name of the egress
// gateway the stored form is sealed to, empty for none.
func EntryFacts(intent *ServiceEntry, gateway string, mesh *Mesh, world World) Facts {
	var out Facts
	via := ViaDirect
	switch {
	case !intent.External() && intent.withinMesh(mesh):
		via = ViaMesh
	case intent.External() && gateway != "":
		via = ViaGateway
	}
	for i, host := range intent.Hosts {
		fact := hostFact(host, indexed("spec.hosts", i), mesh, world)
		fact.Leaves = via != ViaMesh
		out.Hosts = append(out.Hosts, fact)
		for j, port := range intent.Ports {
			route := RouteFact{Host: fact.Canonical, Port: port.Number, Protocol: port.Protocol, From: "mesh", Via: via, Field: indexed("spec.ports", j)}
			if via == ViaGateway {
				route.Gateway = gateway
			}
			out.Routes = append(out.Routes, route)
		}
	}
	return out
}

// withinMesh says whether an entry that claims to be internal provably is: its endpoints are Services of the cluster,
// or workloads that it selects.
func (s *ServiceEntry) withinMesh(mesh *Mesh) bool {
	if len(s.Endpoints) == 0 {
		return len(s.WorkloadSelector) > 0
	}
	for _, endpoint := range s.Endpoints {
		if !mesh.InCluster(endpoint.Address) {
			return false
		}
	}
	return true
}

func hostFact(host, field string, mesh *Mesh, world World) HostFact {
	canonical := Canonical(host)
	fact := HostFact{Host: host, Canonical: canonical, Field: field, InMesh: mesh.InCluster(canonical) || world.IsService(canonical)}
	if entries := world.Entries(canonical); len(entries) > 0 {
		fact.Owner = entries[0]
	}
	return fact
}

// RouteFacts returns the facts of a VirtualService as it will be stored.
func RouteFacts(vs *unstructured.Unstructured, mesh *Mesh, world World) Facts {
	var out Facts
	namespace := vs.GetNamespace()
	hosts := map[string]int{}
	name := func(host, field string, leaves bool) {
		qualified := mesh.Qualify(host, namespace)
		i, known := hosts[qualified]
		if !known {
			i = len(out.Hosts)
			hosts[qualified] = i
			fact := hostFact(qualified, field, mesh, world)
			fact.Host = host
			out.Hosts = append(out.Hosts, fact)
		}
		out.Hosts[i].Leaves = out.Hosts[i].Leaves || leaves
	}
	specHosts, _, _ := unstructured.NestedStringSlice(vs.Object, "spec", "hosts")
	for i, host := range specHosts {
		if reach := ReachOf(vs, nil); reach.Mesh {
			name(host, indexed("spec.hosts", i), false)
		}
	}
	for _, d := range Destinations(vs) {
		for _, route := range destinationRoutes(vs, d, mesh, world) {
			out.Routes = append(out.Routes, route)
			name(route.written, route.Field, route.Via != ViaMesh)
		}
		// A rewritten authority is what the gateway or a shared front end goes by, wherever the connection leads.
		for _, target := range Targets(vs, d) {
			if target.Field != d.Field && !isSpecHost(target) {
				name(target.Host, target.Field, !mesh.InCluster(mesh.Qualify(target.Host, namespace)))
			}
		}
	}
	return out
}

func isSpecHost(target Target) bool {
	return len(target.Field) > 10 && target.Field[:10] == "spec.hosts"
}

func destinationRoutes(vs *unstructured.Unstructured, d Destination, mesh *Mesh, world World) []RouteFact {
	host := mesh.Qualify(d.Host(), vs.GetNamespace())
	base := RouteFact{Host: host, Port: d.Port(), Protocol: protocolOf(d, host, world), Field: d.Field + ".host", written: d.Host()}
	reach := ReachOf(vs, d.Route)
	var out []RouteFact
	if gw, ok := mesh.GatewayByService(host); ok {
		base.Via, base.Gateway, base.From = ViaGateway, gw.Name, from(reach)
		for _, target := range Targets(vs, d) {
			base.Host = mesh.Qualify(target.Host, vs.GetNamespace())
			base.Field, base.written = target.Field, target.Host
			out = append(out, base)
		}
		return out
	}
	for _, side := range []struct {
		applies bool
		from    string
	}{{reach.Mesh, "mesh"}, {reach.Gateway, "gateway"}} {
		if !side.applies {
			continue
		}
		route := base
		route.From = side.from
		route.Via, route.Gateway = viaOf(host, side.from, mesh, world)
		out = append(out, route)
	}
	return out
}

func from(reach Reach) string {
	if reach.Mesh {
		return "mesh"
	}
	return "gateway"
}

func viaOf(host, from string, mesh *Mesh, world World) (via, gateway string) {
	if mesh.InCluster(host) || world.IsService(host) {
		return ViaMesh, ""
	}
	entries := world.Entries(host)
	switch {
	case len(entries) == 0:
		return ViaUnregistered, ""
	case !entries[0].External:
		return ViaMesh, ""
	case from == "mesh" && entries[0].Gateway != "":
		return ViaGateway, entries[0].Gateway
	}
	return ViaDirect, ""
}

func protocolOf(d Destination, host string, world World) string {
	if entries := world.Entries(host); len(entries) > 0 {
		for _, port := range entries[0].Ports {
			if port.Number == d.Port() {
				return port.Protocol
			}
		}
	}
	if d.Section == "tcp" {
		return "TCP"
	}
	return string(d.Family())
}

func patterns(canonical string) []any {
	var out []any
	for _, pattern := range Patterns(canonical) {
		out = append(out, pattern)
	}
	return out
}

// Document returns the facts as the policy input has them (docs/policies.md).
func (f Facts) Document(mesh *Mesh, gateway string) map[string]any {
	hosts, routes, conflicts := make([]any, len(f.Hosts)), make([]any, len(f.Routes)), make([]any, len(f.Conflicts))
	for i, h := range f.Hosts {
		host := map[string]any{
			"host": h.Host, "canonical": h.Canonical, "wildcard": IsWildcard(h.Canonical), "ip": IsIP(h.Canonical),
			"patterns": patterns(h.Canonical), "inMesh": h.InMesh, "leaves": h.Leaves, "field": h.Field,
		}
		if h.Owner != nil {
			host["owner"] = ownerDocument(h.Owner)
		}
		hosts[i] = host
	}
	for i, r := range f.Routes {
		routes[i] = map[string]any{
			"host": r.Host, "port": int64(r.Port), "protocol": r.Protocol, "from": r.From, "via": r.Via, "gateway": r.Gateway, "field": r.Field,
		}
	}
	for i, c := range f.Conflicts {
		conflicts[i] = map[string]any{"host": c.Host, "owner": ownerDocument(c.Owner), "reason": c.Reason, "field": c.Field}
	}
	return map[string]any{"clusterDomain": mesh.ClusterDomain, "gateway": gateway, "hosts": hosts, "routes": routes, "conflicts": conflicts}
}

func ownerDocument(owner *Entry) map[string]any {
	return map[string]any{"namespace": owner.Namespace, "name": owner.Name}
}

func indexed(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }

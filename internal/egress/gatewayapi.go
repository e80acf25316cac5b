package egress

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// WorkloadFacts returns the facts of a WorkloadEntry: the address to which entries that select it lead.
func WorkloadFacts(workload *unstructured.Unstructured, gw Gateway, mesh *Mesh, view View) Facts {
	out := Facts{Gateway: gw.Name}
	address, _, _ := unstructured.NestedString(workload.Object, "spec", "address")
	if address == "" {
		return out
	}
	inMesh := mesh.within(address, view)
	out.Hosts = []HostFact{{
		Host: address, Canonical: Canonical(address), Path: field.NewPath("spec", "address"), InMesh: inMesh, Leaves: !inMesh, Endpoint: true,
	}}
	return out
}

// GatewayAPIFacts returns the facts of a route of the Gateway API: those of the VirtualServices that Istio makes of it. Its
// clients are the namespaces whose sidecars apply these.
func GatewayAPIFacts(route *APIRoute, gw Gateway) Facts {
	out := Facts{Gateway: gw.Name}
	exportTo := []string{"."}
	hosts, ways := map[string]int{}, map[string]bool{}
	for i := range route.Parents {
		parent := &route.Parents[i]
		exportTo = append(exportTo, route.reaches(parent)...)
		for _, form := range route.Forms(parent) {
			facts := RouteFacts(form.VirtualService, gw, route.mesh, route.view)
			for _, host := range facts.Hosts {
				host.Path = route.Place(parent, host.Path.String())
				at, known := hosts[host.Canonical+" "+host.Path.String()]
				if !known {
					at = len(out.Hosts)
					hosts[host.Canonical+" "+host.Path.String()] = at
					out.Hosts = append(out.Hosts, host)
				}
				out.Hosts[at].Leaves = out.Hosts[at].Leaves || host.Leaves
			}
			for _, way := range facts.Routes {
				way.Path = route.Place(parent, way.Path.String())
				if route.Kind == "GRPCRoute" && way.Protocol == string(FamilyHTTP) {
					way.Protocol = "GRPC"
				}
				key := fmt.Sprint(way.Host, way.Port, way.From, way.Via, way.Gateway, way.Path)
				if !ways[key] {
					ways[key] = true
					out.Routes = append(out.Routes, way)
				}
			}
		}
	}
	out.Export(exportTo, route.Namespace, nil, route.view)
	return out
}

// reaches returns the namespaces whose sidecars apply what the route says for a parent, as an exportTo has them. An HTTPRoute
// is for calls of its own namespace and to entries of it; TLS and TCP know no such bound.
func (r *APIRoute) reaches(parent *APIParent) (out []string) {
	switch {
	case !parent.OfMesh():
		return nil
	case r.section != "http", parent.Kind == "Service" && parent.Namespace == r.Namespace:
		return []string{"*"}
	}
	for _, host := range parent.Hosts {
		for _, entry := range r.view.Entries(host) {
			switch {
			case entry.Namespace != r.Namespace:
			case len(entry.ExportTo) == 0:
				out = append(out, "*")
			case !slices.Contains(entry.ExportTo, "~"):
				out = append(out, entry.ExportTo...)
			}
		}
	}
	return out
}

// Takes returns the hosts of a parent whose calls by others the route would decide over, though these are not its namespace's
// own to route: as the oldest entry of each is another's. By TLS and TCP a route is everybody's, and nobody who brings an entry later is
// told: it may do no more than lead a host to itself, or to the egress gateway.
func (r *APIRoute) Takes(parent *APIParent) (out []string) {
	if r.section != "http" {
		for _, form := range r.Forms(parent) {
			if host := form.Hosts[0].Canonical; form.Mesh && !r.mesh.InMesh(host, r.view) && (len(form.Others) > 0 || form.diverts(r.mesh, parent.Port)) {
				out = append(out, host)
			}
		}
		return out
	}
	for _, host := range parent.Hosts {
		one := *parent
		one.Hosts = []string{host}
		byOthers := slices.ContainsFunc(r.reaches(&one), func(to string) bool { return to != "." && to != r.Namespace })
		if byOthers && !r.mesh.InMesh(host, r.view) && slices.ContainsFunc(r.view.Below(host), func(below string) bool {
			entries := r.view.Entries(below)
			return len(entries) > 0 && entries[0].Namespace != r.Namespace
		}) {
			out = append(out, host)
		}
	}
	return out
}

// diverts says whether calls of the one host, on a port of the parent or on any, end elsewhere than by the egress gateway or at the port that they
// are for: a port that it does not have now somebody may bring later.
func (f APIForm) diverts(mesh *Mesh, port uint32) bool {
	return slices.ContainsFunc(f.Routes, func(route Route) bool {
		if gw, to := mesh.GatewayByService(route.Canonical); to {
			return len(mesh.Gateways) > 1 || route.Port() != gw.TLSPort
		}
		return route.Canonical != f.Hosts[0].Canonical || port == 0 || route.Port() != port
	})
}

// Objects returns those of a list under a key, by index; nil for what is none.
func Objects(of any, key string) (out []map[string]any) {
	holder, _ := of.(map[string]any)
	items, _ := holder[key].([]any)
	for _, item := range items {
		object, _ := item.(map[string]any)
		out = append(out, object)
	}
	return out
}

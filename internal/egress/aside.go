package egress

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// maxBelow is of how many wildcards the hosts below are asked for.
const maxBelow = 100

// Aside says whether a VirtualService is for gateways alone that are no egress gateway's and share a namespace with none, and leads
// to the mesh's own, as those of an ingress do: nothing that is said or made of it depends on which hosts it is for. It takes as much
// work as it has fields.
func Aside(vs *unstructured.Unstructured, mesh *Mesh, view View) bool {
	gateways := GatewayNames(vs)
	if OfSidecars(gateways) || len(Hosts(vs)) == 0 {
		return false
	}
	r := &resolver{mesh: mesh, view: view, namespace: vs.GetNamespace(), known: map[string]Route{}, bounds: map[string]Bound{}}
	unknown := false
	for _, section := range sections {
		for _, item := range RoutesOf(vs, section) {
			route, _ := item.(map[string]any)
			bound := r.bound(gateways, route)
			if bound.Egress || bound.Beside || reachOf(gateways, route).Mesh {
				return false
			}
			unknown = unknown || bound.Unknown != ""
		}
	}
	if slices.ContainsFunc(Destinations(vs), func(d Destination) bool { return r.host(d.Host()).leaves() }) {
		return false
	}
	return !unknown || !r.called(vs)
}

// leaves says whether a destination's host is, or may be, one outside the mesh, or an egress gateway.
func (r Route) leaves() bool {
	outside := slices.ContainsFunc(r.Entries, func(entry *Entry) bool { return entry.External })
	return outside || r.ToGateway || r.Alias != "" || !r.InMesh && r.Serving == nil
}

// called says whether an egress gateway is called for a host of the spec, as far as it is asked: a Gateway that is not there yet may be on
// its pods.
func (r *resolver) called(vs *unstructured.Unstructured) bool {
	wildcards := 0
	for _, host := range Hosts(vs) {
		if IsWildcard(host) {
			wildcards++
		}
	}
	if wildcards > maxBelow {
		return true
	}
	r.readHosts(vs)
	return len(r.exits()) > 0 || len(r.above()) > 0
}

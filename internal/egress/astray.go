package egress

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Astray returns the hosts outside to which a stored VirtualService leads HTTP calls of the mesh that ask for another host, in a
// way that is refused once the host has an entry: the egress gateway goes by what they ask for. Pairs are made right, and their
// names are made for the host that they lead to.
func Astray(vs *unstructured.Unstructured, mesh *Mesh) (out []string) {
	gateways := GatewayNames(vs)
	r := &resolver{mesh: mesh, namespace: vs.GetNamespace()}
	r.readHosts(vs)
	for route := range r.outside(Destinations(vs), gateways) {
		if route.Section != "http" || !route.Reach.Mesh || slices.Contains(out, route.Canonical) {
			continue
		}
		if len(route.Targets) == 0 || route.asksForAnother() && !route.MayPair() {
			out = append(out, route.Canonical)
		}
	}
	return out
}

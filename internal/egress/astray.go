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
	for _, d := range Destinations(vs) {
		led := mesh.Qualify(d.Host(), vs.GetNamespace())
		_, toGateway := mesh.GatewayByService(led)
		route := Route{Destination: d, Canonical: led, Reach: reachOf(gateways, d.Route)}
		if d.Section != "http" || toGateway || mesh.InCluster(led) || !route.Reach.Mesh || slices.Contains(out, led) {
			continue
		}
		route.Targets = r.targets(d)
		elsewhere := slices.ContainsFunc(route.Targets, func(target Target) bool { return !IsReserved(target.Canonical) && !target.Within(led) })
		if len(route.Targets) == 0 || elsewhere && !route.MayPair() {
			out = append(out, led)
		}
	}
	return out
}

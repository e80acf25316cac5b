package egress

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Astray returns the hosts outside to which a stored VirtualService leads HTTP calls of the mesh that ask for another host, in a
// way that is refused once the host has an entry: the egress gateway goes by what they ask for. Pairs are made right.
func Astray(vs *unstructured.Unstructured, mesh *Mesh) (out []string) {
	gateways, _, _ := unstructured.NestedStringSlice(vs.Object, "spec", "gateways")
	r := &resolver{mesh: mesh, namespace: vs.GetNamespace()}
	r.readHosts(vs)
	for _, d := range Destinations(vs) {
		led := mesh.Qualify(d.Host(), vs.GetNamespace())
		_, toGateway := mesh.GatewayByService(led)
		if d.Section != "http" || toGateway || mesh.InCluster(led) || !reachOf(gateways, d.Route).Mesh || slices.Contains(out, led) {
			continue
		}
		if targets := r.targets(d); len(targets) == 0 || !pairs(d, targets) && slices.ContainsFunc(targets, func(target Target) bool { return asksElsewhere(target, led) }) {
			out = append(out, led)
		}
	}
	return out
}

// asksElsewhere says whether calls of a target would not end at the host that they are led to. Names of pairs are made for it.
func asksElsewhere(target Target, led string) bool {
	return !IsReserved(target.Canonical) && !slices.Contains(Patterns(target.Canonical), led)
}

// pairs says whether a destination's calls can be made to ask for the pair of the two hosts.
func pairs(d Destination, targets []Target) bool {
	return len(targets) == 1 && targets[0].OfSpec && !d.Mirror && d.Raw["subset"] == nil && !IsWildcard(targets[0].Canonical)
}

package egress

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Takes returns the hosts of a VirtualService over whose calls it decides for all who see it, in whichever namespace: gateways
// bind to it, and so must see it, and it cannot be made its own namespace's alone.
func Takes(vs *unstructured.Unstructured, mesh *Mesh) (out []string) {
	gateways := GatewayNames(vs)
	if !slices.Contains(gateways, ofMesh) || len(gateways) < 2 {
		return nil
	}
	hosts := Hosts(vs)
	elsewhere := func(d Destination) bool {
		_, toGateway := mesh.GatewayByService(d.Host())
		return !toGateway && mesh.Qualify(d.Host(), vs.GetNamespace()) != mesh.Qualify(hosts[0], vs.GetNamespace())
	}
	if len(hosts) == 1 && !slices.ContainsFunc(Destinations(vs), elsewhere) {
		// The hop of the guides, which leads a host to itself.
		return nil
	}
	for _, host := range hosts {
		if canonical := mesh.Qualify(host, vs.GetNamespace()); !mesh.InCluster(canonical) {
			out = append(out, canonical)
		}
	}
	return out
}

// TakenBy returns the VirtualService of another namespace that decides over calls which clients of the entry make to one of
// its hosts, nil for none.
func (e *Entry) TakenBy(host string, view View) *Seen {
	for _, pattern := range Patterns(host) {
		for _, by := range view.Taking(pattern) {
			if by.Namespace != e.Namespace && e.sees(by) {
				return by
			}
		}
	}
	return nil
}

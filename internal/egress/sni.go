package egress

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// told returns the hosts whose TLS calls sidecars tell from others by the TLS routes of a VirtualService, once it has some:
// those of its spec that are none of the mesh's own, and the wildcards over them that its clients have entries of. Istio
// takes routes for every host that one of the spec matches, a wildcard on either side.
func (r *resolver) told(vs *VirtualService) (out []Target) {
	of := &Seen{Namespace: vs.Namespace, ExportTo: vs.ExportTo}
	seen := map[string]bool{}
	for _, host := range r.hosts {
		if r.mesh.InMesh(host.Canonical, r.view) {
			continue
		}
		out = append(out, host)
		for _, wildcard := range Patterns(host.Canonical)[1:] {
			if !seen[wildcard] && slices.ContainsFunc(r.view.Entries(wildcard), func(entry *Entry) bool { return entry.Narrowed(of) }) {
				out = append(out, Target{Host: wildcard, Canonical: wildcard, Path: host.Path})
			}
			seen[wildcard] = true
		}
	}
	return out
}

// Seen is a stored VirtualService, as those know it who see it.
type Seen struct {
	Namespace, Name string
	ExportTo        []string
}

// String is how an author finds it.
func (n *Seen) String() string { return "VirtualService " + n.Namespace + "/" + n.Name }

// Narrowed says whether sidecars that see the entry apply the VirtualService to it.
func (e *Entry) Narrowed(by *Seen) bool { return e.speaksTLS() && e.sees(by) }

func (e *Entry) sees(by *Seen) bool {
	return meet(e, &Entry{Namespace: by.Namespace, ExportTo: by.ExportTo})
}

// Takes returns the hosts of a VirtualService over whose calls it decides for all who see it, in whichever namespace: gateways
// bind to it, and so must see it, and it cannot be made its own namespace's alone.
func Takes(vs *unstructured.Unstructured, mesh *Mesh) (out []string) {
	gateways, _, _ := unstructured.NestedStringSlice(vs.Object, "spec", "gateways")
	if !slices.Contains(gateways, "mesh") || len(gateways) < 2 {
		return nil
	}
	hosts, _, _ := unstructured.NestedStringSlice(vs.Object, "spec", "hosts")
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

// speaksTLS says whether an entry takes TLS calls to an egress gateway.
func (e *Entry) speaksTLS() bool {
	return e.Gateway != "" && slices.ContainsFunc(e.Ports, func(port Port) bool { return FamilyOf(port.Protocol) == FamilyTLS })
}

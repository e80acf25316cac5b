package egress

import "slices"

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

// Narrowed says whether sidecars that see the entry apply the VirtualService to it.
func (e *Entry) Narrowed(by *Seen) bool { return e.speaksTLS() && e.sees(by) }

// speaksTLS says whether an entry takes TLS calls to an egress gateway.
func (e *Entry) speaksTLS() bool {
	return e.Gateway != "" && slices.ContainsFunc(e.Ports, func(port Port) bool { return FamilyOf(port.Protocol) == FamilyTLS })
}

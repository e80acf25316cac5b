package registry

import "github.com/egress-governor/egress-governor/internal/egress"

// passing says whether an entry, as it counts, goes over to a gateway by mutual TLS, or from one, with ports that are told apart by
// their SNI: it is held and not sealed yet, it moves to another gateway of another transport, or it is observed and held before it is stored as
// it was written. A gateway that changes its own transport is no other: HTTP does not get through that, either, and whoever no longer
// has one by mutual TLS may write no EnvoyFilter.
func (r *Registry) passing(entry *egress.Entry, held bool) bool {
	mutual, other := entry.Leg(), entry.Moving
	if other.Transport == egress.MutualTLS {
		mutual, other = other, mutual
	}
	if gw, _ := r.mesh.GatewayByName(mutual.Gateway); mutual.Transport != egress.MutualTLS || gw.Transport != egress.MutualTLS ||
		len(egress.PortsOf(entry.Ports, egress.FamilyHTTP)) == len(entry.Ports) {
		return false
	}
	if entry.Observed {
		return held && entry.Gateway != ""
	}
	return entry.Moving != (egress.Leg{}) && other.Transport != egress.MutualTLS && other.Gateway != mutual.Gateway
}

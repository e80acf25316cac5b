package egress

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// A host's calls are its namespace's own to route for those clients who call it by an entry of that namespace.

// others returns the hosts of the spec that are not the namespace's own to route for all that the routes are exported to. Routes that can be
// narrowed are, where nobody has an entry by now; those that gateways must see may be for hosts of an ingress, which need none, and whoever
// brings an entry later is told.
func (r *resolver) others(exportTo []string, narrowable bool) (out []Target) {
	for _, target := range r.hosts {
		if r.mesh.InMesh(target.Canonical, r.view) {
			continue
		}
		taken := func(host string) bool { return !r.own(host, exportTo, narrowable) }
		if taken(target.Canonical) || IsWildcard(target.Canonical) && slices.ContainsFunc(r.view.Below(target.Canonical), taken) {
			out = append(out, target)
		}
	}
	return out
}

// own says whether none of the clients that an exportTo reaches calls a host by an entry of another namespace, be it of a wildcard over it, and,
// where it must, whether this has one. All names of a registry are nobody's, whoever has an entry of them.
func (r *resolver) own(host string, exportTo []string, must bool) bool {
	if OfRegistry(host) {
		return false
	}
	has := false
	for _, pattern := range Patterns(host) {
		entries := r.view.Entries(pattern)
		if len(entries) == 0 || OfRegistry(pattern) {
			continue
		}
		if r.servedByAnother(entries, exportTo) {
			return false
		}
		has = has || slices.ContainsFunc(entries, func(entry *Entry) bool { return entry.Namespace == r.namespace })
	}
	return has || !must
}

// servedByAnother says whether a client that an exportTo reaches, but for the namespace itself, finds a host by another namespace's entry.
func (r *resolver) servedByAnother(entries []*Entry, exportTo []string) bool {
	clients, all := Clients(exportTo, r.namespace)
	if all {
		clients = Askers(entries)
	}
	for client, by := range Servings(entries, clients) {
		if client != r.namespace && by.Namespace != r.namespace {
			return true
		}
	}
	return false
}

// taking returns the routes that decide over calls of others, and cannot be kept from it. Of a host that no entry names itself each does:
// calls to it go nowhere by an egress gateway.
func (r *resolver) taking(vs *unstructured.Unstructured) []*field.Path {
	named := !slices.ContainsFunc(r.hosts, func(target Target) bool { return len(r.view.Entries(target.Canonical)) == 0 })
	return taking(vs, func(section string, route map[string]any) bool {
		return named && SoleDestination(section, route) != nil && r.mesh.leaves(section, route, r.hosts[0].Host, r.namespace)
	})
}

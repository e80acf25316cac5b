package egress

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// A host's calls are its namespace's own to route for those clients who call it by an entry of that namespace.

// others returns the hosts of the spec that are not the namespace's own to route for all that the routes are exported to. Routes that can be
// narrowed once others have entries may be seen by who does not see its own.
func (r *resolver) others(exportTo []string, narrowable bool) (out []Target) {
	for _, target := range r.hosts {
		if r.mesh.InMesh(target.Canonical, r.view) {
			continue
		}
		hosts := append([]string{target.Canonical}, r.view.Below(target.Canonical)...)
		if slices.ContainsFunc(hosts, func(host string) bool { return !r.own(host, exportTo, narrowable) }) {
			out = append(out, target)
		}
	}
	return out
}

// own says whether none of the clients that an exportTo reaches calls a host by an entry of another namespace, be it of a wildcard over it,
// and all by one of this, or could. All names of a registry are nobody's, whoever has an entry of them.
func (r *resolver) own(host string, exportTo []string, narrowable bool) bool {
	var known [][]*Entry
	has := false
	for _, pattern := range Patterns(host) {
		if entries := r.view.Entries(pattern); len(entries) > 0 && !OfRegistry(pattern) {
			known = append(known, entries)
			has = has || slices.ContainsFunc(entries, func(entry *Entry) bool { return entry.Namespace == r.namespace })
		}
	}
	clients, all := Clients(exportTo, r.namespace)
	if all {
		clients = callers(known)
	}
	return has && !slices.ContainsFunc(clients, func(client string) bool {
		return client != r.namespace && !r.servedByOwn(known, client, narrowable)
	})
}

// callers returns the namespaces that may call by another entry than everybody does, and one that calls as everybody.
func callers(known [][]*Entry) []string {
	out := []string{""}
	for _, entries := range known {
		for _, entry := range entries {
			if names, all := Clients(entry.ExportTo, entry.Namespace); all {
				out = append(out, entry.Namespace)
			} else {
				out = append(out, names...)
			}
		}
	}
	return out
}

// servedByOwn says whether a client finds a host, by each of its names, by an entry of the namespace; unseen is what it is where it finds none.
func (r *resolver) servedByOwn(known [][]*Entry, client string, unseen bool) bool {
	for _, entries := range known {
		if serving := Serving(entries, client); serving != nil {
			if unseen = serving.Namespace == r.namespace; !unseen {
				break
			}
		}
	}
	return unseen
}

// taking returns the routes that decide over calls of others, and cannot be kept from it. Of a host that no entry names itself each does:
// calls to it go nowhere by an egress gateway.
func (r *resolver) taking(vs *unstructured.Unstructured) []*field.Path {
	named := !slices.ContainsFunc(r.hosts, func(target Target) bool { return len(r.view.Entries(target.Canonical)) == 0 })
	return taking(vs, func(section string, route map[string]any) bool {
		return named && SoleDestination(section, route) != nil && r.mesh.leaves(section, route, r.hosts[0].Host, r.namespace)
	})
}

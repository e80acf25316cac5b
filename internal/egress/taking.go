package egress

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Routes of sidecars are for their own namespace's calls alone where the hosts are not its own to route, unless gateways bind to them, which
// must see them. Those decide over the calls of all who see them.

// ForGateways says whether proxies other than sidecars apply what is for these gateways.
func ForGateways(gateways []string) bool { return reach(gateways).Gateway }

// taking returns the routes of sidecars of a VirtualService that is for gateways as well, whatever they lead to, answer or delegate, but for
// those that leave the calls of its one host as they are.
func taking(vs *unstructured.Unstructured, leaves func(section string, route map[string]any) bool) (out []*field.Path) {
	gateways, one := GatewayNames(vs), len(Hosts(vs)) == 1
	if !OfSidecars(gateways) || !ForGateways(gateways) {
		return nil
	}
	for _, section := range sections {
		for i, item := range RoutesOf(vs, section) {
			route, _ := item.(map[string]any)
			if reachOf(gateways, route).Mesh && (!one || !leaves(section, route)) {
				out = append(out, field.NewPath("spec", section).Index(i))
			}
		}
	}
	return out
}

// leaves says whether a route leaves all calls of a host as they are: it leads them to the host itself, on the port that they are for, or as
// the client leg of the guides does, to the egress gateway. Its subset is taken out where it says nothing.
func (m *Mesh) leaves(section string, route map[string]any, host, namespace string) bool {
	d := alone(section, route)
	if d == nil {
		return false
	}
	canonical, to := m.Qualify(host, namespace), m.Qualify(d.Host(), namespace)
	gw, toGateway := m.GatewayByService(to)
	hop := toGateway && len(m.Gateways) == 1 && gw.Transport == Plain && d.Port() == gw.Port(d.Family())
	if !hop && (to != canonical || d.Raw["subset"] != nil) {
		return false
	}
	matches := Matches(route)
	if !hop && d.Port() != 0 && len(matches) == 0 {
		return false
	}
	return !slices.ContainsFunc(matches, func(match map[string]any) bool {
		return !hop && d.Port() != 0 && !MatchesPort(match, d.Port()) || !wholly(match, canonical)
	})
}

// wholly says whether a match takes all calls of a host but for some ports.
func wholly(match map[string]any, host string) bool {
	for key := range match {
		if !slices.Contains([]string{"gateways", "port", "sniHosts", "name"}, key) {
			return false
		}
	}
	names := Texts(match["sniHosts"])
	return len(names) == 0 || slices.ContainsFunc(names, func(name string) bool { return Canonical(name) == host })
}

// SoleDestination returns the destination of a route that does nothing but lead there, to all of its endpoints; nil for any other.
func SoleDestination(section string, route map[string]any) *Destination {
	if d := alone(section, route); d != nil && d.Raw["subset"] == nil {
		return d
	}
	return nil
}

// alone is SoleDestination with a subset or without.
func alone(section string, route map[string]any) *Destination {
	for key := range route {
		if !slices.Contains([]string{"match", "name", "route"}, key) {
			return nil
		}
	}
	to, _ := route["route"].([]any)
	if len(to) != 1 || section == "tcp" {
		return nil
	}
	holder, _ := to[0].(map[string]any)
	d, _ := holder["destination"].(map[string]any)
	if d == nil || holder["headers"] != nil {
		return nil
	}
	return &Destination{Section: section, Raw: d}
}

// Takes returns the hosts of a VirtualService over whose calls it decides for all who see it, in whichever namespace: gateways
// bind to it, and so must see it, and it cannot be made its own namespace's alone.
func Takes(vs *unstructured.Unstructured, mesh *Mesh) (out []string) {
	hosts := Hosts(vs)
	if len(taking(vs, func(section string, route map[string]any) bool {
		return mesh.leaves(section, route, hosts[0], vs.GetNamespace())
	})) == 0 {
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
			if by.Namespace != e.Namespace && by.Exported() && e.sees(by) {
				return by
			}
		}
	}
	return nil
}

package adopt

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/manifest"
)

// sealing is an entry that is to be sealed.
type sealing struct {
	of     *Object
	object manifest.Object
	hosts  []string
	seen   *egress.Entry
}

// entries are such, by their hosts, and by the wildcards that stand for these.
type entries struct {
	mesh         *egress.Mesh
	view         egress.View
	all          []*sealing
	exact, below map[string][]*sealing
}

func (p *planner) newEntries() *entries {
	return &entries{mesh: p.mesh, view: p.view, exact: map[string][]*sealing{}, below: map[string][]*sealing{}}
}

func (e *entries) add(entry *sealing) {
	e.all = append(e.all, entry)
	for _, host := range entry.hosts {
		e.exact[host] = append(e.exact[host], entry)
		for _, pattern := range egress.Patterns(host)[1:] {
			e.below[pattern] = append(e.below[pattern], entry)
		}
	}
}

// led returns those of whose calls an object says something.
func (e *entries) led(object *unstructured.Unstructured) (out []*sealing) {
	for _, host := range e.about(object) {
		found := slices.Clone(e.below[host])
		for _, pattern := range egress.Patterns(host) {
			found = append(found, e.exact[pattern]...)
		}
		for _, entry := range found {
			if !slices.Contains(out, entry) && meets(object, entry.seen, e.mesh) {
				out = append(out, entry)
			}
		}
	}
	return out
}

// meets says whether what an object says of calls may be said of those that are made by an entry: somebody goes by both.
func meets(object *unstructured.Unstructured, entry *egress.Entry, mesh *egress.Mesh) bool {
	by := seenBy(object)
	if object.GetKind() == "DestinationRule" {
		// Proxies go by the rules of their own namespace, and of the entry's.
		by.ExportTo = []string{"."}
		if by.Namespace == entry.Namespace {
			return true
		}
	}
	names, all := egress.Clients(by.ExportTo, by.Namespace)
	both, everybody := by.Both(entry)
	return all || everybody || len(both) > 0 || slices.ContainsFunc(names, func(name string) bool { return len(mesh.GatewaysIn(name)) > 0 })
}

// seenBy is who sees an object, as that of an entry.
func seenBy(object *unstructured.Unstructured) *egress.Entry {
	return &egress.Entry{Namespace: object.GetNamespace(), ExportTo: egress.ExportTo(object)}
}

// about returns the hosts of whose calls an object says something, of a route of the Gateway API by what Istio makes of it.
func (e *entries) about(object *unstructured.Unstructured) (out []string) {
	switch object.GetKind() {
	case "GRPCRoute", "HTTPRoute", "TCPRoute", "TLSRoute":
		route := egress.ReadAPIRoute(object, e.mesh, e.view)
		for i := range route.Parents {
			for _, form := range route.Forms(&route.Parents[i]) {
				out = append(out, about(form.Written, e.mesh)...)
			}
		}
		return out
	}
	return about(object, e.mesh)
}

// about returns the hosts of whose calls an object says something. A gateway's routes for whatever it is called by name none.
func about(object *unstructured.Unstructured, mesh *egress.Mesh) (out []string) {
	add := func(host string) { out = append(out, mesh.Qualify(host, object.GetNamespace())) }
	switch object.GetKind() {
	case "VirtualService":
		for _, host := range egress.Hosts(object) {
			if host != "*" || egress.OfSidecars(egress.GatewayNames(object)) {
				add(host)
			}
		}
		for _, destination := range egress.Destinations(object) {
			add(destination.Host())
		}
	case "DestinationRule":
		host, _, _ := unstructured.NestedString(object.Object, "spec", "host")
		add(host)
	}
	return out
}

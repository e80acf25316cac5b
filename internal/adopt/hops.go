package adopt

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// Hop is an object of a hop that somebody wrote by hand: a VirtualService that leads to an egress gateway and there on, the Gateway
// that it binds to, or the DestinationRule of its subsets.
type Hop struct {
	manifest.Object
	// Hosts are those that a VirtualService leads so.
	Hosts []string
	// Keep is why it is not to be retired, empty where nothing is lost with it once its hosts are sealed.
	Keep string
}

// world is what a cluster holds once the plan is carried out.
type world struct {
	mesh *egress.Mesh
	view *registry.Registry
	// routes are the VirtualServices, by namespace/name, as their authors wrote them.
	routes map[string]*unstructured.Unstructured
}

// findHops finds what was written by hand, in the namespaces of the plan and in those of the gateways.
func (p *Plan) findHops(session *dryrun.Session, mesh *egress.Mesh, stored []manifest.Object) error {
	objects, err := session.Objects()
	if err != nil {
		return err
	}
	after := world{mesh: mesh, view: registry.New(session.Mesh()), routes: map[string]*unstructured.Unstructured{}}
	for _, object := range objects {
		if err := after.view.Put(object); err != nil {
			return err
		}
	}
	ours := func(object manifest.Object) bool {
		return session.Keeps(object.Unstructured) || p.index(object.GetNamespace()) < 0 && len(mesh.GatewaysIn(object.GetNamespace())) == 0
	}
	for _, object := range stored {
		if object.GetKind() == "VirtualService" && !session.Keeps(object.Unstructured) {
			intent, err := session.Intent(object)
			if err != nil {
				intent = object.Unstructured
			}
			after.routes[object.GetNamespace()+"/"+object.GetName()] = intent
		}
	}
	retired := map[string]bool{}
	for _, object := range stored {
		if object.GetKind() != "VirtualService" || ours(object) {
			continue
		}
		name := object.GetNamespace() + "/" + object.GetName()
		if hosts, keep := after.hop(after.routes[name]); len(hosts) > 0 {
			p.Hops = append(p.Hops, Hop{Object: object, Hosts: hosts, Keep: keep})
			retired[name] = keep == ""
		}
	}
	for _, object := range stored {
		if ours(object) {
			continue
		}
		if is, keep := after.part(object.Unstructured, retired); is {
			p.Hops = append(p.Hops, Hop{Object: object, Keep: keep})
		}
	}
	return nil
}

// hop returns the hosts whose calls a VirtualService leads to an egress gateway, or there on, as its author wrote it, and why nothing
// but a sealed entry stands in its place; no hosts where it leads none so.
func (w world) hop(vs *unstructured.Unstructured) (hosts []string, keep string) {
	resolved := egress.Resolve(vs, w.mesh, w.view)
	own := func(host string) bool {
		return slices.ContainsFunc(resolved.Hosts, func(of egress.Target) bool { return of.Canonical == host })
	}
	is := false
	for _, route := range resolved.Routes {
		toGateway := route.Reach.Mesh && !route.Reach.Gateway && route.ToGateway
		onward := route.Reach.Gateway && !route.Reach.Mesh && route.Bound == (egress.Bound{Egress: true}) && own(route.Canonical)
		is = is || toGateway || onward
		switch {
		case !toGateway && !onward:
			keep = fmt.Sprintf("%s leads to %s", route.RoutePath, route.Canonical)
		case !plain(route.Route):
			keep = fmt.Sprintf("%s does more than lead to the gateway", route.RoutePath)
		}
	}
	if !is {
		return nil, ""
	}
	for _, target := range resolved.Hosts {
		hosts = append(hosts, target.Canonical)
		if keep == "" && !w.sealed(target.Canonical, vs) {
			keep = fmt.Sprintf("no sealed entry has host %s for all who see it", target.Canonical)
		}
	}
	return hosts, keep
}

// plain says whether a route leads calls, by gateway, port and SNI alone, to one destination, and does nothing else to them.
func plain(route map[string]any) bool {
	destinations, _ := route["route"].([]any)
	if len(destinations) != 1 || !only(route, "match", "route", "name") {
		return false
	}
	destination, _ := destinations[0].(map[string]any)
	for _, match := range egress.Matches(route) {
		if !only(match, "gateways", "port", "sniHosts", "name") {
			return false
		}
	}
	return only(destination, "destination", "weight")
}

func only(of map[string]any, keys ...string) bool {
	for key := range of {
		if !slices.Contains(keys, key) {
			return false
		}
	}
	return true
}

// sealed says whether whoever sees a VirtualService goes by a sealed entry for a host.
func (w world) sealed(host string, vs *unstructured.Unstructured) bool {
	entries := w.view.Entries(host)
	names, all := egress.Clients(egress.ExportTo(vs), vs.GetNamespace())
	if all {
		return slices.ContainsFunc(entries, func(entry *egress.Entry) bool {
			_, everybody := egress.Clients(entry.ExportTo, entry.Namespace)
			return everybody && entry.Gateway != ""
		})
	}
	return !slices.ContainsFunc(names, func(namespace string) bool {
		serving := egress.Serving(entries, namespace)
		return len(w.mesh.GatewaysIn(namespace)) == 0 && (serving == nil || serving.Gateway == "")
	})
}

// part says whether an object is part of hops, and why it is kept though these are retired.
func (w world) part(object *unstructured.Unstructured, retired map[string]bool) (is bool, keep string) {
	var uses func(vs *unstructured.Unstructured) bool
	switch object.GetKind() {
	case "Gateway":
		if len(w.mesh.Opened(egress.ReadBinding(object), w.view)) == 0 {
			return false, ""
		}
		name := object.GetNamespace() + "/" + object.GetName()
		uses = func(vs *unstructured.Unstructured) bool {
			return slices.ContainsFunc(egress.GatewayRoutes(vs), func(route egress.GatewayRoute) bool { return slices.Contains(route.Gateways, name) })
		}
	case "DestinationRule":
		host, _, _ := unstructured.NestedString(object.Object, "spec", "host")
		spec, _ := object.Object["spec"].(map[string]any)
		if _, is := w.mesh.GatewayByService(w.mesh.Qualify(host, object.GetNamespace())); !is || !only(spec, "host", "subsets", "exportTo") || hop.IsClientRule(object) {
			return false, ""
		}
		names, all := egress.Clients(egress.ExportTo(object), object.GetNamespace())
		uses = func(vs *unstructured.Unstructured) bool {
			return (all || slices.Contains(names, vs.GetNamespace())) && slices.ContainsFunc(egress.Destinations(vs), func(d egress.Destination) bool {
				return w.mesh.Qualify(d.Host(), vs.GetNamespace()) == w.mesh.Qualify(host, object.GetNamespace())
			})
		}
	default:
		return false, ""
	}
	for name, vs := range w.routes {
		if !uses(vs) {
			continue
		}
		if _, known := retired[name]; known {
			is = true
		}
		if !retired[name] {
			keep = fmt.Sprintf("VirtualService %s needs it", name)
		}
	}
	return is, keep
}

package adopt

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/manifest"
)

// Hop is an object of a hop that somebody wrote by hand: a VirtualService that leads to an egress gateway and there on, the Gateway
// that it binds to, or the DestinationRule of its subsets.
type Hop struct {
	manifest.Object
	// Hosts are those that a VirtualService leads so.
	Hosts []string
	// Keep is why it is not to be retired, empty where nothing is lost with it once its hosts are sealed.
	Keep string
	// calls are those that it leads, and seen is who sees it.
	calls []call
	seen  *egress.Entry
}

// world is what a cluster holds once the plan is carried out.
type world struct {
	*Standing
	// routes are the VirtualServices, by namespace/name, as their authors wrote them, hops those that lead to egress gateways, or on from
	// there.
	routes map[string]*unstructured.Unstructured
	hops   map[string]byHand
}

// findHops finds what was written by hand, in the namespaces of the plan and in those of the gateways.
func (p *Plan) findHops(session *dryrun.Session, mesh *egress.Mesh, stored []manifest.Object) error {
	after, err := p.after(session, stored)
	if err != nil {
		return err
	}
	ours := func(object manifest.Object) bool {
		return session.Keeps(object.Unstructured) || p.index(object.GetNamespace()) < 0 && len(mesh.GatewaysIn(object.GetNamespace())) == 0
	}
	first := len(p.Hops)
	for _, object := range stored {
		name := object.GetNamespace() + "/" + object.GetName()
		if of := after.hops[name]; object.GetKind() == "VirtualService" && of.is() && !ours(object) {
			next := Hop{Object: object, Hosts: of.hosts(), calls: of.calls(), seen: seenBy(of.written)}
			if next.Keep = after.keep(of); next.Keep == "" {
				next.Keep = p.stays(object.Unstructured)
			}
			p.Hops = append(p.Hops, next)
		}
	}
	retired := after.retired(p.Hops[first:])
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

// after returns what a cluster holds once the plan is carried out, which the session holds.
func (p *Plan) after(session *dryrun.Session, stored []manifest.Object) (*world, error) {
	objects, err := session.Objects()
	if err != nil {
		return nil, err
	}
	standing, err := newStanding(session.Mesh(), objects)
	if err != nil {
		return nil, err
	}
	out := &world{Standing: standing, routes: map[string]*unstructured.Unstructured{}, hops: map[string]byHand{}}
	for _, object := range stored {
		if object.GetKind() != "VirtualService" || session.Keeps(object.Unstructured) {
			continue
		}
		intent, err := session.Intent(object)
		if err != nil {
			intent = object.Unstructured
		}
		name := object.GetNamespace() + "/" + object.GetName()
		out.routes[name] = intent
		if of := readByHand(intent, out.mesh, out.view); len(of.leading)+len(of.on) > 0 {
			out.hops[name] = of
		}
	}
	return out, nil
}

// stays is why a hop is kept that could not be stored as it would be, empty where it could: what it says of calls nothing else may say.
func (p *Plan) stays(vs *unstructured.Unstructured) (out string) {
	p.each(func(of *Object) {
		if of.Unstructured == vs && of.State == Stays {
			out = fmt.Sprintf("it stays, and would be %s", of.Verdict)
		}
	})
	return out
}

// keep is why nothing stands in for a hop but it itself.
func (w *world) keep(of byHand) string {
	if of.more != "" {
		return of.more
	}
	for _, to := range of.to {
		if said := w.turned(to); said != "" {
			return said
		}
	}
	return w.Lacks(Hop{calls: of.calls(), seen: seenBy(of.written)})
}

// turned says where calls that a route leads to the gateway are led on otherwise than an exit does, to the port that they are made to;
// empty where they are not.
func (w *world) turned(to egress.Route) string {
	for _, asked := range to.Targets {
		known := false
		for _, name := range slices.Sorted(maps.Keys(w.hops)) {
			for _, on := range w.hops[name].on {
				if on.Canonical != asked.Canonical || !takes(on, to.Port()) {
					continue
				}
				known = true
				for _, port := range w.ports(to, asked.Canonical) {
					if led := on.Port(); led != 0 && led != port {
						return fmt.Sprintf("calls to port %d of host %s are led on to port %d", port, asked.Canonical, led)
					}
				}
			}
		}
		if !known {
			return fmt.Sprintf("nothing that is known leads calls of host %s on from the gateway", asked.Canonical)
		}
	}
	return ""
}

// takes says whether a route of a gateway takes calls of a port of its Service.
func takes(on egress.Route, port uint32) bool {
	ports := matched(on.Route)
	return port == 0 || len(ports) == 0 || slices.Contains(ports, port)
}

// ports are those of the calls that a route takes: those that it names, or all that sealed entries have of its family.
func (w *world) ports(of egress.Route, host string) []uint32 {
	if named := matched(of.Route); len(named) > 0 {
		return named
	}
	var out []uint32
	for _, entry := range w.view.Entries(host) {
		for _, port := range entry.Ports {
			if (egress.FamilyOf(port.Protocol) == egress.FamilyHTTP) == (of.Section == "http") {
				out = append(out, port.Number)
			}
		}
	}
	return out
}

// retired returns which hops are not kept, by namespace/name. Routes on from a gateway are kept as long as others lead there.
func (w *world) retired(hops []Hop) map[string]bool {
	out := map[string]bool{}
	for _, each := range hops {
		out[each.GetNamespace()+"/"+each.GetName()] = each.Keep == ""
	}
	for again := true; again; {
		again = false
		for i := range hops {
			name := hops[i].GetNamespace() + "/" + hops[i].GetName()
			if by := w.used(name, out); out[name] && by != "" {
				hops[i].Keep, out[name], again = fmt.Sprintf("VirtualService %s needs it", by), false, true
			}
		}
	}
	return out
}

// used names a VirtualService that leads calls to the gateway which one leads on, and is not retired; empty for none.
func (w *world) used(name string, retired map[string]bool) string {
	for _, other := range slices.Sorted(maps.Keys(w.hops)) {
		for _, to := range w.hops[other].leading {
			leads := func(on egress.Route) bool {
				// Which hosts a delegate is for is others' to say.
				return takes(on, to.Port()) && (len(to.Targets) == 0 || slices.ContainsFunc(to.Targets, func(asked egress.Target) bool { return asked.Within(on.Canonical) }))
			}
			if other != name && !retired[other] && slices.ContainsFunc(w.hops[name].on, leads) {
				return other
			}
		}
	}
	return ""
}

// part says whether an object is part of hops, and why it is kept though these are retired.
func (w *world) part(object *unstructured.Unstructured, retired map[string]bool) (is bool, keep string) {
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
		exportTo := egress.ExportTo(object)
		uses = func(vs *unstructured.Unstructured) bool {
			return egress.Exports(exportTo, object.GetNamespace(), vs.GetNamespace()) && slices.ContainsFunc(egress.Destinations(vs), func(d egress.Destination) bool {
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

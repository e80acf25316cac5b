package hop

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// RouteIntent returns a VirtualService with its author's own destinations; one that was not injected comes back as it
// is. The error is Refusals when the annotation does not decode. The result shares what no rewrite touches with the object, and is
// not to be changed.
func RouteIntent(vs *unstructured.Unstructured, mesh *egress.Mesh) (*unstructured.Unstructured, error) {
	out := holding(vs)
	raw := take(out)
	if raw == "" {
		return out, nil
	}
	var slots, standing []slot
	if spec, ok := out.Object["spec"].(map[string]any); ok {
		slots = append(slots, exportSlot(spec))
	}
	for _, d := range egress.Destinations(out) {
		s := destinationSlot(d)
		slots = append(append(slots, s), askingSlots(d)...)
		if _, injected := mesh.GatewayByService(d.Host()); injected {
			standing = append(standing, s)
		}
	}
	known, err := decodeRoutes(raw, standing)
	if err != nil {
		return nil, badAnnotation(err)
	}
	known.restore(slots)
	return out, nil
}

func destinationSlot(d egress.Destination) slot { return slot{d.Path.String(), d.Holder, d.Key} }

func headersSlot(d egress.Destination) slot {
	return slot{d.HolderPath.Child("headers").String(), d.Holder, "headers"}
}

// Inject returns the VirtualService with every destination that leads straight from the mesh to a sealed external
// host replaced by the Service of the namespace's gateway, and the author's destinations in IntentAnnotation. A
// destination whose meaning could change stays: the sealed entry carries it to the gateway all the same. Injecting
// twice changes nothing. The error is Refusals when the annotation does not decode.
func Inject(vs *unstructured.Unstructured, gw egress.Gateway, mesh *egress.Mesh, view egress.View) (*unstructured.Unstructured, error) {
	out, err := RouteIntent(vs, mesh)
	if err != nil {
		return nil, err
	}
	return InjectIntent(out, gw, mesh, view), nil
}

// InjectIntent is Inject of a VirtualService as its author wrote it, which it does not touch: where there is nothing to replace, it is
// what comes back.
func InjectIntent(vs *unstructured.Unstructured, gw egress.Gateway, mesh *egress.Mesh, view egress.View) *unstructured.Unstructured {
	if !mesh.OwnNamespace && egress.Inside(vs, mesh, view) {
		return vs
	}
	out := vs.DeepCopy()
	resolved := egress.Resolve(out, mesh, view)
	known := narrow(out, resolved, mesh)
	ruled := ruledGateway(vs.GetNamespace(), gw, mesh, view)
	for _, route := range resolved.Routes {
		bareSubset := toBareSubset(route, mesh, vs.GetNamespace(), view)
		switch {
		case mesh.ByRoutes():
			lead(known, route, bareSubset, vs.GetNamespace(), gw, view)
		case gw.Transport == egress.MutualTLS:
			injectMutual(known, route, bareSubset, vs.GetNamespace(), gw, view)
		case bareSubset:
			withoutSubset(known, route)
		case ruled:
			// Calls to the gateway's Service are not made as the app speaks; those to the sealed host are.
			pairs(known, route, vs.GetNamespace(), gw, view)
		default:
			toGateway(known, route, vs.GetNamespace(), gw, view, func() bool {
				// Whose calls are delegated may leave by another gateway.
				return !resolved.IsDelegate() && injectable(route, vs.GetNamespace(), gw, view)
			})
		}
	}
	if len(known.record) == 0 {
		return out
	}
	if known.put(out) != nil {
		// Too many routes to remember: they stay, and the sealed entries carry them. For whose calls they are is not given
		// up, even where that cannot be remembered either.
		out = vs.DeepCopy()
		if known = narrow(out, resolved, mesh); len(known.record) > 0 {
			_ = known.put(out)
		}
	}
	return out
}

// toGateway puts the gateway in the place of a route's destination, as the app speaks: calls to a TLS port ask for it, those of a pair
// for that, and all others go there as they are where it may stand for the destination.
func toGateway(known *recorder, route egress.Route, namespace string, gw egress.Gateway, view egress.View, stands func() bool) {
	switch {
	case toTLSPort(route) && askable(route, gw):
		known.replace(headersSlot(route.Destination), askingForPort(route))
	case pairs(known, route, namespace, gw, view):
		if byItsEntry(route, namespace, gw, view) {
			return
		}
	case toTLSPort(route), !stands():
		return
	}
	known.replace(destinationSlot(route.Destination), leadingTo(gw.Service, gw.Port(route.Family())))
}

// withoutSubset leads a route to its destination without the subset.
func withoutSubset(known *recorder, route egress.Route) {
	bare := runtime.DeepCopyJSON(route.Raw)
	delete(bare, "subset")
	known.replace(destinationSlot(route.Destination), bare)
}

// ruledGateway says whether some rule has clients of a namespace call the gateway's Service in a way that it does not take:
// their own, that of the Service's namespace, or one for all of the mesh.
func ruledGateway(namespace string, gw egress.Gateway, mesh *egress.Mesh, view egress.View) bool {
	return slices.ContainsFunc([]string{namespace, gw.Namespace(), mesh.IstioNamespace}, func(of string) bool {
		rule := view.Rule(of, gw.Service)
		return rule != nil && rule.InForce
	})
}

// narrow makes the routes their own namespace's alone where they are.
func narrow(vs *unstructured.Unstructured, resolved *egress.VirtualService, mesh *egress.Mesh) *recorder {
	out := &recorder{}
	if spec, ok := vs.Object["spec"].(map[string]any); ok && narrows(resolved, mesh) {
		out.replace(exportSlot(spec), []any{"."})
	}
	return out
}

func exportSlot(spec map[string]any) slot { return slot{exportToPath, spec, "exportTo"} }

// narrows says whether routes are for their own namespace's calls alone: exported, they would decide over the calls that
// others make to hosts which are not the author's, or, where their author left exportTo out, the operator says so, or other
// namespaces leave by another egress gateway than the routes lead to. Those that gateways bind to must be seen by them.
func narrows(vs *egress.VirtualService, mesh *egress.Mesh) bool {
	leftOut := vs.Mesh && len(vs.ExportTo) == 0 && (mesh.OwnNamespace || vs.External && len(mesh.Gateways) > 1)
	return (leftOut || len(vs.Others) > 0) && !vs.Bound
}

// pairs has the calls of a route ask for the pair that it makes, if it does.
func pairs(known *recorder, route egress.Route, namespace string, gw egress.Gateway, view egress.View) bool {
	pair, port, makes := pairOf(route, namespace, gw, view)
	switch {
	case !makes:
	case route.MayPair():
		known.replace(headersSlot(route.Destination), asking(route.Holder["headers"], asks(pair, port)))
	default:
		for _, s := range askingSlots(route.Destination) {
			if now, asks := askingInstead(s, asks(pair, port)); asks {
				known.replace(s, now)
			}
		}
	}
	return makes
}

// toBareSubset says whether a route, as the guides have it, leads to a subset of an egress gateway's Service that says
// nothing: the clients of other namespaces who see the route do not see the subset, and would get 503.
func toBareSubset(route egress.Route, mesh *egress.Mesh, namespace string, view egress.View) bool {
	name, _ := route.Raw["subset"].(string)
	if name == "" || !route.Reach.Mesh {
		return false
	}
	if _, isGateway := mesh.GatewayByService(route.Canonical); !isGateway {
		return false
	}
	rule := view.Rule(namespace, route.Canonical)
	if rule == nil {
		return true
	}
	return !slices.ContainsFunc(rule.Subsets, func(item any) bool {
		subset, _ := item.(map[string]any)
		return subset["name"] == name && (subset["labels"] != nil || subset["trafficPolicy"] != nil)
	})
}

// injectable says whether the gateway may stand in a destination's place without changing what the route means.
func injectable(route egress.Route, namespace string, gw egress.Gateway, view egress.View) bool {
	if !route.Reach.Mesh || route.Reach.Gateway || route.Raw["subset"] != nil || gw.Port(route.Family()) == 0 {
		return false
	}
	entry := egress.Through(route.Entries, namespace, gw.Name)
	if entry == nil || view.Rule(namespace, route.Canonical).HasPolicy() || len(route.Targets) == 0 {
		return false
	}
	elsewhere := func(target egress.Target) bool { return !target.Certain || target.Canonical != route.Canonical }
	if slices.ContainsFunc(route.Targets, elsewhere) {
		return false
	}
	ports := entry.Ports
	if entry.Namespace == route.Serving.Namespace {
		ports = route.Ports
	}
	return samePort(route, ports) && asksForPort(route, route.Port(), view.Exit(route.Canonical, gw.Namespace())) && sameProtocol(route, ports, gw, view)
}

// samePort says whether the gateway, which sees only the Host header or the SNI, sends the call to the port that the
// route names.
func samePort(route egress.Route, ports []egress.Port) bool {
	family := egress.PortsOf(ports, route.Family())
	want := route.Port()
	switch {
	case len(family) == 0:
		return false
	case want == 0:
		return len(ports) > 1 || egress.FamilyOf(ports[0].Protocol) == route.Family()
	case len(family) == 1:
		return family[0] == want
	}
	matches := egress.Matches(route.Route)
	for _, match := range matches {
		if !egress.MatchesPort(match, want) {
			return false
		}
	}
	return slices.Contains(family, want) && len(matches) > 0
}

// sameProtocol says whether the gateway's Service port speaks what the host's ports speak: through a port that Istio
// takes for HTTP/1.1, HTTP/2 and gRPC would lose streams and trailers.
func sameProtocol(route egress.Route, ports []egress.Port, gw egress.Gateway, view egress.View) bool {
	if route.Family() != egress.FamilyHTTP {
		return true
	}
	for _, port := range ports {
		if egress.FamilyOf(port.Protocol) != egress.FamilyHTTP || egress.IsHTTP1(port.Protocol) {
			continue
		}
		if carrier := view.Service(gw.Service).Protocol(gw.HTTPPort); carrier != "HTTP2" && carrier != "GRPC" {
			return false
		}
	}
	return true
}

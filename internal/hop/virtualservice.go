package hop

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// RouteIntent returns a VirtualService with its author's own destinations; one that was not injected comes back as it
// is. The error is Refusals when the annotation does not decode. The result shares nothing with the object.
func RouteIntent(vs *unstructured.Unstructured, mesh *egress.Mesh) (*unstructured.Unstructured, error) {
	out := vs.DeepCopy()
	raw := take(out)
	if raw == "" {
		return out, nil
	}
	var slots, standing []slot
	for _, d := range egress.Destinations(out) {
		s := destinationSlot(d)
		slots = append(slots, s)
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

// InjectIntent is Inject of a VirtualService as its author wrote it, which it does not touch.
func InjectIntent(vs *unstructured.Unstructured, gw egress.Gateway, mesh *egress.Mesh, view egress.View) *unstructured.Unstructured {
	out := vs.DeepCopy()
	var known recorder
	for _, route := range egress.Resolve(out, mesh, view).Routes {
		if !injectable(route, vs.GetNamespace(), gw, view) {
			continue
		}
		known.replace(destinationSlot(route.Destination), map[string]any{
			"host": gw.Service, "port": map[string]any{"number": int64(gw.Port(route.Family()))},
		})
	}
	if len(known.record) == 0 {
		return out
	}
	if known.put(out) != nil {
		// Too many routes to remember: they stay, and the sealed entries carry them.
		return vs.DeepCopy()
	}
	return out
}

// injectable says whether the gateway may stand in a destination's place without changing what the route means.
func injectable(route egress.Route, namespace string, gw egress.Gateway, view egress.View) bool {
	if !route.Reach.Mesh || route.Reach.Gateway || route.Raw["subset"] != nil || gw.Port(route.Family()) == 0 {
		return false
	}
	entry := egress.Through(route.Entries, namespace, gw.Name)
	if entry == nil || view.HasTrafficPolicy(namespace, route.Canonical) || len(route.Targets) == 0 {
		return false
	}
	elsewhere := func(target egress.Target) bool { return !target.Certain || target.Canonical != route.Canonical }
	if slices.ContainsFunc(route.Targets, elsewhere) {
		return false
	}
	return samePort(route, entry.Ports) && sameProtocol(route, entry.Ports, gw, view)
}

// samePort says whether the gateway, which sees only the Host header or the SNI, sends the call to the port that the
// route names.
func samePort(route egress.Route, ports []egress.Port) bool {
	var family []uint32
	for _, port := range ports {
		if egress.FamilyOf(port.Protocol) == route.Family() {
			family = append(family, port.Number)
		}
	}
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

// CheckRoutes returns why a VirtualService cannot be expressed as hops, or would make proxies reject their whole
// configuration.
func CheckRoutes(vs *egress.VirtualService) Refusals {
	return slices.Concat(checkRouteNames(vs), checkAskedFor(vs), checkPortMapping(vs))
}

// checkRouteNames refuses what two spellings of one name, or a wildcard within a label, would do to the listeners of
// every proxy that imports the object.
func checkRouteNames(vs *egress.VirtualService) (out Refusals) {
	seen := map[string]bool{}
	for _, host := range vs.Hosts {
		if seen[host.Canonical] {
			out.add("duplicate-host", host.Path, fmt.Sprintf("host %q is named twice", host.Host), "name it once")
		}
		seen[host.Canonical] = true
	}
	known := map[string]bool{}
	for _, route := range vs.Routes {
		for _, name := range route.Targets {
			if route.Section != "tls" || name.OfSpec || known[name.Path.String()+name.Host] {
				continue
			}
			known[name.Path.String()+name.Host] = true
			refuseSpelling(&out, name.Host, name.Path)
			if name.Host != "*" && egress.IsWildcard(strings.TrimPrefix(name.Host, "*.")) {
				out.add("bad-host", name.Path, fmt.Sprintf("SNI %q is not a DNS name, nor a wildcard of whole labels", name.Host),
					"write a name such as api.example.com or *.example.com")
			}
		}
	}
	return out
}

// checkAskedFor refuses routes to a sealed host that ask for another: the gateway goes by what is asked for, so the calls
// would silently end there, or nowhere.
func checkAskedFor(vs *egress.VirtualService) (out Refusals) {
	for _, route := range vs.Routes {
		if !route.Reach.Mesh || route.Serving == nil || route.Serving.Gateway == "" || route.Section == "tcp" {
			continue
		}
		for _, target := range route.Targets {
			if target.Canonical == route.Canonical || slices.Contains(egress.Patterns(target.Canonical), route.Canonical) {
				continue
			}
			out.add("other-host", route.Path.Child("host"),
				fmt.Sprintf("calls led to %q ask the egress gateway for %q, and it goes by what they ask for", route.Host(), target.Host),
				askingFix(route))
			break
		}
	}
	return out
}

func askingFix(route egress.Route) string {
	switch {
	case route.Section == "tls":
		return fmt.Sprintf("let clients call %q, since nothing changes the SNI they ask for", route.Host())
	case route.Mirror:
		return "remove the mirror: a copy asks for what the call itself asks for"
	}
	return fmt.Sprintf("set headers.request.set.host: %s beside this destination", route.Host())
}

// checkPortMapping: the gateway tells the HTTP ports of
// a host apart by the port in the Host header, so a route must not lead calls of one port to another port of a host
// that has several.
func checkPortMapping(vs *egress.VirtualService) (out Refusals) {
	for _, route := range vs.Routes {
		if route.Section != "http" || route.Port() == 0 || route.Serving == nil || route.Serving.Gateway == "" || !route.Reach.Mesh {
			continue
		}
		http, sought := 0, false
		for _, port := range route.Serving.Ports {
			if egress.FamilyOf(port.Protocol) == egress.FamilyHTTP {
				http++
				sought = sought || port.Number == route.Port()
			}
		}
		if http > 1 && sought && !samePort(route, route.Serving.Ports) {
			out.add("port-mapping", route.Path.Child("port", "number"),
				fmt.Sprintf("host %q has several HTTP ports, and the egress gateway goes by the one in the Host header, not by port %d", route.Host(), route.Port()),
				fmt.Sprintf("match port: %d in this route, so that only calls to it are led there", route.Port()))
		}
	}
	return out
}

package hop

import (
	"fmt"
	"slices"

	networking "istio.io/api/networking/v1alpha3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// pairOf returns the pair that a route makes which keeps the host it is asked for and leads to another, or which asks for the host that it
// leads to and leaves out which port of it that is, and the HTTP port that it leads to.
func pairOf(route egress.Route, namespace string, gw egress.Gateway, view egress.View) (out egress.Pair, port uint32, ok bool) {
	entry := egress.Through(route.Entries, namespace, gw.Name)
	if entry == nil || !route.MayPair() && !route.LeavesPortOut() || gw.HTTPPort == 0 || entry.Led && !sameProtocol(route, entry.Ports, gw, view) {
		return out, 0, false
	}
	ports := egress.PortsOf(entry.Ports, egress.FamilyHTTP)
	switch port = route.Port(); {
	case port == 0 && len(ports) == 1:
		port = ports[0]
	case !slices.ContainsFunc(route.Entries, func(other *egress.Entry) bool {
		return other.Namespace == entry.Namespace && other.Gateway == entry.Gateway && slices.Contains(egress.PortsOf(other.Ports, egress.FamilyHTTP), port)
	}):
		return out, 0, false
	}
	return egress.Pair{Asked: route.Targets[0].Canonical, Led: route.Canonical}, port, route.MayPair() || port != 80
}

// byItsEntry says whether calls of a pair go on to the host that they are led to, whose sealed entry has them at the gateway: the rule of the host
// says how, or the port of the gateway's Service does not speak what they do.
func byItsEntry(route egress.Route, namespace string, gw egress.Gateway, view egress.View) bool {
	entry := egress.Through(route.Entries, namespace, gw.Name)
	return !entry.Led && (view.Rule(namespace, route.Canonical).HasPolicy() || !sameProtocol(route, entry.Ports, gw, view))
}

// asks is what calls of a pair ask the gateway for.
func asks(pair egress.Pair, port uint32) string {
	if port == 80 {
		return pair.Host()
	}
	return fmt.Sprintf("%s:%d", pair.Host(), port)
}

// Pairs returns the pairs that a VirtualService makes by its destinations as it is stored, by their names.
func Pairs(stored []egress.Destination, intent *unstructured.Unstructured, mesh *egress.Mesh) map[string]egress.Pair {
	var was []egress.Destination
	var asked [][]egress.Target
	out := map[string]egress.Pair{}
	for i, d := range stored {
		host := egress.HostOnly(reservedOf(d))
		if host == "" {
			continue
		}
		if was == nil {
			// Few routes make pairs.
			was, asked = egress.Destinations(intent), egress.AskedBy(intent, mesh)
		}
		if i >= len(was) {
			break
		}
		if len(asked[i]) == 0 || slices.ContainsFunc(asked[i], func(target egress.Target) bool { return target.Canonical != asked[i][0].Canonical }) {
			continue
		}
		// By mutual TLS, and under a rule, the route leads to the host itself.
		if _, injected := mesh.GatewayByService(d.Host()); !injected && d.Host() != was[i].Host() {
			continue
		}
		pair := egress.Pair{Asked: asked[i][0].Canonical, Led: mesh.Qualify(was[i].Host(), intent.GetNamespace())}
		if host == pair.Host() {
			out[host] = pair
		}
	}
	return out
}

// PairSet returns the exit of a pair in the namespace of egress gateways: routes from each gateway that lead its calls to
// the one host, under the name of the other. Without an exit of the host that they are led to, which is nil, it is empty.
func PairSet(mesh *egress.Mesh, exit *egress.Exit, view egress.View, namespace string, pair egress.Pair) (out []Object) {
	if exit == nil {
		return nil
	}
	for _, gw := range servingGateways(mesh, exit, namespace) {
		vs := routesOf(gw, pair.Host())
		if vs.Spec.Http = transportOf(gw).pair(gw, servedBy(mesh, exit, view, gw, pair.Led), pair); len(vs.Spec.Http) > 0 {
			out = append(out, vs)
		}
	}
	return out
}

func pairRoutes(pair egress.Pair, definition egress.Definition) (out []toPort) {
	for _, port := range egress.PortsOf(definition.Ports, egress.FamilyHTTP) {
		authority := portAuthority(port)
		if port == 80 {
			authority = "[^:]*"
		}
		route := httpExit(httpDestination(pair.Led, port, definition), authority)
		route.Rewrite = &networking.HTTPRewrite{Authority: pair.Asked}
		out = append(out, toPort{route, port})
	}
	return out
}

// checkReserved refuses names that only egress-governor gives, wherever an author wrote them.
func checkReserved(vs *egress.VirtualService) (out Refusals) {
	for _, target := range vs.Hosts {
		if egress.IsReserved(target.Canonical) {
			out.add("reserved-host", target.Path, fmt.Sprintf("host %q is under %s, whose names egress-governor gives", target.Host, egress.ReservedSuffix), "name another host")
		}
	}
	for _, route := range vs.Routes {
		for _, target := range route.Targets {
			if _, made := vs.Pairs[target.Canonical]; egress.IsReserved(target.Canonical) && !target.OfSpec && !made {
				out.add("reserved-host", target.Path, fmt.Sprintf("%q is under %s, whose names egress-governor gives", target.Host, egress.ReservedSuffix), "ask for the host itself")
			}
		}
	}
	return out
}

package hop

import (
	"fmt"
	"slices"
	"strings"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// unencrypted says whether a route leads HTTP calls to a TLS port of a sealed host as it stands: they would speak HTTP where TLS is
// expected, or leave in clear by the exit of another port.
func unencrypted(route egress.Route) bool { return toTLSPort(route) && !route.Bound.Egress }

// checkTLSPort refuses HTTP routes to a TLS port of a sealed host that could not be made to ask the gateway for it.
func checkTLSPort(vs *egress.VirtualService) (out Refusals) {
	for _, route := range vs.Routes {
		if unencrypted(route) {
			out.add("port-mapping", route.Path.Child("port", "number"),
				fmt.Sprintf("port %d of host %q takes TLS, and this route leads HTTP calls there in a way in which the egress gateway cannot encrypt them", route.Port(), route.Host()),
				encryptingFix(vs, route))
		}
	}
	return out
}

// isOnward says whether a route is the second of a hop that is written by hand: a gateway's, for calls to the host that it leads to, which
// another of the object leads to the egress gateway, or by mutual TLS has been made to lead to the host.
func isOnward(vs *egress.VirtualService, route egress.Route) bool {
	if route.Section != "http" || route.Reach.Mesh || !route.Reach.Gateway || route.Port() == 0 || route.InMesh || route.ToGateway {
		return false
	}
	itself := slices.ContainsFunc(route.Targets, func(target egress.Target) bool { return target.OfSpec && target.Canonical == route.Canonical })
	return itself && slices.ContainsFunc(vs.Routes, func(first egress.Route) bool {
		return first.Reach.Mesh && (first.ToGateway || first.Canonical == route.Canonical)
	})
}

// encryptingFix says how HTTP calls come to a TLS port of a host, whoever applies the route: by an HTTP port of the host that asks for
// TLS, which leads there itself, or which the calls reach while they ask for the other.
func encryptingFix(vs *egress.VirtualService, route egress.Route) string {
	http := egress.PortsOf(route.Ports, egress.FamilyHTTP)
	declare := fmt.Sprintf("declare port 80 of protocol HTTP with targetPort %d in the ServiceEntry, set tls for it in a DestinationRule", route.Port())
	switch {
	case route.Mirror:
		return "remove the mirror: a copy asks for what the call itself asks for"
	case egress.IsWildcard(route.Canonical):
		return fmt.Sprintf("write a ServiceEntry of the very host that is called, with port 80 of protocol HTTP and targetPort %d, set tls for it in a DestinationRule, and lead the route there", route.Port())
	case isOnward(vs, route) && len(http) == 0:
		return declare + ", and remove the routes: HTTP calls to the host then leave encrypted through the egress gateway by themselves"
	case isOnward(vs, route) && len(vs.Hosts) > 1:
		return fmt.Sprintf("write a VirtualService for each host, without gateways, that leads its calls to port %d of the host itself, and set tls for that port in a DestinationRule", route.Port())
	case isOnward(vs, route):
		return fmt.Sprintf("lead the route of the mesh to port %d of host %q itself, remove this one and spec.gateways, and set tls for port %d in a DestinationRule",
			route.Port(), route.Host(), route.Port())
	case len(http) == 0 && asksForItself(route):
		return declare + ", and lead the route there"
	case len(http) == 0:
		return declare + ", lead the route there, and " + askingFor(vs, route, route.Canonical)
	}
	return fmt.Sprintf("lead the route to port %d of the host, %s, and set tls for port %d in a DestinationRule",
		http[0], askingFor(vs, route, fmt.Sprintf("%s:%d", route.Canonical, route.Port())), route.Port())
}

// asksForItself says whether all calls of a route ask for the host that it leads to, on port 80.
func asksForItself(route egress.Route) bool {
	return len(route.Targets) > 0 && !slices.ContainsFunc(route.Targets, func(target egress.Target) bool {
		return target.Canonical != route.Canonical || target.Port != 0 && target.Port != 80
	})
}

// askingFor says how the calls of a route come to ask for an authority, and for nothing else: what rewrites it stands before a header of
// the destination.
func askingFor(vs *egress.VirtualService, route egress.Route, authority string) string {
	header := route.HolderPath.Child("headers", "request", "set").String()
	var beside []string
	rewrites := false
	for _, target := range route.Targets {
		if at := target.Path.String(); !target.OfSpec && at != header && !slices.Contains(beside, at) {
			beside, rewrites = append(beside, at), rewrites || target.Certain
		}
	}
	first := ""
	switch {
	case vs.Of != "":
		if len(beside) > 0 {
			first = "remove the host that filters of the rule ask for, and "
		}
		return fmt.Sprintf("%sset the header Host to %s by a filter RequestHeaderModifier of this backend", first, authority)
	case len(beside) == 1 && rewrites:
		return fmt.Sprintf("write %s in %s", authority, beside[0])
	case len(beside) > 0:
		first = fmt.Sprintf("remove the host in %s, and ", strings.Join(beside, " and "))
	}
	return fmt.Sprintf("%sset headers.request.set.host: %s beside this destination", first, authority)
}

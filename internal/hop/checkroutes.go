package hop

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// CheckRoutes returns why a VirtualService cannot be expressed as hops, or would make proxies reject their whole
// configuration.
func CheckRoutes(vs *egress.VirtualService) Refusals {
	out := slices.Concat(checkReserved(vs), checkRouteNames(vs), checkDestinationNames(vs), checkToMutual(vs), checkAskedFor(vs), checkDelegates(vs), checkAliases(vs), checkTLSPort(vs), checkPortMapping(vs), checkAskedPort(vs), checkOnGateways(vs), checkExported(vs), checkLeftOut(vs))
	return append(out, checkSubnets(vs, out)...)
}

// checkRouteNames refuses what two spellings of one name, or a wildcard within a label, would do to the listeners of
// every proxy that imports the object.
func checkRouteNames(vs *egress.VirtualService) (out Refusals) {
	seen := map[string]bool{}
	for _, host := range vs.Hosts {
		switch {
		case seen[host.Canonical]:
			out.add("duplicate-host", host.Path, fmt.Sprintf("host %q is named twice", host.Host), "name it once")
		case vs.Mesh && vs.External && strings.HasSuffix(host.Host, "."):
			// Sidecars know an entry's host without the dot, and would go by no route for the other name.
			refuseSpelling(&out, host.Host, host.Path)
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

// checkDestinationNames refuses routes to a sealed host in another spelling than the one in which its entry is stored: sidecars
// know no such host.
func checkDestinationNames(vs *egress.VirtualService) (out Refusals) {
	for _, route := range vs.Routes {
		if vs.Of == "" && route.Serving != nil && route.Serving.Gateway != "" {
			refuseSpelling(&out, route.Host(), route.Path.Child("host"))
		}
	}
	return out
}

// checkAskedFor refuses routes to a sealed host that ask for another: the gateway goes by what is asked for, so the calls
// would silently end there, or nowhere.
func checkAskedFor(vs *egress.VirtualService) (out Refusals) {
	for _, route := range vs.Routes {
		if !callsEntries(route) || route.Serving == nil || route.Serving.Gateway == "" || route.Section == "tcp" || unencrypted(route) || toItsPort(route) {
			continue // of one that cannot be encrypted checkTLSPort says what it is to ask for
		}
		for _, target := range route.Targets {
			if target.Within(route.Canonical) || vs.Pairs[target.Canonical].Led == route.Canonical {
				continue
			}
			out.add("other-host", route.Path.Child("host"),
				fmt.Sprintf("calls led to %q ask the egress gateway for %q, and it goes by what they ask for", route.Host(), target.Host),
				askingFix(vs, route))
			break
		}
	}
	return out
}

// callsEntries says whether a route is applied by proxies that call the hosts of entries at egress gateways: sidecars, and other gateways than
// those.
func callsEntries(route egress.Route) bool { return route.Reach.Mesh || route.Bound.Elsewhere }

// checkDelegates refuses routes of a delegate that leave to its roots which host is asked for, and authorities of a root that
// its delegates would ask for whatever they lead to.
func checkDelegates(vs *egress.VirtualService) (out Refusals) {
	for _, route := range vs.Routes {
		if vs.IsDelegate() && len(route.Targets) == 0 && route.Serving != nil && route.Serving.Gateway != "" {
			out.add("other-host", route.Path.Child("host"),
				fmt.Sprintf("calls led to %q ask the egress gateway for the host that is delegated here, whichever it is, and it goes by what they ask for", route.Host()),
				askingFix(vs, route))
		}
	}
	for _, target := range vs.Inherited {
		out.add("delegated-authority", target.Path,
			fmt.Sprintf("all calls that are delegated would ask the egress gateway for %q, and it goes by what they ask for", target.Host),
			"remove it, and set headers.request.set.host beside those destinations of the delegate that are outside the mesh")
	}
	return out
}

// checkAliases refuses routes to another name of a host outside: sidecars lead them to that host, whose calls these then are.
func checkAliases(vs *egress.VirtualService) (out Refusals) {
	for _, route := range vs.Routes {
		if route.Alias != "" {
			out.add("external-name", route.Path.Child("host"),
				fmt.Sprintf("%q is an ExternalName Service, another name of host %q outside the mesh", route.Host(), route.Alias),
				fmt.Sprintf("lead the route to host %q itself, and write a ServiceEntry for it", route.Alias))
		}
	}
	return out
}

func askingFix(vs *egress.VirtualService, route egress.Route) string {
	switch {
	case route.Section == "tls":
		return AskingBySNI(route.Host())
	case route.Mirror:
		return "remove the mirror: a copy asks for what the call itself asks for"
	}
	if vs.Of != "" {
		first := ""
		if len(askedBeside(route)) > 0 {
			first = "remove the host that filters of the rule ask for, and "
		}
		return fmt.Sprintf("%sset the header Host to %s by a filter RequestHeaderModifier of this backend", first, route.Host())
	}
	first := ""
	if beside := askedBeside(route); len(beside) > 0 {
		first = fmt.Sprintf("remove the host in %s, and ", strings.Join(beside, " and "))
	}
	if egress.IsWildcard(route.Canonical) {
		return fmt.Sprintf("%sset headers.request.set.host beside this destination, to a name below %s", first, route.Host())
	}
	return fmt.Sprintf("%sset headers.request.set.host: %s beside this destination", first, route.Host())
}

// askedBeside returns where a route asks for another host than it leads to, other than in the header that a fix has it set: each
// counts.
func askedBeside(route egress.Route) (out []string) {
	header := route.HolderPath.Child("headers", "request", "set").String()
	for _, target := range route.Targets {
		if at := target.Path.String(); !target.OfSpec && at != header && target.Canonical != route.Canonical && !slices.Contains(out, at) {
			out = append(out, at)
		}
	}
	return out
}

// checkPortMapping: the gateway tells the HTTP ports of a host apart by the port in the Host header, so a route must not
// lead calls of one port to another port of a host that has several.
func checkPortMapping(vs *egress.VirtualService) (out Refusals) {
	for _, route := range vs.Routes {
		if route.Section != "http" || route.Port() == 0 || route.Serving == nil || route.Serving.Gateway == "" || !callsEntries(route) {
			continue
		}
		http := egress.PortsOf(route.Ports, egress.FamilyHTTP)
		// A pair has the port in what it asks for.
		paired := slices.ContainsFunc(route.Targets, func(target egress.Target) bool { return vs.Pairs[target.Canonical].Led == route.Canonical })
		if len(http) > 1 && !paired && slices.Contains(http, route.Port()) && !samePort(route, route.Ports) && !asksForItsPort(route) {
			fix := askingFor(vs, route, fmt.Sprintf("%s:%d", route.Canonical, route.Port()))
			switch itself := slices.ContainsFunc(route.Targets, func(target egress.Target) bool { return target.OfSpec }); {
			case vs.Of != "":
				fix = fmt.Sprintf("set port: %d in the parentRef, so that only calls to it are led there", route.Port())
			case itself:
				fix = fmt.Sprintf("match port: %d in this route, so that only calls to it are led there, or %s", route.Port(), fix)
			}
			out.add("port-mapping", route.Path.Child("port", "number"),
				fmt.Sprintf("host %q has several HTTP ports, and the egress gateway goes by the one in the Host header, not by port %d", route.Host(), route.Port()), fix)
		}
	}
	return out
}

// asksForItsPort says whether a route itself has all its calls ask for the port of the host that it leads to, or for one of TLS, which
// the gateway then calls.
func asksForItsPort(route egress.Route) bool {
	tls := egress.PortsOf(route.Ports, egress.FamilyTLS)
	return len(route.Targets) > 0 && !slices.ContainsFunc(route.Targets, func(target egress.Target) bool {
		return target.OfSpec || target.Canonical != route.Canonical || cmp.Or(target.Port, 80) != route.Port() && !slices.Contains(tls, target.Port)
	})
}

// checkAskedPort: where a route itself says what to ask for, it says which of the HTTP ports of a host, or means 80. Other
// entries of the host count, since they share its exit, and of a route of the Gateway API those that come later, which nobody holds against it.
func checkAskedPort(vs *egress.VirtualService) (out Refusals) {
	for _, route := range vs.Routes {
		if route.Section != "http" || !callsEntries(route) || unencrypted(route) || route.Exit == nil || vs.Of == "" && len(egress.PortsOf(route.Exit.Definition.Ports, egress.FamilyHTTP)) < 2 {
			continue
		}
		want := route.Port()
		if own := egress.PortsOf(route.Ports, egress.FamilyHTTP); want == 0 && len(own) == 1 {
			want = own[0]
		}
		for _, target := range route.Targets {
			if target.OfSpec || want == 0 || slices.Contains(egress.PortsOf(route.Exit.Definition.Ports, egress.FamilyTLS), target.Port) || target.Canonical != route.Canonical || cmp.Or(target.Port, 80) == want {
				continue
			}
			fix := fmt.Sprintf("write %s:%d", route.Canonical, want)
			if vs.Of != "" {
				fix = fmt.Sprintf("set the header Host to %s:%d by a filter RequestHeaderModifier", route.Canonical, want)
			}
			out.add("authority-port", target.Path, fmt.Sprintf("calls led to port %d of host %q ask the egress gateway for %q, which is port %d",
				want, route.Host(), target.Host, cmp.Or(target.Port, 80)), fix)
		}
	}
	return out
}

// checkToMutual refuses routes to the Service of a gateway that takes mutual TLS alone: nothing has proxies speak it there.
func checkToMutual(vs *egress.VirtualService) (out Refusals) {
	onward := slices.IndexFunc(vs.Routes, func(route egress.Route) bool { return isOnward(vs, route) })
	host := "the external host"
	if onward >= 0 {
		host = fmt.Sprintf("port %d of host %q", vs.Routes[onward].Port(), vs.Routes[onward].Host())
	}
	for _, route := range vs.Routes {
		if route.ToGateway && route.ByMutualTLS && route.Reach.Mesh && (onward < 0 || !unencrypted(vs.Routes[onward])) {
			out.add("gateway-destination", route.Path.Child("host"),
				fmt.Sprintf("%q is an egress gateway that takes calls by mutual TLS, which clients speak to hosts of ServiceEntries alone", route.Host()),
				fmt.Sprintf("lead the route to %s itself, which a ServiceEntry has at the gateway", host))
		}
	}
	return out
}

// checkExported refuses routes that decide over the calls that others make to hosts which are not the namespace's own to route, and that
// cannot be narrowed, since gateways bind to them too.
func checkExported(vs *egress.VirtualService) (out Refusals) {
	for _, route := range vs.Taking {
		out.add("exported-route", route,
			fmt.Sprintf("the route is exported, and would decide over the calls of other namespaces to host %q, which is not this one's alone to route", vs.Others[0].Host),
			`write a VirtualService for the gateways and another, with exportTo: ["."], for the mesh`)
	}
	return out
}

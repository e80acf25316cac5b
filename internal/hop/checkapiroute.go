package hop

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// The codes of routes of the Gateway API that name what is not there, or not there yet.
const (
	CodeUnknownEntry = "unknown-entry"
	CodeUnknownHost  = "unknown-host"
)

// CheckAPIRoute returns why a route of the Gateway API cannot be expressed as hops. It is stored as it is written, so what
// a VirtualService would be rewritten for is refused too.
func CheckAPIRoute(route *egress.APIRoute) Refusals {
	var out Refusals
	seen := map[egress.Finding]bool{}
	for i := range route.Parents {
		parent := &route.Parents[i]
		for _, refusal := range append(checkAPIParent(route, parent), checkAPIRules(route, parent)...) {
			if !seen[refusal] {
				seen[refusal] = true
				out = append(out, refusal)
			}
		}
	}
	return out
}

// checkAPIParent refuses what a route would do, or would not, to the calls of a parent's hosts whatever its rules are.
func checkAPIParent(route *egress.APIRoute, parent *egress.APIParent) (out Refusals) {
	at := parent.Path.Child("name")
	if parent.Kind == "ServiceEntry" && len(parent.Hosts) == 0 {
		out.add(CodeUnknownEntry, at, fmt.Sprintf("there is no ServiceEntry %s/%s, so nobody can say whose calls the route would decide over", parent.Namespace, parent.Name),
			"apply the ServiceEntry first")
	}
	for _, host := range route.Takes(parent) {
		out.add("exported-route", at, fmt.Sprintf("the route would decide over the calls of other namespaces to host %q, now or once they have an entry of it: a %s has no exportTo", host, route.Kind),
			"use a VirtualService, which is stored for the calls of its own namespace"+exportFix(route))
	}
	for _, host := range parent.Hosts {
		if parent.Kind == "ServiceEntry" && egress.IsWildcard(host) && route.OfHTTP() {
			out.add("wildcard-parent", at, fmt.Sprintf("Istio applies no %s to calls of a wildcard such as %q", route.Kind, host),
				"use a VirtualService, or name the hosts in a ServiceEntry of their own")
		}
	}
	return out
}

func exportFix(route *egress.APIRoute) string {
	if route.OfHTTP() {
		return `, or set exportTo: ["."] in your ServiceEntry of the host`
	}
	return ", or lead the host to itself alone, with port in the parentRef as in the backendRef"
}

// checkAPIRules refuses the VirtualServices that Istio makes of a route for a parent.
func checkAPIRules(route *egress.APIRoute, parent *egress.APIParent) (out Refusals) {
	for _, form := range route.Forms(parent) {
		vs := form.VirtualService
		found := slices.Concat(checkBackends(vs), CheckRoutes(vs), CheckHeaders(form.Written), checkForeignSNI(route, parent, vs), checkRaw(vs), checkMayBeEgress(vs))
		for _, refusal := range found {
			refusal.Field = route.Place(parent, refusal.Field).String()
			out = append(out, refusal)
		}
	}
	return out
}

// checkBackends refuses hosts that no sidecar of the namespace knows: what an entry that comes later makes of the route,
// nobody looks at.
func checkBackends(vs *egress.VirtualService) (out Refusals) {
	for _, route := range vs.Routes {
		at := route.Path.Child("host")
		switch {
		case route.Host() != route.Canonical:
			out.add("not-canonical", at, fmt.Sprintf("Istio knows no host %q", route.Host()), fmt.Sprintf("write %q", route.Canonical))
		case route.Serving == nil && !route.InMesh && !route.ToGateway:
			out.add(CodeUnknownHost, at, fmt.Sprintf("no ServiceEntry that namespace %q sees names host %q, so calls led there would fail", vs.Namespace, route.Host()),
				"apply a ServiceEntry of the host first")
		case route.Serving != nil && route.Serving.Led:
			out.add("straight-route", at, fmt.Sprintf("calls would go straight to %q: its ServiceEntry is not sealed, and a route of the Gateway API is stored as it is written", route.Host()),
				"lead calls to the host by a VirtualService")
		}
	}
	return out
}

// checkForeignSNI refuses a TLSRoute that takes calls of other hosts than its parent's: Istio binds its hostnames to nothing
// of the parent's, and applies them to the calls of every namespace.
func checkForeignSNI(of *egress.APIRoute, parent *egress.APIParent, vs *egress.VirtualService) (out Refusals) {
	if !of.OfTLS() || !parent.OfMesh() {
		return nil
	}
	host, at := vs.Hosts[0], field.NewPath("spec", "tls").Index(0).Child("match")
	names := of.SNIs(parent, host.Canonical)
	if len(names) == 0 {
		out.add("foreign-sni", at, fmt.Sprintf("no hostname is one of host %q, and all TLS calls that nobody else takes would be taken from every namespace", host.Host),
			"name in hostnames the hosts of the parent, and no others")
	}
	for _, name := range names {
		if egress.Covers(host.Canonical, egress.Canonical(name)) || parent.Kind == "Service" && !of.IsKnown(name) {
			continue
		}
		out.add("foreign-sni", at, fmt.Sprintf("hostname %q is none of host %q, and TLS calls that ask for it would be taken from every namespace", name, host.Host),
			"name in hostnames the hosts of the parent, and no others")
	}
	return out
}

// checkRaw refuses raw TCP to a sealed host in a way in which the gateway does not get to know the host.
func checkRaw(vs *egress.VirtualService) (out Refusals) {
	for _, route := range vs.Routes {
		if route.Section != "tcp" || route.Serving == nil || route.Serving.Gateway == "" {
			continue
		}
		switch at := route.Path; {
		case route.Serving.Transport == egress.Plain:
			out.add("raw-protocol", at.Child("host"), fmt.Sprintf("calls led to host %q name no host that egress gateway %q could go by", route.Host(), route.Serving.Gateway),
				"lead HTTP calls by an HTTPRoute and TLS calls by a TLSRoute, or ask the platform team for an egress gateway by mutual TLS")
		case slices.Contains(egress.PortsOf(route.Ports, egress.FamilyHTTP), route.Port()):
			out.add("port-mapping", at.Child("port"), fmt.Sprintf("port %d of host %q takes HTTP, and the egress gateway goes by the Host header there", route.Port(), route.Host()),
				"use an HTTPRoute, or lead to a port of TCP")
		}
	}
	return out
}

// checkMayBeEgress refuses what routes of gateways would do beside the exits: on the pods of an egress gateway they would
// decide over everybody's calls, and on others of its namespace call the hosts directly. Those of raw TCP decide over ports
// that are none of an exit's.
func checkMayBeEgress(vs *egress.VirtualService) (out Refusals) {
	for _, route := range vs.OnGateways {
		if hosts := append(slices.Sorted(maps.Keys(vs.Exits)), vs.Above...); route.Bound.Unknown != "" && route.Section != "tcp" && len(hosts) > 0 {
			out.add(CodeGatewayRoute, vs.Hosts[0].Path, fmt.Sprintf("%q may be on the pods of an egress gateway, where this route would decide over the calls of everybody to host %q", route.Bound.Unknown, hosts[0]),
				"name in hostnames what the route is for, and no host of a ServiceEntry")
			break
		}
	}
	for _, route := range vs.Routes {
		if route.Bound.Unknown != "" && route.Serving != nil && route.Serving.External {
			out.add("beside-gateway", route.Path.Child("host"),
				fmt.Sprintf("%q may share its namespace with an egress gateway, whose exits it sees, and would call host %q directly", route.Bound.Unknown, route.Host()),
				"lead the route to a Service of the mesh that makes the call, or attach it to a Gateway in a namespace of its own")
		}
	}
	return out
}

package egress

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Where routes alone lead calls to a gateway, each port of each host needs one. Istio takes the first VirtualService that
// has a route for a host and a port, so what one of an author's says of each decides whether one of ours is beside it.

// Routing is what a VirtualService of an author's says of the calls of its hosts, as sidecars apply it.
type Routing struct {
	Namespace, Name string
	// ExportTo is as stored, Hosts are canonical.
	ExportTo, Hosts []string
	// Straight are the canonical hosts that it leads to, other than those under the cluster's own domain.
	Straight []string
	// routes are its routes, in their order.
	routes []routed
}

// routed is one match of a route of sidecars, or a route without any.
type routed struct {
	path *field.Path
	http bool
	// names are the SNIs of a TLS route.
	names []string
	// port is 0 for any.
	port uint32
	// some says that it is for the calls of some clients alone, delegated that another object has its routes.
	some, delegated bool
}

// ReadRouting reads a VirtualService; nil where no sidecar applies it, or it is for no host.
func ReadRouting(vs *unstructured.Unstructured, mesh *Mesh) *Routing {
	gateways, hosts := GatewayNames(vs), Hosts(vs)
	if !OfSidecars(gateways) || len(hosts) == 0 {
		return nil
	}
	out := &Routing{Namespace: vs.GetNamespace(), Name: vs.GetName(), ExportTo: ExportTo(vs)}
	for _, host := range hosts {
		out.Hosts = append(out.Hosts, mesh.Qualify(host, vs.GetNamespace()))
	}
	for _, d := range Destinations(vs) {
		host := mesh.Qualify(d.Host(), vs.GetNamespace())
		if reachOf(gateways, d.Route).Mesh && !mesh.InCluster(host) && !slices.Contains(out.Straight, host) {
			out.Straight = append(out.Straight, host)
		}
	}
	for _, section := range []string{"http", "tls"} {
		for i, item := range RoutesOf(vs, section) {
			route, _ := item.(map[string]any)
			out.add(route, section == "http", gateways, field.NewPath("spec", section).Index(i))
		}
	}
	return out
}

func (r *Routing) add(route map[string]any, http bool, gateways []string, path *field.Path) {
	of := routed{path: path, http: http, delegated: route["delegate"] != nil}
	matches := Matches(route)
	if len(matches) == 0 && http {
		r.routes = append(r.routes, of)
	}
	for _, match := range matches {
		if !OfSidecars(narrowed(match, gateways)) {
			continue
		}
		of.port = Number(match["port"])
		of.names = Texts(match["sniHosts"])
		of.some = match["sourceLabels"] != nil || match["sourceNamespace"] != nil || match["destinationSubnets"] != nil
		r.routes = append(r.routes, of)
	}
}

// Of says whether the VirtualService names a canonical host itself. Of one that has it by a wildcard alone Istio takes no HTTP
// route once any other names it, be that without a route of HTTP.
func (r *Routing) Of(host string) bool { return slices.Contains(r.Hosts, host) }

// Takes says whether every client that sees it has the calls of a port of a host by a route of it.
func (r *Routing) Takes(host string, port Port) bool {
	return r.Of(host) && slices.ContainsFunc(r.routes, func(route routed) bool { return !route.part() && route.of(host, port) })
}

// Meets says whether calls of a port of a host that it has by a wildcard would meet a route of it.
func (r *Routing) Meets(host string, port Port) bool {
	return !r.Of(host) && slices.ContainsFunc(r.routes, func(route routed) bool { return route.of(host, port) })
}

// part says whether a client that sees the route may go without it.
func (r routed) part() bool { return r.some || r.delegated }

// of says whether calls of a port of a host may meet the route.
func (r routed) of(host string, port Port) bool {
	if r.port != 0 && r.port != port.Number {
		return false
	}
	if r.http {
		return FamilyOf(port.Protocol) == FamilyHTTP
	}
	return FamilyOf(port.Protocol) == FamilyTLS && covers(r.names, host)
}

// Part returns a route that takes calls of a port of a host from some clients alone, or by another object, while none takes
// those of all; nil for none.
func (r *Routing) Part(host string, port Port) (path *field.Path, delegated bool) {
	for _, route := range r.routes {
		if route.part() && route.of(host, port) && !r.Takes(host, port) {
			return route.path, route.delegated
		}
	}
	return nil, false
}

func covers(names []string, host string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		name = Canonical(name)
		return name == host || strings.HasPrefix(name, "*") && slices.Contains(Patterns(host), name)
	})
}

// LedPort is a port of a host whose calls routes lead to a gateway for a namespace.
type LedPort struct {
	Host string
	Port Port
	// Own says that the entry is the namespace's own.
	Own bool
}

// led returns those of the hosts of the spec, and of the hosts below its wildcards.
func (r *resolver) led() (out []LedPort) {
	for _, target := range r.hosts {
		for _, host := range r.view.Below(target.Canonical) {
			entries := r.view.Entries(host)
			serving := Serving(entries, r.namespace)
			for _, entry := range entries {
				if own := entry.Namespace == r.namespace; entry.Led && (own || entry == serving) {
					for _, port := range entry.Ports {
						out = append(out, LedPort{host, port, own})
					}
				}
			}
		}
	}
	return out
}

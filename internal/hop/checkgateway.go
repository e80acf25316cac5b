package hop

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// CodeGatewayRoute is that of routes that decide on the pods of an egress gateway, or that may.
const CodeGatewayRoute = "gateway-route"

// CheckBinding returns what a Gateway object of anybody's would take from the exits of an egress gateway on whose pods it
// opens its servers: Istio joins the servers of all Gateway objects on a port, and leaves out silently, or lets Envoy
// reject, what does not fit the others. Service is the gateway's, nil for one that is not there.
func CheckBinding(binding *egress.Binding, gw egress.Gateway, service *egress.Service) (out Refusals) {
	for _, server := range binding.Servers {
		at := server.Path.Child("port")
		switch {
		case gw.Transport == egress.MutualTLS:
			out.add("gateway-port", at, fmt.Sprintf("egress gateway %q lets callers in by their identity, and a server of another's on its pods would let in everybody, or take port %d from it", gw.Name, server.Port),
				"open the port on other pods; the calls of ServiceEntries need no Gateway")
		case isPort(server.Port, gw.HTTPPort, service) && (egress.FamilyOf(server.Protocol) != egress.FamilyHTTP || server.Mode != ""):
			out.add("gateway-port", at, fmt.Sprintf("port %d of egress gateway %q takes HTTP without TLS, and a server of another kind would take it from all exits or be left out", server.Port, gw.Name),
				"use another port, or an ingress gateway; the calls of ServiceEntries need no Gateway")
		case isPort(server.Port, gw.TLSPort, service) && (server.Protocol != "TLS" && server.Protocol != "HTTPS" || server.Mode != "PASSTHROUGH"):
			out.add("gateway-port", at, fmt.Sprintf("port %d of egress gateway %q passes TLS through, and a server that ends TLS would make the gateway reject the port as a whole", server.Port, gw.Name),
				"use another port, or set tls.mode PASSTHROUGH; the calls of ServiceEntries need no Gateway")
		case isPort(server.Port, gw.TLSPort, service) && slices.Contains(server.Hosts, gw.Namespace()+"/*"):
			out.add("gateway-port", at, fmt.Sprintf("port %d of egress gateway %q has a server of hosts %s/* already, and of two that name the same Istio leaves one out as a whole", server.Port, gw.Name, gw.Namespace()),
				"name hosts of your own; the calls of ServiceEntries need no Gateway")
		}
	}
	return out
}

// ForOthers returns the servers of a Gateway object on an egress gateway's pods that are more than the hop of Istio's guides: for
// hosts that its namespace calls, or nobody yet, on the ports of the gateway.
func ForOthers(binding *egress.Binding, gw egress.Gateway, service *egress.Service, view egress.View) (out []*field.Path) {
	called := func(written string) bool {
		host := egress.Canonical(written[strings.IndexByte(written, '/')+1:])
		entries := view.Entries(host)
		return egress.Serving(entries, binding.Namespace) != nil || len(entries) == 0 && !egress.IsWildcard(host)
	}
	for _, server := range binding.Servers {
		own := isPort(server.Port, gw.HTTPPort, service) || isPort(server.Port, gw.TLSPort, service)
		if !own || slices.ContainsFunc(server.Hosts, func(host string) bool { return !called(host) }) {
			out = append(out, server.Path)
		}
	}
	return out
}

// isPort says whether a server's port is a port of the gateway's Service, or the one of its pods behind it.
func isPort(number, port uint32, service *egress.Service) bool {
	if port == 0 {
		return false
	}
	if service != nil {
		for _, of := range service.Ports {
			if of.Number == port && of.Target == number {
				return true
			}
		}
	}
	return number == port
}

// checkOnGateways refuses routes that decide, on the pods of an egress gateway, over the calls of all who share an exit, or
// will, and those of other proxies that see the exits. The hop of Istio's guides, which leads a host to itself, stays. Of a
// route of the Gateway API checkMayBeEgress says so.
func checkOnGateways(vs *egress.VirtualService) (out Refusals) {
	if vs.Of != "" {
		return nil
	}
	hosts, refused := slices.Sorted(maps.Keys(vs.Exits)), map[string]bool{}
	for _, route := range vs.Routes {
		refused[route.RoutePath.String()] = refused[route.RoutePath.String()] || unencrypted(route) && isOnward(vs, route) // checkTLSPort says what the whole hop is
	}
	for _, route := range vs.OnGateways {
		if refused[route.Path.String()] {
			continue
		}
		if route.Bound.Egress && len(vs.Hosts) != len(hosts) {
			out.add(CodeGatewayRoute, route.Path, "on the pods of the egress gateway this route would decide over the calls of everybody to hosts that no ServiceEntry names yet",
				"apply the ServiceEntry first; it leads its calls through the egress gateway by itself")
			continue
		}
		for _, host := range hosts {
			if (route.Bound.Egress || route.Bound.Unknown != "") && !leadsToItself(route, host, vs.Exits[host].Definition) {
				out.add(CodeGatewayRoute, route.Path, onGateway(route, host), onGatewayFix(route, host, vs.Exits[host].Definition))
				refused[route.Path.String()] = true
				break
			}
		}
	}
	for _, route := range vs.Routes {
		if route.Bound.Unknown != "" && route.Serving != nil && route.Serving.Gateway != "" && !route.Bound.Egress && !refused[route.RoutePath.String()] {
			out.add(CodeGatewayRoute, route.Path.Child("host"),
				fmt.Sprintf("Gateway %q is not there, and may be on pods in the namespace of an egress gateway, which would call host %q directly", route.Bound.Unknown, route.Host()),
				gatewayFirst(route.Canonical))
		}
		if route.Bound.Beside && route.Serving != nil && route.Serving.External {
			out.add("beside-gateway", route.Path.Child("host"),
				fmt.Sprintf("the gateway of this route shares its namespace with an egress gateway, and would call host %q directly", route.Host()),
				"lead the route to a Service of the mesh that makes the call, or move the gateway to a namespace of its own")
		}
	}
	return out
}

func onGateway(route egress.OnGateway, host string) string {
	if route.Bound.Egress {
		return fmt.Sprintf("on the pods of the egress gateway this route would decide over the calls of everybody to host %q", host)
	}
	return fmt.Sprintf("Gateway %q is not there, and may be on the pods of the egress gateway, where this route would decide over the calls of everybody to host %q", route.Bound.Unknown, host)
}

func onGatewayFix(route egress.OnGateway, host string, exit egress.Definition) string {
	if !route.Bound.Egress {
		return gatewayFirst(host)
	}
	if sets := setsBeside(route, host, exit); len(sets) > 0 {
		return fmt.Sprintf("put %s into the route for mesh, where it is for the calls of its clients alone, and remove this route: %s", strings.Join(sets, " and "), byItself(host))
	}
	return "remove the route: " + byItself(host)
}

// movable are the fields of HTTP routes by which a client's sidecar does with its calls what a gateway would do with everybody's.
var movable = []string{"corsPolicy", "fault", "headers", "retries", "rewrite", "timeout"}

// setsBeside returns what a route on a gateway does with the calls of a host but to lead them where the exit does, if all of it can be done before
// they come there.
func setsBeside(route egress.OnGateway, host string, exit egress.Definition) (out []string) {
	rewrite, _ := route.Raw["rewrite"].(map[string]any)
	if authority, _ := rewrite["authority"].(string); authority != "" && egress.Canonical(authority) != host {
		return nil // on its way to the gateway it would ask for another host
	}
	bare := route
	bare.Raw = maps.Clone(route.Raw)
	for _, key := range movable {
		if bare.Raw[key] != nil {
			out = append(out, key)
			delete(bare.Raw, key)
		}
	}
	if to, _ := bare.Raw["route"].([]any); len(to) == 1 {
		holder, _ := to[0].(map[string]any)
		if holder["headers"] != nil {
			holder = maps.Clone(holder)
			delete(holder, "headers")
			bare.Raw["route"] = []any{holder}
			out = append(out, "the headers of its destination")
		}
	}
	if !leadsToItself(bare, host, exit) {
		return nil
	}
	return out
}

// gatewayFirst is the way out for routes of a Gateway object that is not there: it may be refused, too.
func gatewayFirst(host string) string {
	return "apply the Gateway first, unless it is for the egress gateway: then remove the route, since " + byItself(host)
}

func byItself(host string) string {
	return fmt.Sprintf("a ServiceEntry of host %q leads its calls through the egress gateway by itself", host)
}

// leadsToItself says whether a route on a gateway does with the calls of a host what its exit does.
func leadsToItself(route egress.OnGateway, host string, exit egress.Definition) bool {
	d := egress.SoleDestination(route.Section, route.Raw)
	return d != nil && egress.Canonical(d.Host()) == host && leadsToPort(d.Port(), route.Section, exit)
}

// Deciding returns the Gateway objects, as namespace/name, on whose proxies a VirtualService does more than lead its one
// host to itself. Were they an egress gateway's, it would decide over the calls of others.
func Deciding(vs *unstructured.Unstructured) []string {
	hosts := egress.Hosts(vs)
	out := map[string]bool{}
	for _, route := range egress.GatewayRoutes(vs) {
		d := egress.SoleDestination(route.Section, route.Raw)
		if d != nil && len(hosts) == 1 && egress.Canonical(d.Host()) == egress.Canonical(hosts[0]) {
			continue
		}
		for _, name := range route.Gateways {
			out[name] = true
		}
	}
	return slices.Sorted(maps.Keys(out))
}

// leadsToPort says whether the exit, too, leads calls of a section to this port, 0 for one that is left to Istio.
func leadsToPort(port uint32, section string, exit egress.Definition) bool {
	want := egress.FamilyTLS
	if section == "http" {
		want = egress.FamilyHTTP
	}
	ports := egress.PortsOf(exit.Ports, want)
	if len(ports) == 1 {
		return cmp.Or(port, ports[0]) == ports[0]
	}
	return port == 80 && slices.Contains(ports, 80)
}

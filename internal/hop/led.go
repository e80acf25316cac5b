package hop

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// Where routes alone lead calls to a gateway, no sealed entry carries those of a route that stays: it would lead straight
// out, and so is refused.

// lead puts the gateway in the place of a destination whose calls routes alone lead there, where it can stand for it.
func lead(known *recorder, route egress.Route, bareSubset bool, namespace string, gw egress.Gateway, view egress.View) {
	switch {
	case bareSubset:
		withoutSubset(known, route)
	case ruleOfGateway(namespace, gw, view) != nil:
	default:
		toGateway(known, route, namespace, gw, view, func() bool {
			return egress.Through(route.Entries, namespace, gw.Name) != nil && unled(route, namespace, gw, view) == reason{}
		})
	}
}

// ruleOfGateway returns the rule under which clients of a namespace could not call the gateway as the app speaks, nil for
// none.
func ruleOfGateway(namespace string, gw egress.Gateway, view egress.View) *egress.Rule {
	if rule := view.Rule(namespace, gw.Service); rule != nil && rule.InForce {
		return rule
	}
	return nil
}

// reason is why the gateway cannot stand in a destination's place, and what helps; the zero value is none.
type reason struct{ why, fix string }

// unled returns why a route of the mesh to a host outside cannot lead to the gateway.
func unled(route egress.Route, namespace string, gw egress.Gateway, view egress.View) reason {
	entry := egress.Through(route.Entries, namespace, gw.Name)
	rule := ruleOfGateway(namespace, gw, view)
	asked := fmt.Sprintf("set headers.request.set.host: %s beside this destination", route.Canonical)
	switch {
	case entry == nil:
		return reason{"no ServiceEntry that the namespace sees has the host at its egress gateway", "write a ServiceEntry of the host in this namespace"}
	case rule != nil:
		return reason{fmt.Sprintf("DestinationRule %s/%s has settings for the egress gateway under which it could not be called", rule.Namespace, rule.Name),
			"take the Service of the egress gateway out of what it is for"}
	case route.Reach.Gateway:
		return reason{"the route is for gateways too", "lead gateways by a VirtualService of their own"}
	case route.Raw["subset"] != nil:
		return reason{"the egress gateway does not know by which subset it is called", "give each subset a host of its own"}
	case len(route.Targets) == 0 && route.Section == "http":
		return reason{"nothing says what its calls ask for", asked + ", or write the route into the VirtualService that has the host"}
	case slices.ContainsFunc(route.Targets, func(target egress.Target) bool { return !asksHost(target, route.Canonical) }):
		return reason{"the egress gateway goes by what calls ask for, which is not this host for certain", asked}
	case !ledToPort(route, entry.Ports, view.Exit(route.Canonical, gw.Namespace())):
		return reason{"the egress gateway could not tell to which port of the host the calls are to go",
			"lead calls of a port to the same port of the host, and match port: in the route"}
	case !sameProtocol(route, entry.Ports, gw, view):
		return reason{fmt.Sprintf("the HTTP port of egress gateway %q speaks no HTTP/2", gw.Name), "ask the platform team to name that port of its Service http2"}
	}
	return reason{}
}

// asksHost says whether calls of a target ask for a host, or for one that the host, a wildcard, stands for.
func asksHost(target egress.Target, host string) bool {
	written := target.Certain || !strings.Contains(target.Host, "%")
	return written && target.Within(host)
}

// ledToPort is samePort for routes that may say by themselves what to ask for.
func ledToPort(route egress.Route, ports []egress.Port, exit *egress.Exit) bool {
	if len(route.Targets) == 0 || route.Targets[0].OfSpec || route.Section != "http" {
		return samePort(route, ports)
	}
	http := egress.PortsOf(ports, egress.FamilyHTTP)
	want := route.Port()
	if want == 0 && len(http) == 1 {
		want = http[0]
	}
	return slices.Contains(http, want) && asksForPort(route, want, exit)
}

// asksForPort says whether what a route itself has its calls ask for is a port of an exit: the gateway tells the HTTP ports
// of one host apart by the port in the Host header, and takes one that is left out for 80.
func asksForPort(route egress.Route, port uint32, exit *egress.Exit) bool {
	several := exit != nil && len(egress.PortsOf(exit.Definition.Ports, egress.FamilyHTTP)) > 1
	return !several || !slices.ContainsFunc(route.Targets, func(target egress.Target) bool {
		return !target.OfSpec && cmp.Or(target.Port, 80) != port
	})
}

// CheckLed refuses what would lead past the gateway where routes alone lead there: routes of sidecars that stay, and those
// that leave some clients of the namespace's own hosts to go straight. What is refused already is not refused twice.
func CheckLed(vs *egress.VirtualService, gw egress.Gateway, view egress.View, refused Refusals) (out Refusals) {
	for _, route := range vs.Routes {
		if !route.Reach.Mesh || route.InMesh || route.ToGateway || route.Serving == nil || !route.Serving.Led ||
			slices.ContainsFunc(refused, func(other egress.Finding) bool { return strings.HasPrefix(other.Field, route.RoutePath.String()) }) {
			continue
		}
		because := unled(route, vs.Namespace, gw, view)
		if because == (reason{}) {
			// It came past the rewrite of its host.
			because = reason{"it was changed after it was written", "apply it again; if this stays, another mutating webhook rewrites VirtualServices"}
		}
		out.add("straight-route", route.Path.Child("host"),
			fmt.Sprintf("calls would go straight to %q: %s", route.Host(), because.why), because.fix)
	}
	return append(out, checkParts(vs)...)
}

// checkParts refuses routes that calls go without: of some workloads of the namespace alone, where none of ours is beside them
// or one stands before them, and of a host by a wildcard, before which any of the host itself stands.
func checkParts(vs *egress.VirtualService) (out Refusals) {
	if vs.Routing == nil {
		return nil
	}
	told := map[string]bool{}
	once := func(key string) bool {
		seen := told[key]
		told[key] = true
		return !seen
	}
	for _, of := range vs.Led {
		if vs.Routing.Meets(of.Host, of.Port) && once(of.Host) {
			out.add("wildcard-route", specPath("hosts"),
				fmt.Sprintf("the routes are for host %q by a wildcard, and the route that leads it to the egress gateway stands before them", of.Host),
				fmt.Sprintf("name host %q itself", of.Host))
		}
		path, delegated := vs.Routing.Part(of.Host, of.Port)
		if path == nil || !of.Own || !vs.Routing.Of(of.Host) || !once(path.String()) {
			continue
		}
		if delegated {
			out.add("part-route", path.Child("delegate"),
				fmt.Sprintf("calls to port %d of host %q would go straight while the VirtualService that has the route is not there", of.Port.Number, of.Host),
				"write the route here")
			continue
		}
		out.add("part-route", path.Child("match"),
			fmt.Sprintf("the route is for some workloads, and the calls of others to port %d of host %q have none", of.Port.Number, of.Host),
			fmt.Sprintf("add a last route for port %d without sourceLabels, sourceNamespace and destinationSubnets, to host %q", of.Port.Number, of.Host))
	}
	return out
}

// CheckLeft refuses what only injection would make of a VirtualService that stays as it is written: routes that would be
// narrowed to their own namespace, by now or once others have entries of the hosts; those to a host without an entry by now
// that ask for another; and those to a subset of a gateway's Service that those who see them do not see.
func CheckLeft(object *unstructured.Unstructured, vs *egress.VirtualService, mesh *egress.Mesh, view egress.View) (out Refusals) {
	exported := ""
	switch {
	case narrows(vs, mesh) && len(vs.Others) == 0:
		exported = "exportTo is left out, which is everybody"
	case narrows(vs, mesh):
		exported = "they would decide over calls to hosts that are not the namespace's own to route"
	case vs.Mesh && vs.External && vs.Exported && !leadsOneHost(object, mesh):
		exported = "they would decide over the calls of whoever brings an entry of the hosts later"
	}
	if exported != "" {
		out.add("exported-route", specPath("exportTo"), "routes are stored as they are written, and these are exported: "+exported, `set exportTo: ["."]`)
	}
	gw, _ := mesh.GatewayByName(view.GatewayOf(vs.Namespace))
	for _, route := range vs.Routes {
		byPort := route.Section == "tcp" || route.Section == "tls" && gw.Transport == egress.MutualTLS
		if !route.Reach.Mesh || route.Serving != nil || route.InMesh || route.ToGateway || byPort {
			continue
		}
		if i := slices.IndexFunc(route.Targets, func(target egress.Target) bool {
			return !target.Within(route.Canonical)
		}); i >= 0 {
			out.add("other-host", route.Path.Child("host"),
				fmt.Sprintf("calls led to %q ask for %q, and so they would at the egress gateway once the host has a ServiceEntry", route.Host(), route.Targets[i].Host), askingFix(vs, route))
		}
	}
	for _, route := range vs.Routes {
		if !toBareSubset(route, mesh, vs.Namespace, view) {
			continue
		}
		own := view.Rule(vs.Namespace, route.Canonical)
		gw, _ := mesh.GatewayByService(route.Canonical)
		name, _ := route.Raw["subset"].(string)
		shared := own == nil && view.Rule(gw.Namespace(), route.Canonical).HasSubset(name)
		if shared || !vs.Exported && own.HasSubset(name) {
			continue
		}
		out.add("gateway-subset", route.Path.Child("subset"),
			fmt.Sprintf("subset %q of the egress gateway says nothing, and clients that do not see its DestinationRule would get 503", name), "remove the subset")
	}
	return out
}

// leadsOneHost says whether a VirtualService does nothing but lead its one host to itself, or to an egress gateway.
func leadsOneHost(object *unstructured.Unstructured, mesh *egress.Mesh) bool {
	hosts := egress.Hosts(object)
	if len(hosts) != 1 {
		return false
	}
	for _, section := range []string{"http", "tls", "tcp"} {
		for _, item := range egress.RoutesOf(object, section) {
			route, _ := item.(map[string]any)
			d := egress.SoleDestination(section, route)
			if d == nil {
				return false
			}
			if _, gateway := mesh.GatewayByService(d.Host()); !gateway && egress.Canonical(d.Host()) != egress.Canonical(hosts[0]) {
				return false
			}
		}
	}
	return true
}

// CheckCarrier returns which ports of an entry routes cannot lead to a gateway: calls of HTTP/2 and gRPC go through a port
// that Istio knows for HTTP/2. A sealed entry has protocols of its own.
func CheckCarrier(entry *egress.ServiceEntry, gw egress.Gateway, view egress.View) (out Refusals) {
	carrier := view.Service(gw.Service).Protocol(gw.HTTPPort)
	for i, port := range entry.Ports {
		if egress.FamilyOf(port.Protocol) == egress.FamilyHTTP && !egress.IsHTTP1(port.Protocol) && carrier != "HTTP2" && carrier != "GRPC" {
			out.add("gateway-protocol", specPath("ports").Index(i).Child("protocol"),
				fmt.Sprintf("calls of %s go to port %d of egress gateway %q, which does not say that it speaks HTTP/2", port.Protocol, gw.HTTPPort, gw.Name),
				"ask the platform team to name that port of its Service http2")
		}
	}
	return out
}

// CheckSeen refuses an entry that is exported to the namespaces of egress gateways by name: Istio takes it there in the place
// of the exit's own, and the gateway would call whatever it says.
func CheckSeen(entry *unstructured.Unstructured, mesh *egress.Mesh) (out Refusals) {
	for i, namespace := range egress.ExportTo(entry) {
		if len(mesh.GatewaysIn(namespace)) > 0 {
			out.add("gateway-export", specPath("exportTo").Index(i),
				fmt.Sprintf("namespace %q is that of an egress gateway, which has an entry of its own for the host and would go by this one", namespace), "remove the namespace")
		}
	}
	return out
}

func specPath(name string) *field.Path { return field.NewPath("spec", name) }

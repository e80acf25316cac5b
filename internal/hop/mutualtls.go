package hop

import (
	"fmt"
	"slices"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// mutualTLS carries calls within the mesh's own mutual TLS, which proxies speak to endpoints of the mesh by themselves.
// HTTP is told apart by the Host header. Whatever else comes is told apart by an SNI of each port's own, which a
// DestinationRule beside the client sets (clientrule.go): the one that proxies use by themselves also names hosts below
// it, and says nothing of the port that a gateway could go by.
type mutualTLS struct{}

// tlsMode is the label of endpoints that take the mesh's mutual TLS.
const tlsMode = "security.istio.io/tlsMode"

// SealedLabels are those of the endpoint of an entry that is sealed by mutual TLS.
func SealedLabels() map[string]string { return map[string]string{tlsMode: "istio"} }

func (mutualTLS) check(entry *egress.ServiceEntry, gw egress.Gateway) (out Refusals) {
	for i, port := range entry.Ports {
		path := field.NewPath("spec", "ports").Index(i)
		family := egress.FamilyOf(port.Protocol)
		switch {
		case family == egress.FamilyNone:
			refuseProtocol(&out, path, port, protocolFix(entry, gw, port))
		case family == egress.FamilyTCP && len(entry.Hosts) > 1:
			// Istio takes none such, whatever addresses the hosts have.
			out.add("tcp-port-taken", path.Child("number"),
				fmt.Sprintf("port %d is %s for several hosts, and a sidecar tells raw TCP apart by the address alone, so the calls to all of them would end at one", port.Number, port.Protocol),
				entryEach)
		case gw.Port(family) == 0:
			out.add("gateway-port", path.Child("protocol"),
				fmt.Sprintf("egress gateway %q has no port for %s", gw.Name, family), "ask the platform team to open one")
		}
	}
	return out
}

func (mutualTLS) seal(entry *egress.ServiceEntry, gw egress.Gateway, mesh *egress.Mesh) map[string]any {
	ports := make(map[string]any, len(entry.Ports))
	for _, port := range entry.Ports {
		ports[port.Name] = int64(gw.Port(egress.FamilyOf(port.Protocol)))
	}
	return map[string]any{
		"location":        "MESH_INTERNAL",
		"subjectAltNames": []any{mesh.IdentityOf(gw)},
		"resolution":      sealedResolution(entry.Resolution),
		"endpoints": []any{map[string]any{
			"address": gw.Service, "ports": ports, "labels": map[string]any{tlsMode: "istio"},
		}},
	}
}

func (mutualTLS) servers(gw egress.Gateway) []*networking.Server {
	if gw.HTTPPort == 0 {
		return nil
	}
	return []*networking.Server{{
		Port: &networking.Port{Number: gw.HTTPPort, Name: "https", Protocol: "HTTPS"}, Hosts: []string{gw.Namespace() + "/*"},
		Tls: &networking.ServerTLSSettings{Mode: networking.ServerTLSSettings_ISTIO_MUTUAL},
	}}
}

func (m mutualTLS) routes(gw egress.Gateway, exit served) (out []Object) {
	for _, port := range exit.definition.Ports {
		if egress.FamilyOf(port.Protocol) != egress.FamilyHTTP {
			out = append(out, m.door(gw, exit, port.Number)...)
		}
	}
	http := routesOf(gw, exit.host)
	for _, route := range httpExits(exit.host, exit.definition) {
		of := exit.callers
		if isHTTP(exit.definition, route.port) {
			of = exit.byHost
		}
		http.Spec.Http = append(http.Spec.Http, guarded(route, exit, of)...)
	}
	if len(http.Spec.Http) > 0 {
		out = append(out, http)
	}
	return out
}

// door returns the server of a port, an object of its own so that one who adds ports makes none of the others larger, and
// the route behind it.
func (mutualTLS) door(gw egress.Gateway, exit served, port uint32) (out []Object) {
	sni := portSNI(exit.host, port)
	name := routesName(gw, sni)
	// Without a name the server would take everybody.
	if names := exit.callers(port).names(); names == nil || len(names) > 0 {
		door := &networkingv1.Gateway{ObjectMeta: meta(gw.Namespace(), name, exit.host)}
		door.Labels[GatewayLabel] = gw.Name
		door.Spec.Selector = gw.Selector
		door.Spec.Servers = []*networking.Server{{
			Port:  &networking.Port{Number: gw.TLSPort, Name: fmt.Sprintf("tls-%d", port), Protocol: "TLS"},
			Hosts: []string{gw.Namespace() + "/" + sni},
			Tls:   &networking.ServerTLSSettings{Mode: networking.ServerTLSSettings_ISTIO_MUTUAL, SubjectAltNames: names},
		}}
		out = append(out, door)
	}
	route := &networkingv1.VirtualService{ObjectMeta: meta(gw.Namespace(), name, exit.host)}
	route.Labels[GatewayLabel] = gw.Name
	route.Spec.Hosts = []string{sni}
	route.Spec.Gateways = []string{gw.Namespace() + "/" + name}
	route.Spec.ExportTo = []string{"."}
	route.Spec.Tcp = []*networking.TCPRoute{{Route: []*networking.RouteDestination{{Destination: destination(exit.host, port)}}}}
	return append(out, route)
}

func (mutualTLS) pair(_ egress.Gateway, exit served, pair egress.Pair) (out []*networking.HTTPRoute) {
	for _, route := range pairRoutes(pair, exit.definition) {
		out = append(out, guarded(route, exit, exit.callers)...)
	}
	return out
}

func isHTTP(definition egress.Definition, number uint32) bool {
	return slices.Contains(egress.PortsOf(definition.Ports, egress.FamilyHTTP), number)
}

// clientCertificate is the header in which a gateway says whose certificate it verified. It drops what a client sends.
const clientCertificate = "x-forwarded-client-cert"

// guarded returns a route for the callers of its port, and one that turns everybody else away.
func guarded(route toPort, exit served, of func(port uint32) callers) []*networking.HTTPRoute {
	if route.DirectResponse != nil {
		return []*networking.HTTPRoute{route.HTTPRoute}
	}
	route.Headers = &networking.Headers{Request: &networking.Headers_HeaderOperations{Remove: []string{clientCertificate}}}
	refusal := "egress-governor: no ServiceEntry lets your service account call port %d of %s; write one in your namespace, or ask the owners of ServiceEntry %s to export it to you\n"
	if exit.definition.ByCertificate(route.port) {
		of, refusal = exit.certified, "egress-governor: port %d of %s is called with a certificate that your service account is not lent; let your app speak TLS itself, or ask the owners of ServiceEntry %s to export it to you\n"
	}
	patterns := of(route.port).patterns()
	if patterns == nil {
		return []*networking.HTTPRoute{route.HTTPRoute}
	}
	others := &networking.HTTPRoute{Match: route.Match, DirectResponse: &networking.HTTPDirectResponse{
		Status: 403, Body: &networking.HTTPBody{Specifier: &networking.HTTPBody_String_{String_: fmt.Sprintf(refusal, route.port, exit.host, exit.owner)}},
	}}
	var authority *networking.StringMatch
	if len(route.Match) > 0 {
		authority = route.Match[0].Authority
	}
	route.Match = nil
	for _, pattern := range patterns {
		route.Match = append(route.Match, &networking.HTTPMatchRequest{Authority: authority, Headers: map[string]*networking.StringMatch{
			clientCertificate: {MatchType: &networking.StringMatch_Regex{Regex: pattern}},
		}})
	}
	return []*networking.HTTPRoute{route.HTTPRoute, others}
}

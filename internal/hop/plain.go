package hop

import (
	"fmt"
	"slices"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// plain carries calls as the app speaks. The gateway tells them apart by the Host header or the SNI, so nothing else
// can be carried, and one host has one TLS port.
type plain struct{}

func (plain) check(entry *egress.ServiceEntry, gw egress.Gateway) (out Refusals) {
	tls := uint32(0)
	for i, port := range entry.Ports {
		path := field.NewPath("spec", "ports").Index(i)
		family := egress.FamilyOf(port.Protocol)
		switch {
		case family == egress.FamilyTCP:
			out.add("raw-protocol", path.Child("protocol"),
				fmt.Sprintf("protocol %q of port %d carries no host name, so the gateway cannot tell where it goes", port.Protocol, port.Number),
				protocolFix(entry, gw, port))
		case family == egress.FamilyNone:
			refuseProtocol(&out, path, port, protocolFix(entry, gw, port))
		case gw.Port(family) == 0:
			out.add("gateway-port", path.Child("protocol"),
				fmt.Sprintf("egress gateway %q has no port for %s", gw.Name, family), "ask the platform team to open one")
		case family == egress.FamilyTLS && tls != 0:
			out.add("second-tls-port", path,
				fmt.Sprintf("ports %d and %d are both TLS; the gateway tells them apart by SNI alone, which is the same", tls, port.Number),
				SecondTLSFix)
		}
		if family == egress.FamilyTLS {
			tls = port.Number
		}
	}
	return out
}

// SecondTLSFix leads to what carries several TLS ports of a host: gateways of a namespace share its exit.
const SecondTLSFix = "keep one TLS port for the host, or ask the platform team for an egress gateway with transport MutualTLS, in a namespace that has none with Plain: it carries several"

func (plain) seal(entry *egress.ServiceEntry, gw egress.Gateway, _ *egress.Mesh) map[string]any {
	ports := make(map[string]any, len(entry.Ports))
	for _, port := range entry.Ports {
		ports[port.Name] = int64(gw.Port(egress.FamilyOf(port.Protocol)))
	}
	return map[string]any{
		"resolution": sealedResolution(entry.Resolution),
		"endpoints":  []any{map[string]any{"address": gw.Service, "ports": ports}},
	}
}

// sealedResolution is what stands for an author's resolution. It differs from what the author may correct it to, so
// that the correction is seen: an apply that turns NONE or STATIC into DNS would otherwise show no difference and be
// lost.
func sealedResolution(intent string) string {
	if intent == "DNS" {
		return "DNS"
	}
	return "DNS_ROUND_ROBIN"
}

func (plain) servers(gw egress.Gateway) (out []*networking.Server) {
	hosts := []string{gw.Namespace() + "/*"}
	if gw.HTTPPort != 0 {
		out = append(out, &networking.Server{
			Port: &networking.Port{Number: gw.HTTPPort, Name: "http", Protocol: "HTTP"}, Hosts: hosts,
		})
	}
	if gw.TLSPort != 0 {
		out = append(out, &networking.Server{
			Port: &networking.Port{Number: gw.TLSPort, Name: "tls", Protocol: "TLS"}, Hosts: hosts,
			Tls: &networking.ServerTLSSettings{Mode: networking.ServerTLSSettings_PASSTHROUGH},
		})
	}
	return out
}

func (plain) routes(gw egress.Gateway, exit served) []Object {
	out := routesOf(gw, exit.host)
	for _, port := range exit.definition.Ports {
		if egress.FamilyOf(port.Protocol) == egress.FamilyTLS {
			out.Spec.Tls = append(out.Spec.Tls, &networking.TLSRoute{
				Match: []*networking.TLSMatchAttributes{{SniHosts: []string{exit.host}, Port: gw.TLSPort}},
				Route: []*networking.RouteDestination{{Destination: destination(exit.host, port.Number)}},
			})
		}
	}
	for _, route := range httpExits(exit.host, exit.definition) {
		out.Spec.Http = append(out.Spec.Http, route.HTTPRoute)
	}
	return []Object{out}
}

func (plain) pair(_ egress.Gateway, exit served, pair egress.Pair) (out []*networking.HTTPRoute) {
	for _, route := range pairRoutes(pair, exit.definition) {
		out = append(out, route.HTTPRoute)
	}
	return out
}

// routesOf returns the routes of a host from a gateway, still without any.
func routesOf(gw egress.Gateway, host string) *networkingv1.VirtualService {
	out := &networkingv1.VirtualService{ObjectMeta: meta(gw.Namespace(), routesName(gw, host), host)}
	out.Labels[GatewayLabel] = gw.Name
	out.Spec.Hosts = []string{host}
	out.Spec.Gateways = []string{gw.Namespace() + "/" + GatewayName(gw)}
	out.Spec.ExportTo = []string{"."}
	return out
}

// toPort is a route of HTTP calls to a port of the host.
type toPort struct {
	*networking.HTTPRoute
	port uint32
}

// httpExits tells the ports of one host apart by the port in the Host header, which clients send for every port but 80.
// A header without a port means 80; where the host has no port 80 among several, such a call is not guessed at: no route
// matches.
func httpExits(host string, definition egress.Definition) (out []toPort) {
	var http []egress.Port
	for _, port := range definition.Ports {
		switch egress.FamilyOf(port.Protocol) {
		case egress.FamilyHTTP:
			http = append(http, port)
		case egress.FamilyTLS:
			out = append(out, toPort{encryptedExit(host, port.Number, definition.TLS[port.Number]), port.Number})
		}
	}
	if len(http) == 0 {
		return slices.DeleteFunc(out, func(route toPort) bool { return route.DirectResponse != nil })
	}
	exit := func(port egress.Port, authority string) {
		out = append(out, toPort{httpExit(httpDestination(host, port.Number, definition), authority), port.Number})
	}
	// A host below a wildcard is called at the port that the header names, and without one at 80, or 443 where it is encrypted.
	mustSay := func(port egress.Port) bool {
		return egress.Bare(host, definition.Endpoints) && (port.Number != 80 || definition.TLS[80] != nil)
	}
	if len(http) == 1 && !mustSay(http[0]) {
		// Another port is not this one, and may be of an entry whose exit is not here yet.
		exit(http[0], fmt.Sprintf("[^:]*(:%d)?", http[0].Number))
		return out
	}
	for _, port := range http {
		exit(port, portAuthority(port.Number))
	}
	for _, port := range http {
		if port.Number == 80 && !mustSay(port) {
			// A header with any other port names a port the entry does not have.
			exit(port, "[^:]*")
		}
	}
	return out
}

// encryptedExit leads HTTP calls on to a TLS port of the host, where a route of the client's leads there (asking): as a
// DestinationRule encrypts them, or nowhere. In clear they never leave.
func encryptedExit(host string, port uint32, tls map[string]any) *networking.HTTPRoute {
	out := httpExit(destination(host, port), portAuthority(port))
	if tls != nil {
		out.Route[0].Destination.Subset = encryptedSubset
		if !egress.IsWildcard(host) {
			out.Rewrite = &networking.HTTPRewrite{Authority: host}
		}
		return out
	}
	out.Route, out.Retries = nil, nil
	out.DirectResponse = &networking.HTTPDirectResponse{Status: 503, Body: &networking.HTTPBody{Specifier: &networking.HTTPBody_String_{
		String_: fmt.Sprintf("egress-governor: port %d of %s takes TLS, and no DestinationRule sets tls for it\n", port, host),
	}}}
	return out
}

func portAuthority(port uint32) string { return fmt.Sprintf(".*:%d", port) }

// httpExit leads calls whose Host header matches an expression to a destination, all when it is empty.
func httpExit(to *networking.Destination, authority string) *networking.HTTPRoute {
	out := &networking.HTTPRoute{Retries: neverProcessed(), Route: []*networking.HTTPRouteDestination{{Destination: to}}}
	if authority != "" {
		out.Match = []*networking.HTTPMatchRequest{{Authority: &networking.StringMatch{MatchType: &networking.StringMatch_Regex{Regex: authority}}}}
	}
	return out
}

// neverProcessed has a gateway try again, as often as Istio does by default and at another endpoint, what no host has begun upon. The
// client's proxy cannot: it has one endpoint, the gateway, and is told of no failed connection behind it. What a host may have begun
// upon is the author's to repeat, on the client's side; here it would be sent again at both.
func neverProcessed() *networking.HTTPRetry {
	return &networking.HTTPRetry{Attempts: 2, RetryOn: "connect-failure,refused-stream"}
}

func destination(host string, port uint32) *networking.Destination {
	return &networking.Destination{Host: host, Port: &networking.PortSelector{Number: port}}
}

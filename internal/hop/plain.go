package hop

import (
	"fmt"

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
		case family == egress.FamilyNone:
			out.add("raw-protocol", path.Child("protocol"),
				fmt.Sprintf("protocol %q of port %d carries no host name, so the gateway cannot tell where it goes", port.Protocol, port.Number),
				"declare TLS if the connection starts with TLS, HTTP, HTTP2 or GRPC if it is plain HTTP")
		case gw.Port(family) == 0:
			out.add("gateway-port", path.Child("protocol"),
				fmt.Sprintf("egress gateway %q has no port for %s", gw.Name, family), "ask the platform team to open one")
		case family == egress.FamilyTLS && tls != 0:
			out.add("second-tls-port", path,
				fmt.Sprintf("ports %d and %d are both TLS; the gateway tells them apart by SNI alone, which is the same", tls, port.Number),
				"keep one TLS port for the host")
		}
		if family == egress.FamilyTLS {
			tls = port.Number
		}
	}
	return out
}

func (plain) seal(entry *egress.ServiceEntry, gw egress.Gateway) map[string]any {
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

func (plain) routes(gw egress.Gateway, host string, definition egress.Definition) []Object {
	out := &networkingv1.VirtualService{ObjectMeta: meta(gw.Namespace(), routesName(gw, host), host)}
	out.Labels[GatewayLabel] = gw.Name
	out.Spec.Hosts = []string{host}
	out.Spec.Gateways = []string{gw.Namespace() + "/" + GatewayName(gw)}
	out.Spec.ExportTo = []string{"."}
	var http []egress.Port
	for _, port := range definition.Ports {
		switch egress.FamilyOf(port.Protocol) {
		case egress.FamilyHTTP:
			http = append(http, port)
		case egress.FamilyTLS:
			out.Spec.Tls = append(out.Spec.Tls, &networking.TLSRoute{
				Match: []*networking.TLSMatchAttributes{{SniHosts: []string{host}, Port: gw.TLSPort}},
				Route: []*networking.RouteDestination{{Destination: destination(host, port.Number)}},
			})
		}
	}
	out.Spec.Http = httpExits(host, http)
	return []Object{out}
}

// httpExits tells the HTTP ports of one host apart by the port in the Host header, which clients send for every port
// but 80. A header without a port means 80; where the host has no port 80 among several, such a call is not guessed
// at: no route matches.
func httpExits(host string, ports []egress.Port) []*networking.HTTPRoute {
	if len(ports) == 1 {
		return []*networking.HTTPRoute{httpExit(host, ports[0].Number, "")}
	}
	var out []*networking.HTTPRoute
	fallback := false
	for _, port := range ports {
		out = append(out, httpExit(host, port.Number, fmt.Sprintf(".*:%d", port.Number)))
		fallback = fallback || port.Number == 80
	}
	if fallback {
		// A header with any other port names a port the entry does not have.
		out = append(out, httpExit(host, 80, "[^:]*"))
	}
	return out
}

// httpExit leads calls to a port of the host: those whose Host header matches an expression, all when it is empty. It
// retries nothing: what the author wrote for the client's side is all there is, and Istio's default would send a call
// again at the gateway as well.
func httpExit(host string, port uint32, authority string) *networking.HTTPRoute {
	out := &networking.HTTPRoute{Retries: &networking.HTTPRetry{}, Route: []*networking.HTTPRouteDestination{{Destination: destination(host, port)}}}
	if authority != "" {
		out.Match = []*networking.HTTPMatchRequest{{Authority: &networking.StringMatch{MatchType: &networking.StringMatch_Regex{Regex: authority}}}}
	}
	return out
}

func destination(host string, port uint32) *networking.Destination {
	return &networking.Destination{Host: host, Port: &networking.PortSelector{Number: port}}
}

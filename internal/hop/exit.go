package hop

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// maxNamePrefix leaves room for the hash within a DNS label of 63 characters.
const maxNamePrefix = 50

// ExitName returns the name of the two objects of a host's exit set: readable, and unique by a hash of the host.
func ExitName(host string) string {
	prefix := strings.NewReplacer("*", "wildcard", ".", "-").Replace(host)
	if len(prefix) > maxNamePrefix {
		prefix = prefix[:maxNamePrefix]
	}
	sum := sha256.Sum256([]byte(host))
	return strings.TrimRight(prefix, "-") + "-" + hex.EncodeToString(sum[:5])
}

// GatewayName returns the name of the Gateway object of an egress gateway.
func GatewayName(gw egress.Gateway) string { return "egress-governor-" + gw.Name }

// GatewayObject returns the Gateway that opens the gateway's ports to the VirtualServices of its own namespace, and
// to no other's: a host without an exit gets 404 or a reset.
func GatewayObject(gw egress.Gateway) *networkingv1.Gateway {
	hosts := []string{gw.Namespace() + "/*"}
	out := &networkingv1.Gateway{ObjectMeta: meta(gw, GatewayName(gw), "")}
	out.Spec.Selector = gw.Selector
	if gw.HTTPPort != 0 {
		out.Spec.Servers = append(out.Spec.Servers, &networking.Server{
			Port: &networking.Port{Number: gw.HTTPPort, Name: "http", Protocol: "HTTP"}, Hosts: hosts,
		})
	}
	if gw.TLSPort != 0 {
		out.Spec.Servers = append(out.Spec.Servers, &networking.Server{
			Port: &networking.Port{Number: gw.TLSPort, Name: "tls", Protocol: "TLS"}, Hosts: hosts,
			Tls: &networking.ServerTLSSettings{Mode: networking.ServerTLSSettings_PASSTHROUGH},
		})
	}
	return out
}

// ExitSet returns the exit leg of one canonical host: where it really is, and the route from the gateway to it.
// Both are private to the gateway's namespace.
func ExitSet(gw egress.Gateway, host string, def egress.Definition) (*networkingv1.ServiceEntry, *networkingv1.VirtualService) {
	name := ExitName(host)
	entry := &networkingv1.ServiceEntry{ObjectMeta: meta(gw, name, host)}
	entry.Spec.Hosts = []string{host}
	entry.Spec.ExportTo = []string{"."}
	entry.Spec.Location = networking.ServiceEntry_MESH_EXTERNAL
	entry.Spec.Resolution = networking.ServiceEntry_Resolution(networking.ServiceEntry_Resolution_value[def.Resolution])
	for _, port := range def.Ports {
		entry.Spec.Ports = append(entry.Spec.Ports, &networking.ServicePort{
			Number: port.Number, Protocol: port.Protocol, Name: port.Name, TargetPort: port.TargetPort,
		})
	}
	for _, endpoint := range def.Endpoints {
		entry.Spec.Endpoints = append(entry.Spec.Endpoints, &networking.WorkloadEntry{
			Address: endpoint.Address, Ports: endpoint.Ports, Labels: endpoint.Labels, Network: endpoint.Network,
			Locality: endpoint.Locality, Weight: endpoint.Weight, ServiceAccount: endpoint.ServiceAccount,
		})
	}
	return entry, exitRoutes(gw, name, host, def)
}

func exitRoutes(gw egress.Gateway, name, host string, def egress.Definition) *networkingv1.VirtualService {
	out := &networkingv1.VirtualService{ObjectMeta: meta(gw, name, host)}
	out.Spec.Hosts = []string{host}
	out.Spec.Gateways = []string{gw.Namespace() + "/" + GatewayName(gw)}
	out.Spec.ExportTo = []string{"."}
	var http []egress.Port
	for _, port := range def.Ports {
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
	return out
}

// httpExits tells the HTTP ports of one host apart by the port in the Host header, which clients send for every port
// but 80. A header without a port means 80; where the host has no port 80 among several, such a call is not guessed
// at: no route matches.
func httpExits(host string, ports []egress.Port) []*networking.HTTPRoute {
	if len(ports) == 1 {
		return []*networking.HTTPRoute{httpExit(host, ports[0].Number)}
	}
	var out []*networking.HTTPRoute
	fallback := false
	for _, port := range ports {
		route := httpExit(host, port.Number)
		route.Match = []*networking.HTTPMatchRequest{{Authority: &networking.StringMatch{
			MatchType: &networking.StringMatch_Regex{Regex: fmt.Sprintf(".*:%d", port.Number)},
		}}}
		out = append(out, route)
		fallback = fallback || port.Number == 80
	}
	if fallback {
		route := httpExit(host, 80)
		// A header with any other port names a port the entry does not have.
		route.Match = []*networking.HTTPMatchRequest{{Authority: &networking.StringMatch{
			MatchType: &networking.StringMatch_Regex{Regex: "[^:]*"},
		}}}
		out = append(out, route)
	}
	return out
}

func httpExit(host string, port uint32) *networking.HTTPRoute {
	return &networking.HTTPRoute{Route: []*networking.HTTPRouteDestination{{Destination: destination(host, port)}}}
}

func destination(host string, port uint32) *networking.Destination {
	return &networking.Destination{Host: host, Port: &networking.PortSelector{Number: port}}
}

func meta(gw egress.Gateway, name, host string) metav1.ObjectMeta {
	out := metav1.ObjectMeta{
		Namespace: gw.Namespace(), Name: name,
		Labels: map[string]string{ManagedByLabel: Manager, GatewayLabel: gw.Name},
	}
	if host != "" {
		out.Annotations = map[string]string{HostAnnotation: host}
	}
	return out
}

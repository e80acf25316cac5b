package draw

import (
	"slices"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// Namespace is that of every object drawn.
const Namespace = "payments"

// GatewayService is the FQDN of the one egress gateway.
const GatewayService = "istio-egressgateway.istio-system.svc.cluster.local"

// Mesh returns a mesh with one egress gateway, which everything leaves through.
func Mesh() *egress.Mesh {
	return &egress.Mesh{
		ClusterDomain: "cluster.local", Governed: labels.Everything(), Seal: true, Inject: true,
		Gateways: []egress.Gateway{{
			Name: "default", Service: GatewayService, Selector: map[string]string{"istio": "egressgateway"},
			HTTPPort: 80, TLSPort: 443, Clients: labels.Everything(),
		}},
	}
}

// World is a small cluster.
type World struct {
	// Ports of the hosts sealed to the gateway.
	Ports map[string][]egress.Port
	// Ruled are the hosts with a traffic policy.
	Ruled []string
	// Carrier is the protocol of the gateway's HTTP port.
	Carrier string
}

// NewWorld returns one with a host for every kind of port.
func NewWorld() World {
	http, tls := egress.Port{Number: 80, Name: "http", Protocol: "HTTP"}, egress.Port{Number: 443, Name: "tls", Protocol: "TLS"}
	alt, grpc := egress.Port{Number: 8080, Name: "alt", Protocol: "HTTP"}, egress.Port{Number: 50051, Name: "grpc", Protocol: "GRPC"}
	return World{Carrier: "HTTP2", Ports: map[string][]egress.Port{
		"api.example.com": {http, tls}, "two.example.com": {http, alt}, "grpc.example.com": {grpc},
		"tls.example.com": {tls}, "*.wild.test": {http, tls},
	}}
}

// Entries returns the host's one entry, sealed to the gateway.
func (w World) Entries(host string) []*egress.Entry {
	ports, ok := w.Ports[host]
	if !ok {
		return nil
	}
	return []*egress.Entry{{Namespace: Namespace, Name: "e", Hosts: []string{host}, External: true, Gateway: "default", Ports: ports}}
}

// IsService knows one Service.
func (w World) IsService(host string) bool { return host == "local."+Namespace+".svc.cluster.local" }

// ServicePortProtocol is the Carrier.
func (w World) ServicePortProtocol(string, uint32) string { return w.Carrier }

// HasTrafficPolicy says whether the host is Ruled.
func (w World) HasTrafficPolicy(_, host string) bool { return slices.Contains(w.Ruled, host) }

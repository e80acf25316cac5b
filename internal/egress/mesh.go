package egress

import (
	"strings"

	"k8s.io/apimachinery/pkg/labels"
)

// Family is what the egress gateway tells calls apart by.
type Family string

const (
	// FamilyHTTP is told apart by the Host header: HTTP, HTTP2, GRPC and GRPC-WEB.
	FamilyHTTP Family = "HTTP"
	// FamilyTLS is told apart by SNI: TLS and HTTPS.
	FamilyTLS Family = "TLS"
	// FamilyNone marks protocols that carry no host: the gateway cannot tell them apart.
	FamilyNone Family = ""
)

// FamilyOf returns the family of a ServiceEntry port's protocol, in whichever case it is written.
func FamilyOf(protocol string) Family {
	switch strings.ToUpper(protocol) {
	case "HTTP", "HTTP2", "GRPC", "GRPC-WEB":
		return FamilyHTTP
	case "TLS", "HTTPS":
		return FamilyTLS
	}
	return FamilyNone
}

// Mesh is what the operator declared about the mesh: a value, never changed after start.
type Mesh struct {
	// ClusterDomain is the DNS suffix of Services, "cluster.local" by default.
	ClusterDomain string
	// Governed selects the namespaces whose objects are judged, by labels.
	Governed labels.Selector
	// Seal says whether ServiceEntries are sealed.
	Seal bool
	// Inject says whether VirtualServices get the client leg.
	Inject bool
	// Gateways are the ways out, in order of preference.
	Gateways []Gateway
}

// Gateway is one named way out of the mesh.
type Gateway struct {
	// Name is unique among the gateways, a DNS label.
	Name string
	// Service is the FQDN of the gateway's Service.
	Service string
	// Selector holds the labels of the gateway's pods.
	Selector map[string]string
	// HTTPPort and TLSPort are ports of the Service.
	HTTPPort, TLSPort uint32
	// Clients selects the namespaces that leave through this gateway.
	Clients labels.Selector
}

// Namespace returns the namespace of the gateway's Service.
func (g Gateway) Namespace() string {
	parts := strings.SplitN(g.Service, ".", 3)
	if len(parts) < 2 {
		return ""
	}
	return parts[1]
}

// ServiceName returns the name of the gateway's Service in its namespace.
func (g Gateway) ServiceName() string {
	name, _, _ := strings.Cut(g.Service, ".")
	return name
}

// Port returns the gateway port that serves a family, 0 for none.
func (g Gateway) Port(family Family) uint32 {
	switch family {
	case FamilyHTTP:
		return g.HTTPPort
	case FamilyTLS:
		return g.TLSPort
	}
	return 0
}

// GatewayFor returns the gateway through which a namespace with these labels leaves; the first match counts.
func (m *Mesh) GatewayFor(namespace labels.Set) (Gateway, bool) {
	for _, g := range m.Gateways {
		if g.Clients.Matches(namespace) {
			return g, true
		}
	}
	return Gateway{}, false
}

// GatewayByService returns the gateway whose Service host names.
func (m *Mesh) GatewayByService(host string) (Gateway, bool) {
	host = Canonical(host)
	for _, g := range m.Gateways {
		if g.Service == host {
			return g, true
		}
	}
	return Gateway{}, false
}

// GatewayByName returns the gateway of that name.
func (m *Mesh) GatewayByName(name string) (Gateway, bool) {
	for _, g := range m.Gateways {
		if g.Name == name {
			return g, true
		}
	}
	return Gateway{}, false
}

// IsHTTP1 says whether a protocol of the HTTP family is HTTP/1.1.
func IsHTTP1(protocol string) bool { return strings.EqualFold(protocol, "HTTP") }

package egress

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
)

// Transport names how calls travel from a client to an egress gateway.
type Transport string

const (
	// Plain is the transport of calls as the app speaks: HTTP by Host, TLS passed through by SNI.
	Plain Transport = "Plain"
	// MutualTLS is the transport of calls within the mesh's own mutual TLS, which tells the gateway who calls.
	MutualTLS Transport = "MutualTLS"
)

// goesBySNI says whether the gateway tells TLS calls apart by their SNI alone, so that a host has one TLS port.
func (t Transport) goesBySNI() bool { return t != MutualTLS }

// Transports returns the transports there are.
func Transports() []Transport { return []Transport{Plain, MutualTLS} }

// Leg is a client leg: to which egress gateway, and how.
type Leg struct {
	Gateway   string
	Transport Transport
}

// Gateway is one named way out of the mesh.
type Gateway struct {
	// Name is unique among the gateways, a DNS label.
	Name string
	// Service is the FQDN of the gateway's Service.
	Service string
	// Selector holds the labels of the gateway's pods.
	Selector map[string]string
	// HTTPPort and TLSPort are ports of the Service; 0 for none.
	HTTPPort, TLSPort uint32
	// Transport is how clients reach it.
	Transport Transport
	// ServiceAccount is that of its pods, in the namespace of the Service.
	ServiceAccount string
	// Clients selects the namespaces that leave through this gateway.
	Clients labels.Selector
	// Wildcards says that it resolves the names below wildcards that no endpoint serves.
	Wildcards bool
	// Waypoint checks who calls, where the callers are in ambient mode. Without a namespace it is the one of that name in each
	// namespace; without a name there is none.
	Waypoint Waypoint
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

// Leg returns the client leg to it.
func (g Gateway) Leg() Leg { return Leg{g.Name, g.Transport} }

// By returns the gateway with another transport.
func (g Gateway) By(transport Transport) Gateway {
	g.Transport = transport
	return g
}

// Port returns the port of the gateway's Service for a family, 0 for none.
func (g Gateway) Port(family Family) uint32 {
	switch {
	case family == FamilyHTTP:
		return g.HTTPPort
	case family == FamilyTLS, family == FamilyTCP && g.Transport == MutualTLS:
		return g.TLSPort
	}
	return 0
}

// Problems returns why the gateway's Service cannot carry calls; nil stands for a Service that does not exist.
func (g Gateway) Problems(service *Service) []Finding {
	if service == nil {
		return []Finding{{
			Code:    "gateway-service-missing",
			Message: fmt.Sprintf("Service %s of egress gateway %q does not exist: every call through it fails", g.Service, g.Name),
			Fix:     "install the gateway, or correct the name of its Service in the configuration",
		}}
	}
	var out []Finding
	for _, family := range []Family{FamilyHTTP, FamilyTLS} {
		number := g.Port(family)
		if number == 0 || service.hasPort(number) {
			continue
		}
		out = append(out, Finding{
			Code:    "gateway-port-missing",
			Message: fmt.Sprintf("Service %s of egress gateway %q has no port %d: %s calls through it fail", g.Service, g.Name, number, family),
			Fix:     "add the port to the Service, or correct it in the configuration",
		})
	}
	return out
}

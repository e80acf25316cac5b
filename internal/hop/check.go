package hop

import (
	"fmt"
	"net/netip"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// Check returns why an external ServiceEntry, as its author wrote it, cannot be expressed as a hop through the
// gateway; nothing when it can. It also repeats those rules of Istio's own validation that sealing would hide from it.
func Check(entry *egress.ServiceEntry, gw egress.Gateway, mesh *egress.Mesh) Refusals {
	var out Refusals
	out = append(out, checkHosts(entry, mesh)...)
	out = append(out, checkPorts(entry, gw)...)
	out = append(out, checkResolution(entry)...)
	return append(out, checkEndpoints(entry, mesh)...)
}

func checkHosts(entry *egress.ServiceEntry, mesh *egress.Mesh) (out Refusals) {
	if len(entry.Hosts) == 0 {
		out = append(out, Refusal{"no-hosts", "spec.hosts", "names no host", "name the external host"})
	}
	seen := map[string]bool{}
	for i, host := range entry.Hosts {
		field := fmt.Sprintf("spec.hosts[%d]", i)
		canonical := egress.Canonical(host)
		_, isGateway := mesh.GatewayByService(canonical)
		name := strings.TrimPrefix(canonical, "*.")
		switch {
		case isGateway:
			out = append(out, Refusal{"gateway-host", field, fmt.Sprintf("host %q is the egress gateway itself", host), "name the external host"})
		case egress.IsIP(canonical):
			out = append(out, Refusal{"ip-host", field, fmt.Sprintf("host %q is an IP address", host), "name a DNS host and put the address into spec.endpoints with resolution STATIC"})
		case len(validation.IsDNS1123Subdomain(name)) > 0:
			out = append(out, Refusal{"bad-host", field, fmt.Sprintf("host %q is not a DNS name, nor a wildcard of whole labels", host), "write a host such as api.example.com or *.example.com"})
		case egress.IsWildcard(canonical) && len(entry.Endpoints) == 0:
			out = append(out, Refusal{"bare-wildcard", field, fmt.Sprintf("wildcard host %q has no serving host, so the gateway cannot resolve it", host),
				"name the hosts one by one, or give spec.endpoints one host that serves them all and resolution DNS"})
		case seen[canonical]:
			out = append(out, Refusal{"duplicate-host", field, fmt.Sprintf("host %q is named twice", host), "name it once"})
		}
		seen[canonical] = true
	}
	return out
}

func checkPorts(entry *egress.ServiceEntry, gw egress.Gateway) (out Refusals) {
	if len(entry.Ports) == 0 {
		out = append(out, Refusal{"no-ports", "spec.ports", "names no port", "name each port with its protocol"})
	}
	tlsPort := uint32(0)
	names, numbers := map[string]bool{}, map[uint32]bool{}
	for i, port := range entry.Ports {
		field := fmt.Sprintf("spec.ports[%d]", i)
		family := egress.FamilyOf(port.Protocol)
		switch {
		case port.Name == "" || names[port.Name] || numbers[port.Number]:
			out = append(out, Refusal{"bad-port", field, "names and numbers of ports must be given and unique", "give each port its own name and number"})
		case family == egress.FamilyNone:
			out = append(out, Refusal{"raw-protocol", field + ".protocol",
				fmt.Sprintf("protocol %q of port %d carries no host name, so the gateway cannot tell where it goes", port.Protocol, port.Number),
				"declare TLS if the connection starts with TLS, HTTP, HTTP2 or GRPC if it is plain HTTP"})
		case gw.Port(family) == 0:
			out = append(out, Refusal{"gateway-port", field + ".protocol",
				fmt.Sprintf("egress gateway %q has no port for %s", gw.Name, family), "ask the platform team to open one"})
		case family == egress.FamilyTLS && tlsPort != 0:
			out = append(out, Refusal{"second-tls-port", field,
				fmt.Sprintf("ports %d and %d are both TLS; the gateway tells them apart by SNI alone, which is the same", tlsPort, port.Number),
				"keep one TLS port for the host"})
		}
		if family == egress.FamilyTLS {
			tlsPort = port.Number
		}
		names[port.Name], numbers[port.Number] = true, true
	}
	return out
}

func checkResolution(entry *egress.ServiceEntry) (out Refusals) {
	const field = "spec.resolution"
	if len(entry.WorkloadSelector) > 0 {
		out = append(out, Refusal{"workload-selector", "spec.workloadSelector", "selects workloads of the mesh for a host outside it",
			"remove it, or set location MESH_INTERNAL if the host is in the mesh"})
	}
	switch entry.Resolution {
	case "", "NONE":
		if len(entry.Endpoints) > 0 {
			out = append(out, Refusal{"endpoints-without-resolution", field, "resolution NONE takes no endpoints", "set resolution STATIC for addresses, DNS for host names"})
		}
	case "STATIC":
		if len(entry.Endpoints) == 0 {
			out = append(out, Refusal{"static-without-endpoints", field, "resolution STATIC needs endpoints", "give spec.endpoints, or set resolution DNS"})
		}
	case "DNS":
	case "DNS_ROUND_ROBIN":
		if len(entry.Endpoints) > 1 {
			out = append(out, Refusal{"round-robin-endpoints", field, "resolution DNS_ROUND_ROBIN takes one endpoint", "set resolution DNS"})
		}
	default:
		out = append(out, Refusal{"resolution", field, fmt.Sprintf("resolution %s cannot be done by an egress gateway", entry.Resolution), "set resolution DNS and name the hosts"})
	}
	for i, address := range entry.Addresses {
		if strings.Contains(address, "/") {
			out = append(out, Refusal{"cidr-address", fmt.Sprintf("spec.addresses[%d]", i),
				fmt.Sprintf("range %s lets the client choose the address; a gateway needs the host", address), "remove the range and set resolution DNS"})
		}
	}
	return out
}

func checkEndpoints(entry *egress.ServiceEntry, mesh *egress.Mesh) (out Refusals) {
	declared := map[string]bool{}
	for _, port := range entry.Ports {
		declared[port.Name] = true
	}
	for i, endpoint := range entry.Endpoints {
		field := fmt.Sprintf("spec.endpoints[%d]", i)
		_, isGateway := mesh.GatewayByService(endpoint.Address)
		_, ipErr := netip.ParseAddr(endpoint.Address)
		switch {
		case isGateway:
			out = append(out, Refusal{"gateway-endpoint", field + ".address", fmt.Sprintf("address %q is the egress gateway, which would call itself", endpoint.Address), "give the address of the external host, or none"})
		case strings.HasPrefix(endpoint.Address, "unix:"):
			out = append(out, Refusal{"unix-endpoint", field + ".address", "a socket of the client's host cannot be reached from the gateway", "give an IP address or a host name"})
		case entry.Resolution == "STATIC" && ipErr != nil:
			out = append(out, Refusal{"static-endpoint", field + ".address", fmt.Sprintf("address %q is not an IP address, which resolution STATIC needs", endpoint.Address), "give an IP address, or set resolution DNS"})
		case ipErr != nil && len(validation.IsDNS1123Subdomain(egress.Canonical(endpoint.Address))) > 0:
			out = append(out, Refusal{"bad-endpoint", field + ".address", fmt.Sprintf("address %q is neither an IP address nor a host name", endpoint.Address), "give an IP address or a host name"})
		}
		for name := range endpoint.Ports {
			if !declared[name] {
				out = append(out, Refusal{"endpoint-port", field + ".ports", fmt.Sprintf("port %q is not among spec.ports", name), "use the names of spec.ports"})
			}
		}
	}
	return out
}

// Package egresstest has a small mesh and a small cluster for tests.
package egresstest

import (
	"net/netip"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/egress-governor/egress-governor/internal/egress"
)

const (
	// Namespace is that of the objects.
	Namespace = "payments"
	// GatewayService is the FQDN of the gateway through which it leaves.
	GatewayService = "istio-egressgateway.istio-system.svc.cluster.local"
	// PCIService is the FQDN of a second gateway, in the same namespace as the first.
	PCIService = "pci-egress.istio-system.svc.cluster.local"
)

// Mesh returns a mesh with one egress gateway, which everything leaves through.
func Mesh() *egress.Mesh {
	return &egress.Mesh{
		ClusterDomain: "cluster.local", TrustDomain: "cluster.local", Governed: labels.Everything(), Seal: true, Inject: true,
		Gateways: []egress.Gateway{{
			Name: "default", Service: GatewayService, Selector: map[string]string{"istio": "egressgateway"},
			HTTPPort: 80, TLSPort: 443, Transport: egress.Plain, Clients: labels.Everything(),
		}},
	}
}

// MutualTLS returns a mesh whose one egress gateway takes calls by mutual TLS.
func MutualTLS() *egress.Mesh {
	out := Mesh()
	out.Gateways[0].Transport, out.Gateways[0].ServiceAccount = egress.MutualTLS, "istio-egressgateway"
	return out
}

// ByRoutes returns a mesh whose entries are left as they are written, and whose routes lead to the one egress gateway.
func ByRoutes() *egress.Mesh {
	out := Mesh()
	out.Seal = false
	return out
}

// Ambient returns a mesh whose one egress gateway has a waypoint.
func Ambient() *egress.Mesh {
	out := Mesh()
	out.Gateways[0].Waypoint = egress.Waypoint{Namespace: "egress", Name: "waypoint"}
	return out
}

// TwoGateways returns a mesh in which namespaces labelled egress=pci leave through a gateway of their own.
func TwoGateways() *egress.Mesh {
	out := Mesh()
	out.Gateways = append([]egress.Gateway{{
		Name: "pci", Service: PCIService, Selector: map[string]string{"istio": "pci-egress"},
		HTTPPort: 80, TLSPort: 443, Transport: egress.Plain, Clients: labels.SelectorFromSet(labels.Set{"egress": "pci"}),
	}}, out.Gateways...)
	return out
}

// Cluster is a small one: it implements egress.View.
type Cluster struct {
	// Mesh is the operator's configuration, TwoGateways where it is nil.
	Mesh *egress.Mesh
	// Known are the entries, in any order.
	Known []*egress.Entry
	// Services are by FQDN.
	Services map[string]*egress.Service
	// Given has the entries to which istiod gave an address, as namespace/name.
	Given map[netip.Addr][]string
	// Leaving has the gateways through which namespaces leave.
	Leaving map[string]string
	// Accounts has the service accounts of namespaces.
	Accounts map[string][]string
	// Namespaces are the governed ones with their labels.
	Namespaces map[string]map[string]string
	// Bindings are Gateway objects.
	Bindings []*egress.Binding
	// Decides has the VirtualServices that decide on a Gateway object, by namespace/name.
	Decides map[string][]string
	// Narrows has the VirtualServices that leave out calls of a wildcard.
	Narrows map[string][]*egress.Seen
	// Strays has those that lead calls to a host which ask for another.
	Strays map[string][]*egress.Seen
	// Maps has those that make a mapping.
	Maps map[egress.Mapping][]*egress.Seen
	// Takes has those that decide over calls to a host for all who see them.
	Takes map[string][]*egress.Seen
	// InGatewayNamespaces are the labels of the pods there.
	InGatewayNamespaces []map[string]string
	// Routed is what VirtualServices of authors say.
	Routed []*egress.Routing
	// Stored are VirtualServices of sidecars.
	Stored []*egress.Rival
	// Rules are of any namespace, one for a host.
	Rules []*egress.Rule
	// Led is how many hosts the VirtualServices of any namespace lead to.
	Led int
	// Captures says that sidecars capture DNS.
	Captures bool
	// Asked counts the questions, OnPorts the entries that OnPort gave out.
	Asked, OnPorts int
}

var _ egress.View = (*Cluster)(nil)

// NewCluster returns one with a host for every kind of port, all sealed to the gateway "default", and one Service.
func NewCluster() *Cluster {
	http, tls := egress.Port{Number: 80, Name: "http", Protocol: "HTTP"}, egress.Port{Number: 443, Name: "tls", Protocol: "TLS"}
	alt, grpc := egress.Port{Number: 8080, Name: "alt", Protocol: "HTTP"}, egress.Port{Number: 50051, Name: "grpc", Protocol: "GRPC"}
	return &Cluster{
		Known: []*egress.Entry{
			Sealed("api.example.com", http, tls), Sealed("two.example.com", http, alt), Sealed("grpc.example.com", grpc),
			Sealed("tls.example.com", tls), Sealed("*.wild.test", http, tls),
		},
		Services: map[string]*egress.Service{
			GatewayService: Carrier("HTTP2"),
			PCIService:     Carrier("HTTP2"),
			"local." + Namespace + ".svc.cluster.local": {Ports: []egress.ServicePort{{Number: 80, Protocol: "HTTP"}}},
		},
	}
}

// NewMutualCluster returns the same, whose hosts are sealed to the gateway of MutualTLS.
func NewMutualCluster() *Cluster {
	out := NewCluster()
	out.Mesh = MutualTLS()
	for _, entry := range out.Known {
		entry.Transport = egress.MutualTLS
	}
	return out
}

// NewLedCluster returns the same hosts, led to the gateway by routes alone.
func NewLedCluster() *Cluster {
	out := NewCluster()
	out.Mesh = ByRoutes()
	for _, entry := range out.Known {
		entry.Led = true
	}
	return out
}

// Carrier returns the Service of a gateway whose HTTP port speaks a protocol.
func Carrier(protocol string) *egress.Service {
	return &egress.Service{Ports: []egress.ServicePort{{Number: 80, Protocol: protocol}, {Number: 443, Protocol: "HTTPS"}}}
}

// Sealed returns the entry of a host in Namespace, sealed to the gateway "default". A wildcard has a host that serves it.
func Sealed(host string, ports ...egress.Port) *egress.Entry {
	intent := &egress.ServiceEntry{Resolution: "DNS", Ports: ports}
	if egress.IsWildcard(host) {
		intent.Endpoints = []egress.Endpoint{{Address: "www" + host[1:]}}
	}
	return &egress.Entry{
		Namespace: Namespace, Name: host, UID: host, Created: time.Unix(1000, 0), Hosts: []string{host},
		External: true, Gateway: "default", Transport: egress.Plain, Ports: ports, Definition: intent.Define(),
	}
}

// Entries implements egress.View.
func (c *Cluster) Entries(host string) []*egress.Entry {
	c.Asked++
	var out []*egress.Entry
	for _, entry := range c.Known {
		if slices.Contains(entry.Hosts, host) {
			out = append(out, entry)
		}
	}
	slices.SortFunc(out, (*egress.Entry).Older)
	return out
}

// Named implements egress.View.
func (c *Cluster) Named(namespace, name string) *egress.Entry {
	for _, entry := range c.Known {
		if entry.Namespace == namespace && entry.Name == name {
			return entry
		}
	}
	return nil
}

// Exit implements egress.View.
func (c *Cluster) Exit(host, gatewayNamespace string) *egress.Exit {
	mesh := c.Mesh
	if mesh == nil {
		mesh = TwoGateways()
	}
	return mesh.ExitOf(c.Entries(host), gatewayNamespace, func(namespace string) *egress.Rule { return c.Rule(namespace, host) })
}

// HostsOf implements egress.View.
func (c *Cluster) HostsOf(namespace, except string) (out int) {
	for _, entry := range c.Known {
		if entry.Namespace == namespace && entry.Name != except && entry.External {
			out += len(entry.Hosts)
		}
	}
	return out
}

// ExportedBy implements egress.View.
func (c *Cluster) ExportedBy(namespace, except string) (out int) {
	for _, entry := range c.Known {
		if entry.Namespace == namespace && entry.Name != except {
			out += len(entry.ExportTo)
		}
	}
	return out
}

// LedBy implements egress.View.
func (c *Cluster) LedBy(string, string) int { return c.Led }

// RuleValues implements egress.View.
func (c *Cluster) RuleValues(namespace, except string) (out int) {
	for _, rule := range c.Rules {
		if rule.Namespace == namespace && rule.Name != except {
			out += Mesh().RuleValues(rule)
		}
	}
	return out
}

// ServiceAt implements egress.View.
func (c *Cluster) ServiceAt(ip netip.Addr) string {
	for host, service := range c.Services {
		if slices.Contains(service.IPs, ip) {
			return host
		}
	}
	return ""
}

// GivenTo implements egress.View.
func (c *Cluster) GivenTo(ip netip.Addr) []string { return c.Given[ip] }

// GatewayOf implements egress.View.
func (c *Cluster) GatewayOf(namespace string) string { return c.Leaving[namespace] }

// ServiceAccounts implements egress.View.
func (c *Cluster) ServiceAccounts(namespace string) []string { return c.Accounts[namespace] }

// Governed implements egress.View.
func (c *Cluster) Governed() *egress.Namespaces { return egress.NewNamespaces(c.Namespaces) }

// Service implements egress.View.
func (c *Cluster) Service(host string) *egress.Service {
	c.Asked++
	return c.Services[host]
}

// Rule implements egress.View.
func (c *Cluster) Rule(namespace, host string) *egress.Rule {
	c.Asked++
	for _, pattern := range egress.Patterns(host) {
		for _, rule := range c.Rules {
			if rule.Namespace == namespace && rule.Host == pattern {
				return rule
			}
		}
	}
	return nil
}

// Ruled implements egress.View.
func (c *Cluster) Ruled(host string) (out []string) {
	for _, rule := range c.Rules {
		if rule.Host == host {
			out = append(out, rule.Namespace)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// RuleAfter implements egress.View.
func (c *Cluster) RuleAfter(namespace, host, name string, next *egress.Rule) *egress.Rule {
	without := *c
	without.Rules = slices.DeleteFunc(slices.Clone(c.Rules), func(rule *egress.Rule) bool { return rule.Namespace == namespace && rule.Name == name })
	if next != nil {
		without.Rules = append(without.Rules, next)
	}
	return without.Rule(namespace, host)
}

// Binding implements egress.View.
func (c *Cluster) Binding(namespace, name string) *egress.Binding {
	for _, binding := range c.Bindings {
		if binding.Namespace == namespace && binding.Name == name {
			return binding
		}
	}
	return nil
}

// Astray implements egress.View.
func (c *Cluster) Astray(host string) []*egress.Seen { return c.Strays[host] }

// Mapped implements egress.View.
func (c *Cluster) Mapped(of egress.Mapping) []*egress.Seen { return c.Maps[of] }

// Taking implements egress.View.
func (c *Cluster) Taking(host string) []*egress.Seen { return c.Takes[host] }

// Narrowing implements egress.View.
func (c *Cluster) Narrowing(wildcard string) []*egress.Seen { return c.Narrows[wildcard] }

// Serving implements egress.View.
func (c *Cluster) Serving(host string) (out []*egress.Binding) {
	for _, binding := range c.Bindings {
		if slices.Contains(binding.Hosts(), host) {
			out = append(out, binding)
		}
	}
	return out
}

// Deciding implements egress.View.
func (c *Cluster) Deciding(namespace, gateway string) []string {
	return c.Decides[namespace+"/"+gateway]
}

// Pods implements egress.View.
func (c *Cluster) Pods(string) []map[string]string { return c.InGatewayNamespaces }

// OnPort implements egress.View.
func (c *Cluster) OnPort(number uint32, family egress.Family) (out []*egress.Entry) {
	c.Asked++
	for _, entry := range c.Known {
		if slices.ContainsFunc(entry.Ports, func(port egress.Port) bool { return port.Number == number && port.ToldBy() == family }) {
			out = append(out, entry)
		}
	}
	c.OnPorts += len(out)
	slices.SortFunc(out, (*egress.Entry).Older)
	return out
}

// HTTPService implements egress.View.
func (c *Cluster) HTTPService(number uint32) string {
	c.Asked++
	for host, service := range c.Services {
		if egress.FamilyOf(service.Protocol(number)) == egress.FamilyHTTP {
			return host
		}
	}
	return ""
}

// DNSCapture implements egress.View.
func (c *Cluster) DNSCapture() bool { return c.Captures }

// Routings implements egress.View.
func (c *Cluster) Routings(namespace, host string) (out []*egress.Routing) {
	for _, routing := range c.Routed {
		if routing.Namespace == namespace && routing.Of(host) {
			out = append(out, routing)
		}
	}
	return out
}

// Rivals implements egress.View.
func (c *Cluster) Rivals(namespace, host string) (out []*egress.Rival) {
	for _, rival := range c.Stored {
		if slices.Contains(rival.Hosts, host) && (rival.Namespace == namespace || rival.Exported()) {
			out = append(out, rival)
		}
	}
	return out
}

// Below implements egress.View.
func (c *Cluster) Below(pattern string) (out []string) {
	for _, entry := range c.Known {
		for _, host := range entry.Hosts {
			if egress.Covers(pattern, host) {
				out = append(out, host)
			}
		}
	}
	return out
}

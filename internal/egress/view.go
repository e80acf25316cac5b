package egress

import (
	"net/netip"
	"slices"
)

// View is what the rest of the cluster says. Answers come from memory and may lag.
type View interface {
	// Entries returns every ServiceEntry that names exactly this canonical host, oldest first. Those of namespaces that are
	// not governed lead to no gateway. The slice is shared and must not be changed.
	Entries(host string) []*Entry
	// Named returns the ServiceEntry of a name, nil for none.
	Named(namespace, name string) *Entry
	// Exit returns what those of them make that are sealed to egress gateways of a namespace, nil for none.
	Exit(host, gatewayNamespace string) *Exit
	// HostsOf returns how many exits the external entries of a namespace take, but for one of them.
	HostsOf(namespace, except string) int
	// ExportedBy returns how many namespaces the entries of a namespace are exported to by name, but for one of them.
	ExportedBy(namespace, except string) int
	// LedBy returns how many hosts the VirtualServices of a namespace lead to outside or are for, but for one of them.
	LedBy(namespace, except string) int
	// RuleValues returns how many values the settings of a namespace's DestinationRules of hosts outside have, but for those of one.
	RuleValues(namespace, except string) int
	// ServiceAt returns the FQDN of the Service that has an address, empty for none.
	ServiceAt(ip netip.Addr) string
	// GivenTo returns the ServiceEntries to whose hosts istiod gave an address, as namespace/name, sorted.
	GivenTo(ip netip.Addr) []string
	// GatewayOf returns the name of the egress gateway through which a governed namespace leaves, empty for none.
	GatewayOf(namespace string) string
	// ServiceAccounts returns the names of the service accounts of a namespace, sorted.
	ServiceAccounts(namespace string) []string
	// Governed returns the governed namespaces and their labels: the same ones until one changes.
	Governed() *Namespaces
	// Service returns the Service with this canonical FQDN, nil for none.
	Service(host string) *Service
	// Rule returns what the DestinationRules of a namespace say of a canonical host: that of the host itself, or else
	// that of the most specific wildcard; nil for none.
	Rule(namespace, host string) *Rule
	// Ruled returns the namespaces that have a DestinationRule of exactly this canonical host, sorted.
	Ruled(host string) []string
	// RuleAfter returns what Rule would say if the DestinationRule of a name were another one, or were gone where that is nil.
	RuleAfter(namespace, host, name string, next *Rule) *Rule
	// Binding returns a Gateway object, nil for none.
	Binding(namespace, name string) *Binding
	// Serving returns the Gateway objects that name a canonical host in a server, those that we keep not among them.
	Serving(host string) []*Binding
	// Deciding returns the VirtualServices that do more on the proxies of a Gateway object than lead their host to itself.
	Deciding(namespace, gateway string) []string
	// Narrowing returns the VirtualServices whose TLS routes take calls of a host by its name, or of hosts below a wildcard and not all
	// that a sidecar has an entry of the wildcard for.
	Narrowing(host string) []*Seen
	// Taking returns the VirtualServices that decide over calls to a host, as they name it, for all who see them, since
	// gateways must see them too.
	Taking(host string) []*Seen
	// Astray returns the VirtualServices that lead calls to a host which ask for another.
	Astray(host string) []*Seen
	// Mapped returns the VirtualServices that make a mapping.
	Mapped(of Mapping) []*Seen
	// Pods returns the labels of the pods in the namespace of an egress gateway, each set of them once. The slice is shared and must not be changed.
	Pods(namespace string) []map[string]string
	// OnPort returns the entries that have a port of this number of a family, oldest first; FamilyTCP stands for whatever
	// sidecars tell apart by addresses alone.
	OnPort(number uint32, family Family) []*Entry
	// HTTPService returns a Service whose port of this number Istio takes for HTTP, empty for none.
	HTTPService(number uint32) string
	// DNSCapture says whether sidecars answer DNS themselves, and so give each host an address of its own.
	DNSCapture() bool
	// Routings returns what the VirtualServices of a namespace's authors say that name a canonical host themselves; known only
	// where routes alone lead calls to gateways.
	Routings(namespace, host string) []*Routing
	// Rivals returns the VirtualServices of sidecars that name exactly this canonical host, and that a namespace has or another exports,
	// those that we keep not among them.
	Rivals(namespace, host string) []*Rival
	// Below returns the hosts of entries that a wildcard stands for, or the host itself where it is one.
	Below(pattern string) []string
}

// Service is the part of a Service that governs egress.
type Service struct {
	Ports []ServicePort
	// IPs are its addresses: in the cluster, of load balancers, and others that it claims.
	IPs []netip.Addr
	// ExternalName says that the Service is another name of a host, and Alias of which, canonical.
	ExternalName bool
	Alias        string
}

// ServicePort is a port of a Service.
type ServicePort struct {
	Number uint32
	// Protocol is the Istio protocol, upper case, by appProtocol or the prefix of the name; empty when neither says.
	Protocol string
	// Target is the port of the pods, 0 where it is named and so unknown.
	Target uint32
}

// hasPort says whether the Service has a port of this number.
func (s *Service) hasPort(number uint32) bool {
	return slices.ContainsFunc(s.Ports, func(p ServicePort) bool { return p.Number == number })
}

// Protocol returns the protocol of a port, empty when it is unknown or the Service is nil.
func (s *Service) Protocol(number uint32) string {
	if s == nil {
		return ""
	}
	for _, port := range s.Ports {
		if port.Number == number {
			return port.Protocol
		}
	}
	return ""
}

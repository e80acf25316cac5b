package egress

import (
	"net/netip"
	"slices"
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
	// FamilyTCP carries no host of its own: TCP, and the protocols that Istio has a name for and passes on as TCP.
	FamilyTCP Family = "TCP"
	// FamilyNone marks what is no protocol of calls.
	FamilyNone Family = ""
)

// FamilyOf returns the family of a ServiceEntry port's protocol, in whichever case it is written.
func FamilyOf(protocol string) Family {
	switch strings.ToUpper(protocol) {
	case "HTTP", "HTTP2", "GRPC", "GRPC-WEB":
		return FamilyHTTP
	case "TLS", "HTTPS":
		return FamilyTLS
	case "TCP", "MONGO", "MYSQL", "REDIS":
		return FamilyTCP
	}
	return FamilyNone
}

// IsHTTP1 says whether a protocol of the HTTP family is HTTP/1.1.
func IsHTTP1(protocol string) bool { return strings.EqualFold(protocol, "HTTP") }

// Mesh is what the operator declared about the mesh: a value, never changed after start.
type Mesh struct {
	// ClusterDomain is the DNS suffix of Services, "cluster.local" by default.
	ClusterDomain string
	// TrustDomain is that of the mesh's identities.
	TrustDomain string
	// Governed selects the namespaces whose objects are evaluated, by labels.
	Governed labels.Selector
	// Observed selects those of which it is told what would become of their objects if they were governed, nil for none; those
	// that are governed are not among them.
	Observed labels.Selector
	// Seal says whether ServiceEntries are sealed.
	Seal bool
	// Inject says whether VirtualServices get the client leg.
	Inject bool
	// Block says that sidecars of governed namespaces are kept from hosts that no entry names.
	Block bool
	// IstioNamespace is Istio's own: a Sidecar there is that of everybody.
	IstioNamespace string
	// OwnNamespace says that an exportTo which the author left out is the object's own namespace, and not everybody.
	OwnNamespace bool
	// CIDRs are addresses of the mesh beside its pods: virtual machines, other clusters.
	CIDRs []netip.Prefix
	// ClusterCIDRs are those of pods, Services and nodes.
	ClusterCIDRs []netip.Prefix
	// MaxHosts bounds the external hosts of a namespace's entries, 0 for no bound.
	MaxHosts int
	// DocsURL is the page about a code, with {code} in the place of it; empty for none.
	DocsURL string
	// Gateways are the ways out, in order of preference.
	Gateways []Gateway
}

// Observes says whether a namespace with these labels is observed.
func (m *Mesh) Observes(namespace labels.Set) bool {
	return m.Observed != nil && m.Observed.Matches(namespace) && !m.Governed.Matches(namespace)
}

// Rehearsal returns the mesh in which what is observed is governed, or of it the namespaces that are named; nil where nothing is.
func (m *Mesh) Rehearsal(names ...string) *Mesh {
	if m.Observed == nil {
		return nil
	}
	out := *m
	if out.Governed, out.Observed = (either{m.Governed, m.Observed}), nil; len(names) > 0 {
		out.Governed, out.Observed = either{m.Governed, among{m.Observed, names}}, m.Observed
	}
	return &out
}

// nameLabel is the label with the name of a namespace.
const nameLabel = "kubernetes.io/metadata.name"

// among matches what a selector does in some namespaces.
type among struct {
	labels.Selector
	names []string
}

func (a among) Matches(set labels.Labels) bool {
	return slices.Contains(a.names, set.Get(nameLabel)) && a.Selector.Matches(set)
}

// either matches what one of two does.
type either struct {
	labels.Selector
	other labels.Selector
}

func (e either) Matches(set labels.Labels) bool {
	return e.Selector.Matches(set) || e.other.Matches(set)
}

// Carries says whether calls are carried to gateways, by sealed entries or by routes; otherwise objects are evaluated only.
func (m *Mesh) Carries() bool { return m.Seal || m.Inject }

// ByRoutes says that entries are stored as they are written, and that routes alone lead their calls to gateways.
func (m *Mesh) ByRoutes() bool { return !m.Seal && m.Inject }

// GatewayFor returns the gateway through which a namespace with these labels leaves; the first match counts. Its waypoint is
// for namespaces in ambient mode alone.
func (m *Mesh) GatewayFor(namespace labels.Set) (Gateway, bool) {
	out, found := m.gateway(func(g Gateway) bool { return g.Clients.Matches(namespace) })
	if !Ambient(namespace) {
		out.Waypoint = Waypoint{}
	}
	return out, found
}

// GatewayByService returns the gateway whose Service host names.
func (m *Mesh) GatewayByService(host string) (Gateway, bool) {
	host = Canonical(host)
	return m.gateway(func(g Gateway) bool { return g.Service == host })
}

// GatewayByName returns the gateway of that name.
func (m *Mesh) GatewayByName(name string) (Gateway, bool) {
	return m.gateway(func(g Gateway) bool { return g.Name == name })
}

// GatewaysIn returns the gateways whose Services lie in a namespace. They share what that namespace knows of a host.
func (m *Mesh) GatewaysIn(namespace string) []Gateway {
	var out []Gateway
	for _, g := range m.Gateways {
		if g.Namespace() == namespace {
			out = append(out, g)
		}
	}
	return out
}

func (m *Mesh) gateway(is func(Gateway) bool) (Gateway, bool) {
	for _, g := range m.Gateways {
		if is(g) {
			return g, true
		}
	}
	return Gateway{}, false
}

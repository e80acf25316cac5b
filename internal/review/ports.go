package review

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// listening is an entry as the sidecars of its clients listen for its calls.
func (s *subject) listening(object *unstructured.Unstructured, intent *egress.ServiceEntry) *egress.Entry {
	out := &egress.Entry{
		Namespace: s.Namespace.Name, Name: object.GetName(), Labels: object.GetLabels(), Ports: intent.Ports, Addresses: intent.Addresses, External: intent.External(),
	}
	out.ExportTo = egress.ExportTo(object)
	out.Resolution, _, _ = unstructured.NestedString(object.Object, "spec", "resolution")
	for _, host := range intent.Hosts {
		out.Hosts = append(out.Hosts, egress.Canonical(host))
	}
	if leg, sealed := hop.SealedLeg(object, s.Mesh); sealed && intent.External() {
		out.Gateway, out.Transport = leg.Gateway, leg.Transport
	}
	return out
}

// listenedBefore is the entry that is stored already; nil for none, and for one of the other location: what nobody refuses of the mesh's
// own says nothing of what leaves it, nor the other way round.
func (s *subject) listenedBefore() (*egress.Entry, *egress.ServiceEntry) {
	if !s.once.asked {
		s.once.asked = true
		s.once.stood, s.once.wrote = s.readBefore()
	}
	return s.once.stood, s.once.wrote
}

func (s *subject) readBefore() (*egress.Entry, *egress.ServiceEntry) {
	if s.oldIntent == nil {
		return nil, nil
	}
	parsed, err := hop.ParseEntry(s.oldIntent)
	if err != nil {
		return nil, nil
	}
	if now, err := s.entry(); err != nil || now.External() != parsed.External() {
		return nil, nil
	}
	return s.listening(s.Old, parsed), parsed
}

// neighbour is a port of another entry, or of a Service, that has the number of one of ours.
type neighbour struct {
	*egress.Entry
	port    egress.Port
	service bool
}

func (n neighbour) String() string {
	if n.service {
		return "Service " + n.Name
	}
	return fmt.Sprintf("ServiceEntry %s/%s", n.Namespace, n.Name)
}

// neighbours returns the ports of others, of some families, that have a number. Few entries have raw TCP ports, so that for
// most there is nothing to go through.
func (s *subject) neighbours(number uint32, families ...egress.Family) (out []neighbour) {
	for _, family := range families {
		for _, other := range s.View.OnPort(number, family) {
			for _, port := range other.Ports {
				if port.Number == number && port.ToldBy() == family && !s.is(other) {
					out = append(out, neighbour{other, port, false})
				}
			}
		}
		if family != egress.FamilyHTTP {
			continue
		}
		if service := s.View.HTTPService(number); service != "" {
			// Sidecars listen for HTTP at every address, whatever the Service's own is.
			out = append(out, neighbour{&egress.Entry{Name: service, Hosts: []string{service}}, egress.Port{Number: number, Protocol: "HTTP"}, true})
		}
	}
	return out
}

// carried says whether an entry's raw TCP goes to a gateway: what of the mesh's own clashes is not ours to refuse.
func carried(entry *egress.Entry, port egress.Port) bool {
	return entry.Gateway != "" && entry.Transport == egress.MutualTLS && port.ToldBy() == egress.FamilyTCP
}

// concerns says whether it is ours to refuse that two ports clash: one of them is raw TCP that goes to a gateway, or goes there
// whatever it is, and is lost beside a protocol that shares its number with no other; leads says so of ours.
func concerns(ours *egress.Entry, port egress.Port, leads bool, other neighbour) bool {
	lost := (egress.Alone(port.Protocol) || egress.Alone(other.port.Protocol)) && (leads || other.Gateway != "")
	return lost || carried(ours, port) || carried(other.Entry, other.port)
}

// portsTaken refuses ports that sidecars could not tell from others' of the same number: Istio drops one of the two and says
// nothing of it. What is stored already and is not made worse is not refused.
func portsTaken(s *subject, intent *egress.ServiceEntry) (out hop.Refusals) {
	ours, capture := s.listens(intent), s.View.DNSCapture()
	before, _ := s.listenedBefore()
	leads := intent.External() && s.carrier(intent).Name != ""
	for i, port := range ours.Ports {
		if before != nil && ours.ListensAs(before, port) {
			continue
		}
		families := []egress.Family{egress.FamilyTCP}
		if egress.Alone(port.Protocol) {
			families = append(families, egress.FamilyHTTP, egress.FamilyTLS)
		}
		for _, other := range s.neighbours(port.Number, families...) {
			if !concerns(ours, port, leads, other) {
				continue
			}
			if clash := ours.Clashes(port, other.Entry, other.port, capture); clash.Host != "" {
				out = append(out, egress.Finding{
					Code: "tcp-port-taken", Field: field.NewPath("spec", "ports").Index(i).Child("number").String(),
					Message: takenMessage(port, other, clash), Fix: takenFix(ours, port, other, capture),
				})
				break
			}
		}
	}
	return out
}

func takenMessage(port egress.Port, other neighbour, clash egress.Clash) string {
	has := fmt.Sprintf("host %q of %s has it", clash.Other, other)
	if other.service {
		has = fmt.Sprintf("%s has it", other)
	}
	what := "a sidecar tells raw TCP apart by the address alone, which neither has, so the calls to both would end at one of them"
	if clash.Address != "" {
		what = fmt.Sprintf("a sidecar tells raw TCP apart by the address alone, which is %s of both, so the calls to both would end at one of them", clash.Address)
	}
	if port.ToldBy() != egress.FamilyTCP || other.port.ToldBy() != egress.FamilyTCP {
		what = "Istio lets MONGO and MYSQL share a port number with no other protocol, so the calls to one of them would be lost"
	}
	return fmt.Sprintf("port %d is %s for %q, and %s as %s; %s", port.Number, cmp.Or(port.Protocol, "of no protocol"), clash.Host, has, cmp.Or(other.port.Protocol, "no protocol"), what)
}

// takenFix names what would help, each by itself.
func takenFix(ours *egress.Entry, port egress.Port, other neighbour, capture bool) string {
	helps := func(ours *egress.Entry, port egress.Port, theirs *egress.Entry, capture bool) bool {
		return ours.Clashes(port, theirs, other.port, capture) == egress.Clash{}
	}
	var out []string
	switch {
	case helps(ours.Private(), port, other.Entry, capture):
		out = append(out, `set exportTo: ["."]`)
	case other.service || other.Namespace == ours.Namespace:
	case helps(ours, port, other.Private(), capture):
		out = append(out, fmt.Sprintf("ask the owners of %s to export it to its own namespace alone", other))
	case helps(ours.Private(), port, other.Private(), capture):
		out = append(out, fmt.Sprintf(`set exportTo: ["."] and ask the owners of %s to do the same`, other))
	}
	tcp := egress.Port{Number: port.Number, Protocol: "TCP"}
	if strings.EqualFold(port.Protocol, "MONGO") && helps(ours, tcp, other.Entry, capture) {
		out = append(out, "declare protocol TCP")
	}
	if carried(ours, port) && len(ours.Addresses) == 0 {
		out = append(out, "set resolution STATIC and give the server's addresses both as spec.addresses and in spec.endpoints")
	}
	target := cmp.Or(port.TargetPort, port.Number)
	out = append(out, fmt.Sprintf("give the port another number, which the app then calls, and targetPort %d", target))
	if !capture && helps(ours, port, other.Entry, true) {
		out = append(out, "ask the platform team for sidecars that capture DNS (ISTIO_META_DNS_CAPTURE)")
	}
	return strings.Join(out, ", or ")
}

// unreached refuses addresses that no app dials: the calls of one that resolves the host go past the entry.
func unreached(s *subject, intent *egress.ServiceEntry) hop.Refusals {
	if s.View.DNSCapture() {
		return nil
	}
	address := undialled(s.listens(intent), intent)
	if before, was := s.listenedBefore(); address == "" || before != nil && undialled(before, was) == address {
		return nil
	}
	return hop.Refusals{{
		Code: "unreached-address", Field: "spec.addresses",
		Message: fmt.Sprintf("address %s is no endpoint's, so an app that resolves the host does not dial it, and its calls by TLS and raw TCP, which sidecars await there alone, would go past the egress gateway", address),
		Fix:     "remove spec.addresses, or give the server's own addresses both there and in spec.endpoints with resolution STATIC, or ask the platform team for sidecars that capture DNS (ISTIO_META_DNS_CAPTURE)",
	}}
}

// undialled returns an address at which sidecars listen that is not the server's own; empty for none. They listen for TLS,
// too, at the addresses of an entry that has some, and for HTTP at every address.
func undialled(entry *egress.Entry, intent *egress.ServiceEntry) string {
	if entry.Gateway == "" || !slices.ContainsFunc(entry.Ports, func(port egress.Port) bool { return port.ToldBy() != egress.FamilyHTTP }) {
		return ""
	}
	for _, address := range entry.Addresses {
		if intent.Resolution != "STATIC" || !slices.ContainsFunc(intent.Endpoints, func(endpoint egress.Endpoint) bool {
			return egress.Address(endpoint.Address) == egress.Address(address)
		}) {
			return address
		}
	}
	return ""
}

// narrowed refuses a wildcard of whose TLS calls a stored VirtualService takes some, so that sidecars would know no others, and an address
// at which they would know nothing but the name of its host.
func narrowed(s *subject, intent *egress.ServiceEntry) (out hop.Refusals) {
	carried := *s.listens(intent) // which is not to be changed
	carried.Gateway = s.carrier(intent).Name
	ours := &carried
	before, _ := s.listenedBefore()
	routed, fresh := routedAddress(ours, nil), routedAddress(ours, s.stood(intent))
	for i, host := range ours.Hosts {
		at := routed
		if before != nil && slices.Contains(before.Hosts, host) {
			at = fresh
		}
		switch by := narrowing(s, ours, host); {
		case by == nil:
		case egress.IsWildcard(host):
			out = append(out, egress.Finding{
				Code: "left-out", Field: field.NewPath("spec", "hosts").Index(i).String(),
				Message: fmt.Sprintf("%s has TLS routes for hosts below %q and none for it; sidecars that see both know the wildcard by these alone, so calls to other hosts below it would go past the egress gateway", by, host),
				Fix:     fmt.Sprintf("first add a TLS route for %q there, which names it in spec.hosts and in sniHosts", host),
			})
		case at >= 0:
			out = append(out, egress.Finding{
				Code: "left-out", Field: field.NewPath("spec", "addresses").Index(at).String(),
				Message: fmt.Sprintf("%s has TLS routes for %q; sidecars that see both know at %s the names of these alone, so calls to other hosts there would go past the egress gateway", by, host, ours.Addresses[at]),
				Fix:     "remove spec.addresses: without it, TLS calls are told apart by their names",
			})
		}
	}
	return out
}

// narrowing is the first stored VirtualService by whose TLS routes alone clients of an entry know a host of it; nil for none.
func narrowing(s *subject, ours *egress.Entry, host string) *egress.Seen {
	stored := s.View.Narrowing(host)
	if i := slices.IndexFunc(stored, ours.Narrowed); i >= 0 {
		return stored[i]
	}
	return nil
}

// routedAddress is the place of an address of an entry at which other hosts may be, and which is not among those that stood already;
// negative for none.
func routedAddress(ours *egress.Entry, stood map[string]bool) int {
	return slices.IndexFunc(ours.Addresses, func(address string) bool { return !egress.Unrouted(address) && !stood[egress.Address(address)] })
}

// besideTCP says of ports that sidecars tell from raw TCP of the same number by the first bytes of a call.
func besideTCP(s *subject, intent *egress.ServiceEntry) (out []string) {
	ours, capture := s.listens(intent), s.View.DNSCapture()
	raw := func(port egress.Port) bool { return strings.EqualFold(port.Protocol, "TCP") }
	for i, port := range ours.Ports {
		families := []egress.Family{egress.FamilyTCP}
		if raw(port) {
			families = []egress.Family{egress.FamilyHTTP, egress.FamilyTLS}
		}
		for _, other := range s.neighbours(port.Number, families...) {
			between := raw(port) && carried(ours, port) || raw(other.port) && carried(other.Entry, other.port)
			shared := between && port.ToldBy() != other.port.ToldBy() && ours.Shares(port, other.Entry, other.port, capture) != egress.Clash{}
			if shared {
				out = append(out, fmt.Sprintf("spec.ports[%d]: port %d is %s here and %s in %s: sidecars that see both tell them apart by the first bytes of the app, so a TCP server that speaks first is not heard",
					i, port.Number, port.Protocol, other.port.Protocol, other))
				break
			}
		}
	}
	return out
}

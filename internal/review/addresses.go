package review

import (
	"fmt"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// askedByAddress tells of calls that ask for an address and no host, by which a gateway goes: HTTP, and TLS where it reads that itself.
// Addresses that nothing outside has stand for the host alone.
func askedByAddress(intent *egress.ServiceEntry, gw egress.Gateway) []string {
	for i, written := range intent.Addresses {
		if egress.Unrouted(written) {
			continue
		}
		for _, port := range intent.Ports {
			family := egress.FamilyOf(port.Protocol)
			if family == egress.FamilyHTTP || family == egress.FamilyTLS && gw.Transport != egress.MutualTLS {
				return []string{fmt.Sprintf("spec.addresses[%d]: the egress gateway goes by the host that a call asks for, so calls of port %d for %s itself fail there; let apps call %s by its name",
					i, port.Number, egress.Address(written), intent.Hosts[0])}
			}
		}
	}
	return nil
}

// underNone tells what becomes of resolution NONE, by which the client would choose the address.
func underNone(s *subject) []string {
	resolution, _, _ := unstructured.NestedString(s.intent.Object, "spec", "resolution")
	if resolution != "" && resolution != "NONE" {
		return nil
	}
	if parsed, err := s.entry(); err == nil && parsed.AtAddress {
		return []string{fmt.Sprintf("spec.addresses[0]: resolution NONE lets the client choose the address; the egress gateway leads all calls of the entry to %s, its only one, as by resolution STATIC with that endpoint", parsed.Endpoints[0].Address)}
	}
	return []string{"spec.resolution: NONE lets the client choose the address; the egress gateway asks DNS for the host instead"}
}

// addressesTaken refuses addresses that others have.
func addressesTaken(s *subject, intent *egress.ServiceEntry) hop.Refusals {
	given, others := addressesGiven(s, intent), addressesOfOthers(s, intent)
	if len(given) > 0 && len(others) > 0 && given[0].Field == others[0].Field {
		return given // which says more of the one address
	}
	return append(given, others...)
}

// addressesOfOthers refuses addresses by which an entry takes calls to other hosts: sidecars lead TLS and raw TCP by the address where some
// entry has it, whichever host the app has resolved to it, and so they do with HTTP where raw TCP has the port. Ambient mode does so with
// all calls, and by whichever entry, since it goes by no exportTo. What is stored already and is not made worse is not refused.
func addressesOfOthers(s *subject, intent *egress.ServiceEntry) hop.Refusals {
	if len(intent.Addresses) == 0 || !s.ambient() && !toldByAddress(intent) {
		return nil
	}
	stood := s.stood(intent)
	if intent.External() && !s.endsAsBefore(intent) {
		stood = nil
	}
	for i, written := range intent.Addresses {
		message, fix := s.takes(intent, written)
		if message == "" || stood[egress.Address(written)] {
			continue
		}
		return hop.Refusals{{
			Code: "address-taken", Field: field.NewPath("spec", "addresses").Index(i).String(),
			Message: fmt.Sprintf("calls to %s, whatever hosts they are for, would %s", written, message), Fix: fix,
		}}
	}
	return nil
}

// toldByAddress says whether sidecars tell calls of some port by the address.
func toldByAddress(intent *egress.ServiceEntry) bool {
	return slices.ContainsFunc(intent.Ports, func(port egress.Port) bool { return port.ToldBy() != egress.FamilyHTTP })
}

// ambient says whether some governed pods are in ambient mode, those of its own namespace or others.
func (s *subject) ambient() bool { return egress.Ambient(s.Namespace.Labels) || s.ambientElsewhere() }

// ambientElsewhere says whether those of another governed namespace are.
func (s *subject) ambientElsewhere() bool { return s.View.Governed().Ambient(s.Namespace.Name) }

// addressesGiven refuses addresses that are istiod's to give: whoever has one by its status is given another where somebody names it, and
// clients that know the one call whoever did. What is stored already is not refused.
func addressesGiven(s *subject, intent *egress.ServiceEntry) hop.Refusals {
	before, _ := s.listenedBefore()
	for i, written := range intent.Addresses {
		reason := s.given(written)
		if reason == "" || before != nil && slices.ContainsFunc(before.Addresses, func(stood string) bool { return egress.Address(stood) == egress.Address(written) }) {
			continue
		}
		return hop.Refusals{{
			Code: "address-taken", Field: field.NewPath("spec", "addresses").Index(i).String(),
			Message: fmt.Sprintf("address %s %s", written, reason),
			Fix:     "remove the address, since istiod gives the hosts some of their own; or write one that is nobody's, such as 240.0.0.1",
		}}
	}
	return nil
}

// given says why an address is istiod's to give; nothing where it is not, or the platform says that it is not.
func (s *subject) given(written string) string {
	if ip, single := egress.SingleIP(written); single {
		itself := s.Namespace.Name + "/" + s.Object.GetName()
		for _, name := range s.View.GivenTo(ip) {
			if name != itself {
				return fmt.Sprintf("is what istiod gave ServiceEntry %s, which would lose it, and calls to it would come to this entry", name)
			}
		}
	}
	if of := egress.Automatic(written); of != "" && !s.Mesh.Declares(written) {
		is := "is of"
		if outer, err := egress.RangeOf(written); err == nil && outer.Bits() < netip.MustParsePrefix(of).Bits() {
			is = "has in it those of"
		}
		return fmt.Sprintf("%s %s, from which istiod gives hosts of all entries their addresses", is, of)
	}
	return ""
}

// takes says what would become of calls for other hosts at an address of an entry, and what helps; nothing where there are none, or
// all that its own namespace makes.
func (s *subject) takes(intent *egress.ServiceEntry, written string) (message, fix string) {
	const (
		toItself   = `set exportTo: ["."], or `
		undeclared = "remove the address, or ask the platform team to declare its range (meshCIDRs)"
	)
	_, single := egress.SingleIP(written)
	declared := s.Mesh.Declares(written)
	if egress.Unrouted(written) {
		return "", ""
	}
	switch others := toldByAddress(intent) && leadsOthers(s.listens(intent)); {
	case !intent.External() && !declared && !single:
		return "stay in the mesh, or go past the egress gateway", "name single addresses, or ask the platform team to declare the range (meshCIDRs)"
	case !intent.External() && !declared && s.ambientElsewhere():
		return "stay in the mesh, also those of other namespaces in ambient mode, which goes by no exportTo", undeclared
	case !intent.External() && !declared && others:
		return "stay in the mesh, also those of other namespaces", toItself + undeclared
	case intent.External() && others && s.carrier(intent).Transport == egress.MutualTLS && leadsElsewhere(intent, written):
		return "be led to the other endpoints, too, also those of other namespaces", toItself + "remove spec.addresses"
	}
	return "", ""
}

// leadsOthers says whether sidecars of other namespaces listen for calls of an entry.
func leadsOthers(entry *egress.Entry) bool {
	return egress.ReachesOthers(entry.ExportTo, entry.Namespace)
}

// amongOthers says whether there are other namespaces than one among some.
func amongOthers(namespaces []string, namespace string) bool {
	return slices.ContainsFunc(namespaces, func(client string) bool { return client != namespace })
}

// leadsElsewhere says whether calls to an address may come to an endpoint with another.
func leadsElsewhere(intent *egress.ServiceEntry, address string) bool {
	return slices.ContainsFunc(intent.Endpoints, func(endpoint egress.Endpoint) bool {
		return egress.Address(endpoint.Address) != egress.Address(address)
	})
}

// stood returns the addresses at which sidecars await calls of an entry as they did before it was changed: for no clients beside, and by
// no port beside that they tell apart by the address.
func (s *subject) stood(intent *egress.ServiceEntry) map[string]bool {
	if len(intent.Addresses) == 0 {
		return nil
	}
	before, was := s.listenedBefore()
	if before == nil || was.External() != intent.External() || !s.listens(intent).AwaitsAs(before, s.ambient()) {
		return nil
	}
	out := map[string]bool{}
	for _, address := range before.Addresses {
		out[egress.Address(address)] = true
	}
	return out
}

// endsAsBefore says whether calls at the addresses of an entry outside the mesh came to the same endpoints before it was changed. By Plain
// the gateway tells those of other hosts apart.
func (s *subject) endsAsBefore(intent *egress.ServiceEntry) bool {
	before, was := s.listenedBefore()
	return before != nil && (before.Gateway == "" || before.Transport == egress.MutualTLS) && was.Define().EndsAs(s.defines(intent))
}

package egress

import (
	"net/netip"
	"slices"
	"strings"
)

// Where a client's sidecar listens for the calls of an entry: it tells HTTP apart by the Host header, TLS by SNI, and raw
// TCP by nothing but the address that an app dials.

// optOut is Istio's label of an entry that is given no automatic address.
const optOut = "networking.istio.io/enable-autoallocate-ip"

// everywhere is what a sidecar listens at for hosts without an address of their own.
const everywhere = "*"

// ToldBy returns the family by which a sidecar tells the calls of a port apart. A protocol that it does not know it guesses
// from the first bytes, and takes for raw TCP unless that is HTTP.
func (p Port) ToldBy() Family {
	family := FamilyOf(p.Protocol)
	if family == FamilyNone && !strings.EqualFold(p.Protocol, "UDP") {
		return FamilyTCP
	}
	return family
}

// Alone says whether Istio lets a protocol share no listener with another one: of the two it drops the one it comes to
// last.
func Alone(protocol string) bool {
	return strings.EqualFold(protocol, "MONGO") || strings.EqualFold(protocol, "MYSQL")
}

// Clash is what keeps a sidecar from telling a port of one entry from that of another.
type Clash struct {
	// Host and Other are the hosts whose calls end up as one, Address where; empty for every address.
	Host, Other, Address string
}

// Clashes returns what keeps sidecars that see both entries from telling a port of one from a port of the other, which has
// the same number; capture says whether they answer DNS, and so give hosts addresses. The zero value is nothing.
func (e *Entry) Clashes(port Port, other *Entry, theirs Port, capture bool) Clash {
	raw := port.ToldBy() == FamilyTCP && theirs.ToldBy() == FamilyTCP
	if !raw && !Alone(port.Protocol) && !Alone(theirs.Protocol) {
		return Clash{}
	}
	return e.Shares(port, other, theirs, capture)
}

// Shares returns two different hosts of entries that see each other at one listener, and which; the zero value for none.
func (e *Entry) Shares(port Port, other *Entry, theirs Port, capture bool) Clash {
	if !meet(e, other) {
		return Clash{}
	}
	for _, host := range e.Hosts {
		at := e.listens(host, port, capture)
		for _, their := range other.Hosts {
			if host == their {
				continue
			}
			for _, address := range other.listens(their, theirs, capture) {
				if slices.Contains(at, address) {
					return Clash{host, their, strings.TrimPrefix(address, everywhere)}
				}
			}
		}
	}
	return Clash{}
}

// listens returns the addresses at which a sidecar listens for calls of a port to a host; none where it has one that no
// other host is given.
func (e *Entry) listens(host string, port Port, capture bool) []string {
	switch {
	case FamilyOf(port.Protocol) == FamilyHTTP:
		return []string{everywhere}
	case len(e.Addresses) > 0:
		out := make([]string, len(e.Addresses))
		for i, address := range e.Addresses {
			out[i] = Address(address)
		}
		return out
	case e.ByAddress(host, capture):
		return nil
	}
	return []string{everywhere}
}

// ByAddress says whether sidecars tell calls to a host from others by the address alone, whatever the app then says: the entry's own, or
// one that they have given the host.
func (e *Entry) ByAddress(host string, capture bool) bool {
	return len(e.Addresses) > 0 ||
		capture && !IsWildcard(host) && e.Resolution != "" && e.Resolution != "NONE" && !strings.EqualFold(e.Labels[optOut], "false")
}

// Address is an address in its one spelling; a range of a single one is that.
func Address(text string) string {
	if ip, single := SingleIP(text); single {
		return ip.String()
	}
	return text
}

// SingleIP reads an address, or a range of a single one; false for anything else.
func SingleIP(text string) (netip.Addr, bool) {
	if cidr, err := netip.ParsePrefix(text); err == nil && cidr.IsSingleIP() {
		return cidr.Addr().Unmap(), true
	}
	ip, err := netip.ParseAddr(text)
	return ip.Unmap(), err == nil
}

// automatic are the ranges from which istiod gives hosts of entries their addresses, where it is told no others. unrouted are those of
// which nothing outside a cluster has an address.
var (
	automatic = []netip.Prefix{netip.MustParsePrefix("240.240.0.0/16"), netip.MustParsePrefix("2001:2::/48")}
	unrouted  = []netip.Prefix{netip.MustParsePrefix("240.0.0.0/4"), automatic[1]}
)

// Automatic returns the range from which istiod gives hosts their addresses that an address, or some of a range, is of; empty for none.
func Automatic(text string) string {
	inner, err := RangeOf(text)
	for _, prefix := range automatic {
		if err == nil && prefix.Overlaps(inner) {
			return prefix.String()
		}
	}
	return ""
}

// Unrouted says whether an address is nobody's outside the cluster, so that no other host is at it.
func Unrouted(text string) bool {
	address, single := SingleIP(text)
	return single && slices.ContainsFunc(unrouted, func(prefix netip.Prefix) bool { return prefix.Contains(address) })
}

// Both returns the namespaces that see two entries; all says that every one does.
func (e *Entry) Both(other *Entry) (names []string, all bool) {
	ours, all := Clients(e.ExportTo, e.Namespace)
	theirs, everybody := Clients(other.ExportTo, other.Namespace)
	switch {
	case all:
		return theirs, everybody
	case everybody:
		return ours, false
	}
	return slices.DeleteFunc(ours, func(namespace string) bool { return !slices.Contains(theirs, namespace) }), false
}

// meet says whether some namespace sees both entries.
func meet(a, b *Entry) bool {
	names, all := a.Both(b)
	return all || len(names) > 0
}

// Private returns the entry as it would be for its own namespace alone.
func (e *Entry) Private() *Entry {
	out := *e
	out.ExportTo = []string{"."}
	return &out
}

// ListensAs says whether sidecars listen for calls of a port as they did for those of an entry before, for no hosts and no
// clients beside.
func (e *Entry) ListensAs(before *Entry, port Port) bool {
	return allAmong(e.Hosts, before.Hosts) && slices.Equal(e.Addresses, before.Addresses) && e.Labels[optOut] == before.Labels[optOut] &&
		e.seenAs(before) && before.hasPort(port)
}

// AwaitsAs says whether an entry had before all that clients tell apart by its addresses: for no clients beside, on no ports beside. To
// sidecars ports of HTTP are none of these, in ambient mode all are.
func (e *Entry) AwaitsAs(before *Entry, ambient bool) bool {
	return e.seenAs(before) && !slices.ContainsFunc(e.Ports, func(port Port) bool {
		return (ambient || port.ToldBy() != FamilyHTTP) && !before.hasPort(port)
	})
}

// seenAs says whether nobody sees an entry who did not see it before.
func (e *Entry) seenAs(before *Entry) bool {
	ours, all := Clients(e.ExportTo, e.Namespace)
	theirs, everybody := Clients(before.ExportTo, before.Namespace)
	return everybody || !all && allAmong(ours, theirs)
}

// hasPort says whether an entry has a port with the number and the protocol.
func (e *Entry) hasPort(port Port) bool {
	return slices.ContainsFunc(e.Ports, func(p Port) bool {
		return p.Number == port.Number && strings.EqualFold(p.Protocol, port.Protocol)
	})
}

func allAmong(some, all []string) bool {
	return !slices.ContainsFunc(some, func(one string) bool { return !slices.Contains(all, one) })
}

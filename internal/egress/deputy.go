package egress

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// A gateway has rights of its own: an admin port on loopback, an identity at the cloud's metadata server, the reach of
// its namespace. Whoever leads it to these borrows them.

// metadata are addresses and names at which clouds hand out a machine's identity, beside the link-local ones.
var (
	metadataAddresses = []netip.Addr{
		netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("168.63.129.16"),
	}
	metadataNames = []string{"metadata", "metadata.goog", "metadata.google.internal", "instance-data", "instance-data.ec2.internal"}
	loopbackNames = []string{"localhost", "localdomain", "localhost6", "ip6-localhost", "ip6-loopback"}
	// embedding are the IPv6 ranges that have an IPv4 address within, the byte at which it begins, and whether by them one comes to all of
	// the internet: compatible, translated, NAT64 and that of one's own, 6to4, Teredo's server.
	embedding = []struct {
		netip.Prefix
		at       int
		internet bool
	}{
		{netip.MustParsePrefix("::/96"), 12, false},
		{netip.MustParsePrefix("::ffff:0:0:0/96"), 12, false},
		{netip.MustParsePrefix("64:ff9b::/96"), 12, true},
		{netip.MustParsePrefix("64:ff9b:1::/48"), 12, true},
		{netip.MustParsePrefix("2002::/16"), 2, true},
		{netip.MustParsePrefix("2001::/32"), 4, false},
	}
)

// Deputy says why an egress gateway must not be led to an address or a name; empty when nothing is known against it.
func (m *Mesh) Deputy(place string) string {
	place = Canonical(strings.Trim(place, "[]"))
	if address, err := netip.ParseAddr(place); err == nil {
		return deputyAddress(address)
	}
	name := strings.TrimPrefix(place, "*.")
	last := name[strings.LastIndexByte(name, '.')+1:]
	switch {
	case slices.Contains(metadataNames, name):
		return "is a cloud's metadata server, which would answer with the gateway's identity"
	case slices.Contains(loopbackNames, last):
		return "is the gateway's own pod"
	case m.InCluster(name), slices.Contains([]string{"svc", "pod"}, last):
		return fmt.Sprintf("lies under %s, the cluster's own domain", m.ClusterDomain)
	case name != place && strings.HasSuffix(m.ClusterDomain, "."+name):
		return fmt.Sprintf("covers %s, the cluster's own domain", m.ClusterDomain)
	case numeric(last):
		return "is an address in another spelling"
	}
	return ""
}

// InClusterCIDRs says that an address is the cluster's own, as clusterCIDRs has it; empty for one that is not, and for a name.
func (m *Mesh) InClusterCIDRs(place string) string {
	address, err := netip.ParseAddr(Canonical(strings.Trim(place, "[]")))
	if err != nil {
		return ""
	}
	return ofAddress(address, func(address netip.Addr) string {
		if slices.ContainsFunc(m.ClusterCIDRs, func(within netip.Prefix) bool { return within.Contains(address) }) {
			return "is a pod's, a Service's or a node's (clusterCIDRs), which are in the cluster"
		}
		return ""
	})
}

func deputyAddress(address netip.Addr) string { return ofAddress(address, deputyAt) }

// ofAddress says of an address, and of one within it, what a reason has against one.
func ofAddress(address netip.Addr, reason func(netip.Addr) string) string {
	address = address.WithZone("").Unmap()
	if said := reason(address); said != "" {
		return said
	}
	raw := address.As16()
	for _, within := range embedding {
		if within.Contains(address) {
			if said := reason(netip.AddrFrom4([4]byte(raw[within.at:]))); said != "" {
				return said
			}
		}
	}
	return ""
}

func deputyAt(address netip.Addr) string {
	switch {
	case address.IsLoopback(), address.IsUnspecified(), address.Is4() && address.As4()[0] == 0:
		return "is the gateway's own pod"
	case address.IsLinkLocalUnicast(), slices.Contains(metadataAddresses, address):
		return "is link-local or a cloud's metadata server, which would answer with the gateway's identity"
	case address.IsMulticast(), address == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "is not the address of one host"
	}
	return ""
}

// numeric says whether a resolver takes a name with this last label for an address: 127.1, 0x7f.1 and 2130706433 are.
func numeric(label string) bool {
	digits, base := label, "0123456789"
	if rest, hex := strings.CutPrefix(label, "0x"); hex {
		digits, base = rest, "0123456789abcdef"
	}
	return label != "" && strings.Trim(digits, base) == ""
}

// IsIstioPort says whether a port is one of those that Istio's proxies keep for themselves, their admin port first.
func IsIstioPort(port uint32) bool { return port >= 15000 && port <= 15090 }

// IsListener says whether it is one of those at which every sidecar listens: for calls out and in, health and metrics.
func IsListener(port uint32) bool { return slices.Contains([]uint32{15001, 15006, 15021, 15090}, port) }

package egress

import (
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// Bare says whether a host is a wildcard that no endpoint serves: each name below it is a host of its own, which a gateway
// can only find by asking DNS for the very name that a call is for.
func Bare(host string, endpoints []Endpoint) bool { return IsWildcard(host) && len(endpoints) == 0 }

// Bare says whether the exit is of a wildcard that no endpoint serves.
func (e *Exit) Bare(host string) bool { return e != nil && Bare(host, e.Definition.Endpoints) }

// Bare returns the hosts of an entry, as written, that are wildcards without an endpoint to serve them.
func (s *ServiceEntry) Bare() (out []string) {
	for _, host := range s.Hosts {
		if Bare(host, s.Endpoints) {
			out = append(out, host)
		}
	}
	return out
}

// Wide says why no gateway resolves the names below a canonical wildcard, whatever Deputy says of it; empty when nothing is
// against that. Whoever has a name below decides where the gateway goes: anybody, below what registries give names under.
func Wide(wildcard string) string {
	parent := strings.TrimPrefix(wildcard, "*.")
	below := "." + parent
	switch {
	case !strings.Contains(parent, "."), registry(parent), registry("a" + below):
		return "stands for names that anybody can register"
	case slices.ContainsFunc(metadataNames, func(name string) bool { return strings.HasSuffix(name, below) }):
		return "stands for a cloud's metadata server, which would answer with the gateway's identity"
	}
	return ""
}

// OfRegistry says whether a host is a wildcard for all names that a registry gives out, which are nobody's own.
func OfRegistry(host string) bool {
	return host == "*" || strings.HasPrefix(host, "*.") && registry(host[len("*."):])
}

// registry says whether names are registered directly under a name. That the owner of a domain gives out names below it,
// as clouds do, is his business.
func registry(name string) bool {
	suffix, icann := publicsuffix.PublicSuffix(name)
	return icann && suffix == name
}

// Withheld returns the addresses that no gateway calls, whatever name resolves to them: those that Deputy is about, and
// the ranges of the mesh and of the cluster as far as the operator declared them. IPv4 ones are also there as IPv6 has them.
func (m *Mesh) Withheld() (out []netip.Prefix) {
	single := func(address netip.Addr) netip.Prefix { return netip.PrefixFrom(address, address.BitLen()) }
	for _, text := range []string{
		"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32",
		// Loopback and the unspecified address are among those that embed an IPv4 address.
		"::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "fe80::/10", "ff00::/8",
	} {
		out = append(out, netip.MustParsePrefix(text))
	}
	for _, address := range metadataAddresses {
		out = append(out, single(address))
	}
	out = append(append(out, m.CIDRs...), m.ClusterCIDRs...)
	for _, prefix := range slices.Clone(out) {
		for _, within := range embedding {
			if prefix.Addr().Is4() && within.internet {
				out = append(out, translated(prefix, within.Prefix, within.at))
			}
		}
	}
	return out
}

// translated returns where IPv6 has an IPv4 range within one of its own, as by NAT64, where there is no IPv4: all of the internet is in it.
func translated(prefix, within netip.Prefix, at int) netip.Prefix {
	raw, of := within.Addr().As16(), prefix.Addr().As4()
	copy(raw[at:], of[:])
	return netip.PrefixFrom(netip.AddrFrom16(raw), 8*at+prefix.Bits())
}

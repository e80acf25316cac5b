package egress

import (
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
)

// Canonical returns the one spelling of a host: lower case, without a trailing dot, IDNA in ASCII.
// What IDNA cannot encode is returned lower-cased, so that two spellings still compare.
func Canonical(host string) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	prefix := ""
	if rest, ok := strings.CutPrefix(host, "*."); ok {
		prefix, host = "*.", rest
	}
	if ascii, err := idna.Punycode.ToASCII(host); err == nil {
		host = ascii
	}
	return prefix + host
}

// Patterns returns every pattern that stands for all of a canonical host: itself, *.parent for each of its parents, and
// *. Policies look them up, so that a list of allowed hosts costs the same at any length.
func Patterns(canonical string) []string {
	out := []string{canonical}
	if IsIP(canonical) {
		return append(out, "*")
	}
	for i := 1; i < len(canonical); i++ {
		if canonical[i] == '.' && canonical[:i] != "*" {
			out = append(out, "*"+canonical[i:])
		}
	}
	if canonical == "*" {
		return out
	}
	return append(out, "*")
}

// Covers says whether a pattern, one of Patterns, stands for a canonical host.
func Covers(pattern, canonical string) bool {
	return pattern == canonical || pattern == "*" || strings.HasPrefix(pattern, "*.") && strings.HasSuffix(canonical, pattern[1:])
}

// IsWildcard says whether a host stands for more than itself.
func IsWildcard(host string) bool { return strings.Contains(host, "*") }

// IsIP says whether a host is an IP address or a CIDR.
func IsIP(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	_, err := netip.ParsePrefix(host)
	return err == nil
}

// InCluster says whether a host lies under the cluster's own DNS domain.
func (m *Mesh) InCluster(host string) bool {
	host = Canonical(host)
	return host == m.ClusterDomain || strings.HasSuffix(host, "."+m.ClusterDomain)
}

// Qualify expands a VirtualService's short host as Istio does: one without a dot names a Service of its namespace.
func (m *Mesh) Qualify(host, namespace string) string {
	host = Canonical(host)
	if host == "" || strings.Contains(host, ".") || IsWildcard(host) {
		return host
	}
	return host + "." + namespace + ".svc." + m.ClusterDomain
}

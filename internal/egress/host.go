package egress

import (
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// maxName and maxLabel are the lengths of the longest name that DNS has, and of its longest label.
const (
	maxName  = 253
	maxLabel = 63
)

// Canonical returns the one spelling of a host: lower case, without a trailing dot, IDNA in ASCII.
// What IDNA cannot encode is returned lower-cased, so that two spellings still compare.
func Canonical(host string) string {
	host = strings.ToLower(host)
	if root, ok := strings.CutSuffix(host, "."); ok && !strings.HasSuffix(root, ".") {
		host = root
	}
	prefix := ""
	if rest, ok := strings.CutPrefix(host, "*."); ok {
		prefix, host = "*.", rest
	}
	for label := range strings.SplitSeq(host, ".") {
		if utf8.RuneCountInString(label) > maxLabel {
			// It is no name in any spelling, and to encode it takes the square of its length.
			return prefix + host
		}
	}
	if ascii, err := idna.Punycode.ToASCII(host); err == nil {
		host = ascii
	}
	return prefix + host
}

// Patterns returns every pattern that stands for all of a canonical host: itself, *.parent for each of its parents that
// DNS can have, and *. Policies look them up, so that a list of allowed hosts costs the same at any length.
func Patterns(canonical string) []string {
	out := []string{canonical}
	if IsIP(canonical) {
		return append(out, "*")
	}
	for i := max(1, len(canonical)-1-maxName); i < len(canonical); i++ {
		if canonical[i] == '.' && canonical[:i] != "*" {
			out = append(out, "*"+canonical[i:])
		}
	}
	if canonical == "*" {
		return out
	}
	return append(out, "*")
}

// PatternsSize returns how many bytes the Patterns of a host take at most, without making them.
func PatternsSize(host string) int { return strings.Count(host, ".") * min(len(host), maxName) }

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

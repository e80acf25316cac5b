package egress

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// FuzzHosts: a host has one spelling, and what a pattern covers is what its labels say.
func FuzzHosts(f *testing.F) {
	for _, seed := range [][2]string{
		{"*.Example.com.", "api.example.com"}, {"*foo.com", "evilfoo.com"}, {"*", "*.com"}, {"bücher.example", "xn--bcher-kva.example"},
		{"*.3.4", "1.2.3.4"}, {"10.0.0.0/8", "10.0.0.1"}, {"2001:DB8::1", "2001:db8::1"}, {"a..", "*.*.b"}, {"com", "example.com"}, {"", "."},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		pattern, host := Canonical(first), Canonical(second)
		assert.Equal(t, pattern, Canonical(pattern), "the spelling of %q stays", first)
		assert.Equal(t, host, Canonical(host), "the spelling of %q stays", second)
		if isASCII(first) {
			assert.Equal(t, pattern, Canonical(strings.ToUpper(first)), "case does not matter")
		}
		if !strings.HasSuffix(first, ".") && first != "" {
			assert.Equal(t, pattern, Canonical(first+"."), "a trailing dot does not matter")
		}
		if !wellFormed(pattern) || !wellFormed(host) || IsIP(host) {
			return
		}
		want := coversByLabel(pattern, host)
		assert.Equal(t, want, Covers(pattern, host), "%q covers %q", pattern, host)
		assert.Equal(t, want, slices.Contains(Patterns(host), pattern), "%q is among the patterns of %q", pattern, host)
	})
}

func isASCII(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r >= 0x80 })
}

// wellFormed says whether a host has labels, of which the first alone may be a wildcard; others are refused wherever they stand.
func wellFormed(host string) bool {
	for i, label := range strings.Split(host, ".") {
		if label == "" || strings.Contains(label, "*") && (i > 0 || label != "*") {
			return false
		}
	}
	return true
}

// coversByLabel is what Covers has to say, label by label from the end, as host.Name.SubsetOf of Istio has it.
func coversByLabel(pattern, host string) bool {
	patterns, labels := strings.Split(pattern, "."), strings.Split(host, ".")
	for len(patterns) > 0 && len(labels) > 0 {
		last := patterns[len(patterns)-1]
		if last == "*" {
			return true
		}
		if last != labels[len(labels)-1] {
			return false
		}
		patterns, labels = patterns[:len(patterns)-1], labels[:len(labels)-1]
	}
	return len(patterns) == 0 && len(labels) == 0
}

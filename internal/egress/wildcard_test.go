package egress_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// TestWide: what is registered by anybody, and what lies over the cluster or the cloud, is resolved by no gateway; what a
// cloud gives out under a name of its own is.
func TestWide(t *testing.T) {
	t.Parallel()
	mesh := egresstest.Mesh()
	mesh.ClusterDomain = "k8s.corp.example.com"
	for reason, wildcards := range map[string][]string{
		"anybody can register": {"*.com", "*.co.uk", "*.test", "*.internal", "*.kawasaki.jp", "*.ck", "*.xn--p1ai"},
		"own domain":           {"*.corp.example.com", "*.example.com", "*.k8s.corp.example.com"},
		"metadata server":      {"*.google.internal", "*.ec2.internal"},
	} {
		for _, wildcard := range wildcards {
			assert.Contains(t, mesh.Wide(wildcard), reason, wildcard)
		}
	}
	for _, wildcard := range []string{
		"*.amazonaws.com", "*.s3.amazonaws.com", "*.s3.eu-central-1.amazonaws.com", "*.blob.core.windows.net", "*.windows.net", "*.github.io",
		"*.example.org", "*.other.example.com", "*.city.kawasaki.jp", "*.example.co.uk", "*.corp.internal",
	} {
		assert.Empty(t, mesh.Wide(wildcard), wildcard)
	}
}

// TestWithheld: whatever is no place to lead a gateway to by its address is none by a name either, however DNS spells it.
func TestWithheld(t *testing.T) {
	t.Parallel()
	mesh := egresstest.Mesh()
	mesh.CIDRs, mesh.ClusterCIDRs = []netip.Prefix{netip.MustParsePrefix("10.8.0.0/16")}, []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12"), netip.MustParsePrefix("fd00:10::/64")}
	ranges := mesh.Withheld()
	withheld := func(address string) bool {
		return slices.ContainsFunc(ranges, func(prefix netip.Prefix) bool { return prefix.Contains(netip.MustParseAddr(address)) })
	}
	for _, address := range []string{
		"127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "169.254.169.254", "100.100.100.200", "168.63.129.16", "224.0.0.1", "239.1.1.1", "255.255.255.255",
		"::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "fe80::1", "febf::1",
		"fd00:ec2::254", "ff02::1",
	} {
		assert.True(t, withheld(address), address)
		assert.NotEmpty(t, mesh.Deputy(address), address)
	}
	for _, address := range []string{"10.8.1.2", "10.96.0.1", "10.111.255.255", "::ffff:10.96.0.1", "64:ff9b::0a60:1", "fd00:10::1"} {
		assert.True(t, withheld(address), address)
	}
	for _, address := range []string{"203.0.113.7", "10.1.2.3", "192.168.1.1", "100.64.0.1", "2001:db8::1", "64:ff9b::cb00:7107", "fd00:11::1", "1.0.0.1"} {
		assert.False(t, withheld(address), address)
		assert.Empty(t, mesh.Deputy(address), address)
	}
	for _, prefix := range ranges {
		assert.Equal(t, prefix, prefix.Masked(), "Envoy takes no other")
	}
}

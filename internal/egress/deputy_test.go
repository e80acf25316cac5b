package egress_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// TestDeputy has each place in the spellings that reach it.
func TestDeputy(t *testing.T) {
	t.Parallel()
	for reason, places := range map[string][]string{
		"own pod": {
			"127.0.0.1", "127.9.9.9", "0.0.0.0", "0.1.2.3", "::1", "::", "[::1]", "::ffff:127.0.0.1", "::127.0.0.1", "::ffff:0:127.0.0.1",
			"64:ff9b::7f00:1", "64:ff9b:1::7f00:1", "2002:7f00:1::", "::1%eth0", "localhost", "LOCALHOST.", "a.b.localhost", "*.localhost", "localhost.localdomain",
		},
		"identity": {
			"169.254.169.254", "169.254.0.1", "::ffff:169.254.169.254", "fe80::1", "fd00:ec2::254", "fd00:0ec2:0:0:0:0:0:254", "64:ff9b::a9fe:a9fe",
			"64:ff9b:1::a9fe:a9fe", "64:ff9b:1:7::a9fe:a9fe", "2002:a9fe:a9fe::", "2002:a9fe:a9fe::1", "2001:0:a9fe:a9fe::",
			"100.100.100.200", "168.63.129.16", "metadata.google.internal", "Metadata.Google.Internal.", "metadata", "instance-data",
		},
		"own domain": {
			"payments.prod.svc.cluster.local", "payments.prod.svc", "203-0-113-9.default.pod.cluster.local", "203-0-113-9.default.pod",
			"*.prod.svc.cluster.local", "cluster.local", "PAYMENTS.prod.SVC.", "*.local", "*.LOCAL.",
		},
		"another spelling": {"127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "169.254.43518", "a.b.1"},
		"one host":         {"224.0.0.1", "ff02::1", "255.255.255.255"},
	} {
		for _, place := range places {
			assert.Contains(t, egresstest.Mesh().Deputy(place), reason, place)
		}
	}
	for _, place := range []string{
		"203.0.113.9", "2001:db8::1", "64:ff9b::cb00:7109", "64:ff9b:1::cb00:7109", "2002:cb00:7109::1", "10.1.2.3", "api.example.com", "*.example.com", "localhost.example.com", "metadata.example.com",
		"svc.example.com", "a1.example.com", "mycluster.local", "*.mycluster.local", "local", "1.example.com",
	} {
		assert.Empty(t, egresstest.Mesh().Deputy(place), place)
	}
}

// TestTheClusterIsNoExternalHost, where the operator says which addresses it has.
func TestTheClusterIsNoExternalHost(t *testing.T) {
	t.Parallel()
	mesh := egresstest.Mesh()
	mesh.ClusterCIDRs = []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00:10::/64")}
	for _, place := range []string{"10.244.1.7", "::ffff:10.244.1.7", "64:ff9b::0af4:0107", "2002:0af4:0107::", "fd00:10::7"} {
		assert.Contains(t, mesh.InClusterCIDRs(place), "clusterCIDRs", place)
		assert.Empty(t, egresstest.Mesh().Deputy(place), place)
	}
	assert.Empty(t, mesh.Deputy("10.245.1.7"))
}

//go:build e2e

package e2e

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/test/proof"
)

const cases = "../routing/cases"

// packetCases are those of test/routing whose calls are made here.
func packetCases() (out []*proof.Case, err error) {
	all, err := proof.Load(cases)
	for _, each := range all {
		if each.Packets {
			out = append(out, each)
		}
	}
	return out, err
}

// casedNames are the hosts of their calls.
func casedNames() ([]string, error) {
	all, err := packetCases()
	out := map[string]bool{}
	for _, each := range all {
		for _, call := range each.Calls {
			out[call.Target().Host] = true
			for _, exit := range call.Exits() {
				if host, _, err := net.SplitHostPort(exit); err == nil && !isAddress(host) {
					out[host] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(out)), err
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// TestCases makes the calls of routing cases: each arrives from the gateway at the server that it must be led to, stays in the
// mesh, or gets nowhere. Cases that bring no gateways of their own have a mesh of one, by each transport.
func TestCases(t *testing.T) {
	all, err := packetCases()
	require.NoError(t, err)
	families := map[string]bool{}
	for _, by := range []string{"", "Plain", "MutualTLS"} {
		t.Run(by, func(t *testing.T) {
			shared.reconfigured(t, oneGateway[by])
			for _, each := range all {
				if slices.Contains(each.By(), by) {
					families[each.Family] = true
					t.Run(each.Family+"/"+each.Name, func(t *testing.T) {
						shared.reconfigured(t, values(each))
						shared.carried(t, each, by)
					})
				}
			}
		})
	}
	t.Logf("families: %v", slices.Sorted(maps.Keys(families)))
}

// oneGateway are the chart's values by which every namespace leaves by the same of the two gateways.
var oneGateway = map[string]map[string]any{
	"Plain": {"gateway": map[string]any{"create": false}, "config": map[string]any{"gateways": []any{map[string]any{
		"name": "plain", "service": plain.service(), "selector": plain.labels, "ports": map[string]any{"http": 80, "tls": 443},
		"transport": "Plain", "wildcards": "Resolve",
	}}}},
	"MutualTLS": {"config": map[string]any{"gateways": []any{}}},
}

// carried applies the manifests of a case and makes its calls.
func (c *cluster) carried(t *testing.T, of *proof.Case, by string) {
	on := c.staged(t, of, by)
	// The next case has names of this one.
	t.Cleanup(func() { on.forgotten(t) })
	rejected, err := c.rejects(t.Context())
	require.NoError(t, err)
	var entries []*unstructured.Unstructured
	for i, object := range on.objects {
		t.Cleanup(func() { c.deleted(t, object) })
		if code := on.refused[i]; code != "" {
			c.refusedBy(t, object, code)
			continue
		}
		c.storedSoon(t, object)
		if object.GetKind() == "ServiceEntry" {
			entries = append(entries, object)
		}
	}
	for _, object := range on.objects {
		if on.removed[proof.NameOf(object)] {
			c.deleted(t, object)
		}
	}
	for _, entry := range entries {
		if !on.removed[proof.NameOf(entry)] {
			c.exitReady(t, entry)
		}
	}
	for _, call := range on.calls {
		on.ends(t, call)
	}
	direct, _, err := c.direct(t.Context())
	require.NoError(t, err)
	require.Empty(t, direct)
	now, err := c.rejects(t.Context())
	require.NoError(t, err)
	require.Equal(t, rejected, now, "a proxy rejected its configuration")
}

package egress_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

const shared = "shared.example.com"

// at is an entry of the shared host, in the order of creation.
func at(second int64, namespace, gateway string, exportTo ...string) *egress.Entry {
	out := egresstest.Sealed(shared)
	out.Namespace, out.Gateway, out.ExportTo, out.Created = namespace, gateway, exportTo, time.Unix(second, 0)
	return out
}

func nameOf(entry *egress.Entry) string {
	if entry == nil {
		return "nobody"
	}
	return entry.Namespace
}

func TestOwnerIsTheOldestOfTheGatewaysOfANamespace(t *testing.T) {
	t.Parallel()
	apart := egresstest.TwoGateways()
	apart.Gateways[0].Service = "pci-egress.cards-egress.svc.cluster.local"
	view := &egresstest.Cluster{Known: []*egress.Entry{at(3, "late", "default"), at(2, "cards", "pci"), at(1, "bare", "")}}
	for name, tc := range map[string]struct {
		mesh      *egress.Mesh
		namespace string
		want      string
	}{
		"one gateway":                   {egresstest.Mesh(), "istio-system", "late"},
		"two gateways in one namespace": {egresstest.TwoGateways(), "istio-system", "cards"},
		"apart, the one":                {apart, "istio-system", "late"},
		"apart, the other":              {apart, "cards-egress", "cards"},
		"a namespace without any":       {apart, "payments", "nobody"},
	} {
		assert.Equal(t, tc.want, nameOf(tc.mesh.Owner(view, shared, tc.namespace)), name)
	}
}

// TestServingIsIstiosChoice; test/routing holds the same cases against Istio's own generator (which takes no name beside "*").
func TestServingIsIstiosChoice(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		entries []*egress.Entry
		want    string
	}{
		"nothing":                         {nil, "nobody"},
		"the oldest":                      {[]*egress.Entry{at(1, "b", "x"), at(2, "a", "x")}, "b"},
		"one's own before it":             {[]*egress.Entry{at(1, "a", "x"), at(2, "client", "x")}, "client"},
		"one's own, private, before it":   {[]*egress.Entry{at(1, "a", "x"), at(2, "client", "x", ".")}, "client"},
		"one that is exported by name":    {[]*egress.Entry{at(1, "a", "x"), at(2, "b", "x", "client")}, "b"},
		"the oldest of those":             {[]*egress.Entry{at(1, "b", "x", "client", "other"), at(2, "a", "x", "client")}, "b"},
		"one's own before those":          {[]*egress.Entry{at(1, "b", "x", "client"), at(2, "client", "x")}, "client"},
		"no other's private one":          {[]*egress.Entry{at(1, "a", "x", "."), at(2, "b", "x")}, "b"},
		"none that is exported to no one": {[]*egress.Entry{at(1, "client", "x", "~"), at(2, "b", "x", "*")}, "b"},
	} {
		assert.Equal(t, tc.want, nameOf(egress.Serving(tc.entries, "client")), name)
	}
}

func TestThroughIsOfTheGatewayAndSeen(t *testing.T) {
	t.Parallel()
	entries := []*egress.Entry{at(1, "a", "default"), at(2, "b", "pci", "."), at(3, "c", "pci")}
	assert.Equal(t, "c", nameOf(egress.Through(entries, "client", "pci")))
	assert.Equal(t, "b", nameOf(egress.Through(entries, "b", "pci")))
	assert.Equal(t, "a", nameOf(egress.Through(entries, "client", "default")))
	assert.Equal(t, "nobody", nameOf(egress.Through(entries, "client", "")))
}

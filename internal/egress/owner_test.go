package egress_test

import (
	"strconv"
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

// TestWhatANamespaceWritesIsForWhoeverCallsByItsEntries, itself or others alone.
func TestWhatANamespaceWritesIsForWhoeverCallsByItsEntries(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		entries []*egress.Entry
		want    string
	}{
		"nothing":                              {nil, "nobody"},
		"its own":                              {[]*egress.Entry{at(1, "a", "x"), at(2, "client", "x")}, "client"},
		"another's":                            {[]*egress.Entry{at(1, "a", "x")}, "a"},
		"another's that it does not see":       {[]*egress.Entry{at(1, "a", "x", "b")}, "nobody"},
		"its own, for others alone":            {[]*egress.Entry{at(1, "client", "x", "b")}, "client"},
		"its own, for nobody":                  {[]*egress.Entry{at(1, "client", "x", "~")}, "nobody"},
		"its own, for others, before others'":  {[]*egress.Entry{at(1, "a", "x", "client"), at(2, "client", "x", "b")}, "client"},
		"others', past every gateway":          {[]*egress.Entry{at(1, "a", "", "client"), at(2, "client", "x", "b")}, "a"},
		"its own, past every gateway":          {[]*egress.Entry{at(1, "client", "", "b")}, "client"},
		"others' before its own of no gateway": {[]*egress.Entry{at(1, "client", "", "b"), at(2, "a", "x", "client")}, "a"},
	} {
		assert.Equal(t, tc.want, nameOf(egress.Concerned(tc.entries, "client")), name)
	}
}

func TestThroughIsOfTheGatewayAndSeen(t *testing.T) {
	t.Parallel()
	entries := []*egress.Entry{at(1, "a", "default"), at(2, "b", "pci", "."), at(3, "c", "pci")}
	assert.Equal(t, "c", nameOf(egress.Through(entries, "client", "pci")))
	assert.Equal(t, "b", nameOf(egress.Through(entries, "b", "pci")))
	assert.Equal(t, "a", nameOf(egress.Through(entries, "client", "default")))
	assert.Equal(t, "nobody", nameOf(egress.Through(entries, "client", "")))
	forOthers := []*egress.Entry{at(1, "a", "pci", "b"), at(2, "client", "pci", "b")}
	assert.Equal(t, "client", nameOf(egress.Through(forOthers, "client", "pci")))
	assert.Equal(t, "nobody", nameOf(egress.Through([]*egress.Entry{at(1, "client", "pci", "~")}, "client", "pci")))
}

// TestIstioJoinsEntriesThatAreAlike; test/routing holds the same against Istio's own generator.
func TestIstioJoinsEntriesThatAreAlike(t *testing.T) {
	t.Parallel()
	of := func(ports []egress.Port, change func(*egress.Entry)) *egress.Entry {
		out := &egress.Entry{Namespace: "client", Resolution: "DNS", Labels: map[string]string{"app": "a"}, ExportTo: []string{"client", "y"}, Ports: ports}
		change(out)
		return out
	}
	older := of(on("443", "TLS"), func(*egress.Entry) {})
	for name, tc := range map[string]struct {
		change func(*egress.Entry)
		want   uint32
	}{
		"alike":              {func(e *egress.Entry) { e.ExportTo = []string{"y", "client"} }, 0},
		"other labels":       {func(e *egress.Entry) { e.Labels = nil }, 80},
		"another resolution": {func(e *egress.Entry) { e.Resolution = "DNS_ROUND_ROBIN" }, 80},
		"exported to others": {func(e *egress.Entry) { e.ExportTo = nil }, 80},
		"no port of its own": {func(e *egress.Entry) { e.Labels, e.Ports = nil, e.Ports[1:] }, 0},
	} {
		assert.Equal(t, tc.want, egress.Hidden(older, of(on("80 443", "TLS"), tc.change)), name)
	}
	public, private := of(on("443", "TLS"), func(e *egress.Entry) { e.ExportTo = nil }), of(on("80", "HTTP"), func(e *egress.Entry) { e.ExportTo = []string{"."} })
	assert.Equal(t, uint32(443), egress.Hidden(public, private), "a private one is taken before an older public one")
}

// TestServingsAreWhatServingIs of each namespace.
func TestServingsAreWhatServingIs(t *testing.T) {
	t.Parallel()
	exports := [][]string{nil, {"*"}, {"."}, {"~"}, {"a"}, {"b", "."}, {"a", "c"}, {"c", "*"}, {"~", "a"}}
	namespaces := []string{"", "a", "b", "c", "d"}
	for i := range 3000 {
		var entries []*egress.Entry
		for n := i; n > 0; n /= 17 {
			entries = append(entries, &egress.Entry{Namespace: namespaces[1+n%3], Name: strconv.Itoa(n), ExportTo: exports[n%len(exports)]})
		}
		got := egress.Servings(entries, namespaces)
		for _, namespace := range namespaces {
			assert.Same(t, egress.Serving(entries, namespace), got[namespace], "%d %s", i, namespace)
		}
	}
}

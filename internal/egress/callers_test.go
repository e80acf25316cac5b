package egress_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// TestCallersOfAPort are the clients of the entries that define it.
func TestCallersOfAPort(t *testing.T) {
	t.Parallel()
	mesh := egresstest.MutualTLS()
	leg := mesh.Gateways[0].Leg()
	entry := func(namespace string, exportTo []string, accounts map[string][]string, ports ...egress.Port) *egress.Entry {
		out := egresstest.Sealed(shared, ports...)
		out.Namespace, out.Transport, out.ExportTo, out.Accounts = namespace, egress.MutualTLS, exportTo, accounts
		out.Created = time.Unix(int64(len(namespace)), 0)
		return out
	}
	http, tls := egress.Port{Number: 80, Name: "http", Protocol: "HTTP"}, egress.Port{Number: 443, Name: "tls", Protocol: "TLS"}
	own := []string{"."}
	all := map[string][]string{}
	for name, tc := range map[string]struct {
		entries []*egress.Entry
		port    uint32
		want    egress.Callers
	}{
		"its own namespace":          {[]*egress.Entry{entry("a", own, nil, http)}, 80, egress.Callers{Of: map[string][]string{"a": nil}}},
		"nobody for another port":    {[]*egress.Entry{entry("a", own, nil, http)}, 443, egress.Callers{Of: all}},
		"each its own port":          {[]*egress.Entry{entry("a", own, nil, http), entry("bb", own, nil, tls)}, 443, egress.Callers{Of: map[string][]string{"bb": nil}}},
		"both":                       {[]*egress.Entry{entry("a", own, nil, http), entry("bb", own, nil, http)}, 80, egress.Callers{Of: map[string][]string{"a": nil, "bb": nil}}},
		"exported by name":           {[]*egress.Entry{entry("a", []string{".", "c", "exempt"}, nil, http)}, 80, egress.Callers{Of: map[string][]string{"a": nil, "c": nil}}},
		"exported to everybody":      {[]*egress.Entry{entry("a", nil, nil, http), entry("bb", own, nil, http)}, 80, egress.Callers{Anyone: true}},
		"exported to nobody":         {[]*egress.Entry{entry("a", []string{"~"}, nil, http)}, 80, egress.Callers{Of: map[string][]string{"a": nil}}},
		"narrowed":                   {[]*egress.Entry{entry("a", own, map[string][]string{"a": {"x"}, "c": {"y"}}, http)}, 80, egress.Callers{Of: map[string][]string{"a": {"x"}}}},
		"narrowed, to everybody":     {[]*egress.Entry{entry("a", nil, map[string][]string{"c": {"y"}, "exempt": {"z"}}, http)}, 80, egress.Callers{Of: map[string][]string{"c": {"y"}}}},
		"narrowed twice":             {[]*egress.Entry{entry("a", own, map[string][]string{"a": {"x"}}, http), entry("a", own, map[string][]string{"a": {"y", "x"}}, http)}, 80, egress.Callers{Of: map[string][]string{"a": {"x", "y"}}}},
		"narrowed by one alone":      {[]*egress.Entry{entry("a", own, nil, http), entry("a", own, map[string][]string{"a": {"x"}}, http)}, 80, egress.Callers{Of: map[string][]string{"a": nil}}},
		"narrowed by the older only": {[]*egress.Entry{entry("a", own, map[string][]string{"a": {"x"}}, http), entry("a", own, nil, http)}, 80, egress.Callers{Of: map[string][]string{"a": nil}}},
	} {
		exit := mesh.ExitOf(tc.entries, mesh.Gateways[0].Namespace(), func(string) *egress.Rule { return nil })
		got := exit.Callers(tc.port, leg, func(namespace string) bool { return namespace != "exempt" })
		assert.Equal(t, tc.want, got, name)
		assert.Equal(t, tc.want.Anyone, got.Admits("stranger", "x"), name)
	}
}

// TestWhoIsACaller: any identity, all service accounts of a namespace, or some of them.
func TestWhoIsACaller(t *testing.T) {
	t.Parallel()
	some := egress.Callers{Of: map[string][]string{"all": nil, "some": {"x"}, "none": {}}}
	for caller, want := range map[[2]string]bool{{"all", "y"}: true, {"some", "x"}: true, {"some", "y"}: false, {"none", "x"}: false, {"other", "x"}: false} {
		assert.Equal(t, want, some.Admits(caller[0], caller[1]), caller)
		assert.True(t, egress.Callers{Anyone: true}.Admits(caller[0], caller[1]), caller)
	}
}

// TestWhoContradictsHasNoPart, and so opens no port.
func TestWhoContradictsHasNoPart(t *testing.T) {
	t.Parallel()
	mesh := egresstest.MutualTLS()
	first, second := egresstest.Sealed(shared, egress.Port{Number: 443, Name: "t", Protocol: "TLS"}), egresstest.Sealed(shared, egress.Port{Number: 443, Name: "t", Protocol: "TCP"})
	second.Namespace, second.Created = "late", time.Unix(2000, 0)
	for _, entry := range []*egress.Entry{first, second} {
		entry.Transport, entry.ExportTo = egress.MutualTLS, []string{"."}
	}
	exit := mesh.ExitOf([]*egress.Entry{first, second}, mesh.Gateways[0].Namespace(), func(string) *egress.Rule { return nil })
	assert.False(t, exit.Callers(443, mesh.Gateways[0].Leg(), func(string) bool { return true }).Admits("late", "x"))
	assert.True(t, exit.Admits(first, first.Definition))
	assert.False(t, exit.Admits(second, second.Definition))
}

// TestWhoMovesCallsByBothLegs, until it has moved.
func TestWhoMovesCallsByBothLegs(t *testing.T) {
	t.Parallel()
	mesh := egresstest.MutualTLS()
	entry := egresstest.Sealed(shared, egress.Port{Number: 443, Name: "t", Protocol: "TLS"})
	entry.Moving = mesh.Gateways[0].Leg()
	exit := mesh.ExitOf([]*egress.Entry{entry}, mesh.Gateways[0].Namespace(), func(string) *egress.Rule { return nil })
	assert.True(t, exit.Serves(entry.Leg()) && exit.Serves(entry.Moving))
	assert.True(t, exit.Callers(443, entry.Moving, func(string) bool { return true }).Anyone)
	assert.Len(t, exit.By(entry.Moving).Ports, 1)
	assert.Empty(t, exit.By(egress.Leg{Gateway: "other", Transport: egress.Plain}).Ports)
}

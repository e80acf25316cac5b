package egress_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// openPorts are those that an exit serves.
func openPorts(exit *egress.Exit) (out []uint32) {
	for _, port := range exit.Open().Ports {
		out = append(out, port.Number)
	}
	return out
}

// TestASuspendedEntryOpensNothing, and its hosts are its own all the same.
func TestASuspendedEntryOpensNothing(t *testing.T) {
	t.Parallel()
	mesh := egresstest.Mesh()
	leg := mesh.Gateways[0].Leg()
	first, second := defines(1, "first", ported(on("80", "HTTP"), on("443", "TLS"))), defines(2, "second", ported(on("80", "HTTP")))
	first.Suspended = true
	exit := mesh.ExitOf([]*egress.Entry{first, second}, "istio-system", noRules)
	assert.Equal(t, []uint32{80}, openPorts(exit))
	assert.Len(t, exit.By(leg).Ports, 1)
	assert.Equal(t, first, exit.Owner())
	assert.True(t, exit.Covers(second.Definition))
	assert.False(t, exit.Covers(first.Definition))
	static := ported(on("443", "TLS"))
	static.Resolution, static.Endpoints = "STATIC", []egress.Endpoint{{Address: "203.0.113.1"}}
	assert.Equal(t, first, exit.Against(static.Define()).Owner, "nobody defines it otherwise meanwhile")

	second.Suspended = true
	exit = mesh.ExitOf([]*egress.Entry{first, second}, "istio-system", noRules)
	require.NotNil(t, exit)
	assert.Empty(t, openPorts(exit))
	assert.False(t, exit.Serves(leg), "no call comes")
}

// TestASuspendedEntryHasNoCallers where the gateway knows who calls.
func TestASuspendedEntryHasNoCallers(t *testing.T) {
	t.Parallel()
	mesh := egresstest.MutualTLS()
	leg := mesh.Gateways[0].Leg()
	entry := func(second int64, namespace string) *egress.Entry {
		out := defines(second, "e", ported(on("80", "HTTP")))
		out.Namespace, out.Transport, out.ExportTo = namespace, egress.MutualTLS, []string{"."}
		return out
	}
	a, b := entry(1, "a"), entry(2, "b")
	a.Suspended = true
	exit := mesh.ExitOf([]*egress.Entry{a, b}, "istio-system", noRules)
	everywhere := func(string) bool { return true }
	assert.Equal(t, egress.Callers{Of: map[string][]string{"b": nil}}, exit.Callers(80, leg, everywhere))
	assert.False(t, exit.Admits(a, a.Definition))
	assert.True(t, exit.Admits(b, b.Definition))
}

// TestAnExitIsAnotherOnceAnEntryIsSuspended, where that closes a port; and it does not grow by one more entry.
func TestAnExitIsAnotherOnceAnEntryIsSuspended(t *testing.T) {
	t.Parallel()
	mesh := egresstest.Mesh()
	spec := ported(on("80", "HTTP"))
	open := mesh.ExitOf([]*egress.Entry{defines(1, "first", spec)}, "istio-system", noRules)
	suspended := defines(1, "first", spec)
	suspended.Suspended = true
	shut := mesh.ExitOf([]*egress.Entry{suspended}, "istio-system", noRules)
	leads, _ := open.SameAs(shut)
	assert.False(t, leads)
	_, grown := shut.With(defines(2, "second", spec), nil)
	assert.False(t, grown)
	second := defines(2, "second", spec)
	second.Suspended = true
	_, grown = open.With(second, nil)
	assert.False(t, grown)
}

package registry_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/registry"
)

const byMutualTLS = `{hosts: [api.example.com], exportTo: [".", "b"], location: MESH_INTERNAL, resolution: DNS,
	ports: [{number: 443, name: tls, protocol: TLS}],
	endpoints: [{address: istio-egressgateway.istio-system.svc.cluster.local}]}`

// TestWhoCallsAHost: service accounts of the namespaces that an entry reaches make its exit another.
func TestWhoCallsAHost(t *testing.T) {
	t.Parallel()
	r := registry.New(egresstest.MutualTLS())
	for _, name := range []string{"a", "b", "c"} {
		r.PutNamespace(name, nil)
	}
	in := object(t, "ServiceEntry", "a", "e", byMutualTLS, 0)
	in.SetAnnotations(map[string]string{"egress-governor.io/intent": `[{"now": "MESH_INTERNAL", "paths": ["spec.location"]}]`})
	put(t, r, in)
	require.Len(t, r.Entries("api.example.com"), 1)
	entry := r.Entries("api.example.com")[0]
	assert.Equal(t, egress.Leg{Gateway: "default", Transport: egress.MutualTLS}, entry.Leg())
	assert.True(t, r.Uses(entry.Leg()))
	var heard []registry.Change
	r.OnChange(func(change registry.Change) { heard = append(heard, change) })
	heard = nil
	told := func(namespace string) bool {
		before := len(heard)
		r.PutAccount(namespace, "x")
		r.PutAccount(namespace, "x")
		return len(heard) == before+1 && assert.Equal(t, []string{"api.example.com"}, heard[before].Callers)
	}
	assert.True(t, told("a"))
	assert.True(t, told("b"))
	assert.False(t, told("c"), "it does not see the entry")
	assert.Equal(t, []string{"x"}, r.ServiceAccounts("b"))
	heard = nil
	r.DeleteAccount("b", "x")
	require.Len(t, heard, 1)
	assert.Empty(t, r.ServiceAccounts("b"))

	heard = nil
	r.DeleteNamespace("b")
	require.Len(t, heard, 1, "it is no client any more")
	assert.Equal(t, []string{"api.example.com"}, heard[0].Callers)
	r.DeleteEntry("a", "e")
	assert.False(t, r.Uses(entry.Leg()))
	heard = nil
	assert.False(t, told("b"))
}

// TestANamespaceThatLeavesByAnotherGateway makes its entries move.
func TestANamespaceThatLeavesByAnotherGateway(t *testing.T) {
	t.Parallel()
	r := registry.New(egresstest.TwoGateways())
	r.PutNamespace("a", nil)
	put(t, r, object(t, "ServiceEntry", "a", "e", sealed, 0))
	assert.Equal(t, egress.Leg{}, r.Entries("api.example.com")[0].Moving)
	var heard []registry.Change
	r.OnChange(func(change registry.Change) { heard = append(heard, change) })
	heard = nil
	r.PutNamespace("a", map[string]string{"egress": "pci"})
	require.Len(t, heard, 1)
	assert.Contains(t, heard[0].Hosts, "api.example.com")
	moving := r.Entries("api.example.com")[0]
	assert.Equal(t, egress.Leg{Gateway: "pci", Transport: egress.Plain}, moving.Moving)
	exit := r.Exit("api.example.com", "istio-system")
	assert.True(t, exit.Serves(moving.Leg()) && exit.Serves(moving.Moving))
	r.PutNamespace("a", nil)
	assert.Equal(t, egress.Leg{}, r.Entries("api.example.com")[0].Moving)
	assert.True(t, r.Uses(moving.Leg()))
	r.DeleteEntry("a", "e")
	assert.False(t, r.Uses(moving.Leg()))
}

// TestNarrowedCallers are those of the annotation, whoever sees the entry.
func TestNarrowedCallers(t *testing.T) {
	t.Parallel()
	r := registry.New(egresstest.MutualTLS())
	r.PutNamespace("a", nil)
	in := object(t, "ServiceEntry", "a", "e", strings.Replace(byMutualTLS, `exportTo: [".", "b"], `, "", 1), 0)
	in.SetAnnotations(map[string]string{
		"egress-governor.io/intent": `[{"now": "MESH_INTERNAL", "paths": ["spec.location"]}]`, "egress-governor.io/service-accounts": "shop/till",
	})
	put(t, r, in)
	var heard []registry.Change
	r.OnChange(func(change registry.Change) { heard = append(heard, change) })
	heard = nil
	r.PutNamespace("shop", nil)
	require.Len(t, heard, 1, "it is a client from now on")
	assert.Equal(t, []string{"api.example.com"}, heard[0].Callers)
	heard = nil
	r.DeleteNamespace("shop")
	require.Len(t, heard, 1, "and is no more")
}

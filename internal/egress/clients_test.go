package egress_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// TestClientsAreWhomAnExportToReaches, of the governed namespaces; the object's own comes first.
func TestClientsAreWhomAnExportToReaches(t *testing.T) {
	t.Parallel()
	view := &egresstest.Cluster{Namespaces: map[string]map[string]string{"billing": nil, "payments": nil, "shop": nil}}
	for name, tc := range map[string]struct {
		exportTo, want []string
		all            bool
	}{
		"left out":             {nil, []string{"payments"}, true},
		"everybody":            {[]string{"*"}, []string{"payments"}, true},
		"everybody, and names": {[]string{"shop", "*"}, []string{"payments"}, true},
		"its own":              {[]string{"."}, []string{"payments"}, false},
		"its own twice":        {[]string{".", "payments"}, []string{"payments"}, false},
		"nobody":               {[]string{"~"}, nil, false},
		"others":               {[]string{"shop", "billing"}, []string{"billing", "shop"}, false},
		"its own and others":   {[]string{"shop", ".", "billing"}, []string{"payments", "billing", "shop"}, false},
		"one not governed":     {[]string{"kube-system", "shop", "."}, []string{"payments", "shop"}, false},
	} {
		facts := egress.Facts{}
		facts.Export(tc.exportTo, "payments", nil, view)
		assert.ElementsMatch(t, tc.want, facts.Clients, name)
		if len(tc.want) > 0 {
			assert.Equal(t, tc.want, facts.Clients, name)
		}
		assert.Equal(t, tc.all, facts.AllClients, name)
	}
	unknown := egress.Facts{}
	unknown.Export([]string{"."}, "new", nil, view)
	assert.Equal(t, []string{"new"}, unknown.Clients, "one that the view does not know yet is governed all the same")
}

// TestRoutesHaveClientsWhereSidecarsApplyThem, and none where gateways alone do.
func TestRoutesHaveClientsWhereSidecarsApplyThem(t *testing.T) {
	t.Parallel()
	const lead = ` hosts: [sealed.test], http: [{route: [{destination: {host: sealed.test}}]}]}`
	for spec, want := range map[string]struct {
		clients int
		all     bool
	}{
		`{` + lead:                                       {1, true},
		`{gateways: [own, mesh],` + lead:                 {1, true},
		`{exportTo: ["."],` + lead:                       {1, false},
		`{gateways: [own],` + lead:                       {0, false},
		`{gateways: [own], exportTo: [payments],` + lead: {0, false},
	} {
		facts := routeFacts(t, spec)
		assert.Len(t, facts.Clients, want.clients, spec)
		assert.Equal(t, want.all, facts.AllClients, spec)
	}
}

func TestNamespacesAreFoundByName(t *testing.T) {
	t.Parallel()
	known := egress.NewNamespaces(map[string]map[string]string{"b": {"team": "b"}, "a": nil, "c": nil})
	require.Equal(t, 3, known.Len())
	at, found := known.Index("b")
	require.True(t, found)
	name, labels := known.At(at)
	assert.Equal(t, "b", name)
	assert.Equal(t, map[string]string{"team": "b"}, labels)
	first, _ := known.At(0)
	assert.Equal(t, "a", first, "sorted")
	_, found = known.Index("bb")
	assert.False(t, found)
	_, found = (&egress.Namespaces{}).Index("a")
	assert.False(t, found)
}

package registry_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// TestRulesOfAHost: each namespace that has some is named once, wildcards name other hosts; of several the one with the policy says how
// gateways are called, and which were written anew is known of each.
func TestRulesOfAHost(t *testing.T) {
	t.Parallel()
	r := registry.New(egresstest.MutualTLS())
	put := func(namespace, name, host string, created int64, policy map[string]any) {
		r.PutRule(&egress.Rule{Namespace: namespace, Name: name, Host: host, Created: time.Unix(created, 0), Policy: policy, ByMutualTLS: policy != nil})
	}
	put("b", "subsets", "db.example.com", 1, nil)
	put("b", "policy", "db.example.com", 2, map[string]any{"connectionPool": map[string]any{}})
	put("a", "r", "db.example.com", 3, nil)
	put("c", "wild", "*.example.com", 4, nil)
	assert.Equal(t, []string{"a", "b"}, r.Ruled("db.example.com"))
	assert.Equal(t, []string{"c"}, r.Ruled("*.example.com"))
	rule := r.Rule("b", "db.example.com")
	require.NotNil(t, rule)
	assert.Equal(t, "policy", rule.Name)
	at := r.RulesAt("b", "db.example.com")
	require.Len(t, at, 2)
	assert.Equal(t, []any{"subsets", false, "policy", true}, []any{at[0].Name, at[0].ByMutualTLS, at[1].Name, at[1].ByMutualTLS})
	assert.Empty(t, r.RulesAt("c", "db.example.com"))
	r.DeleteRule("a", "r")
	assert.Equal(t, []string{"b"}, r.Ruled("db.example.com"))
}

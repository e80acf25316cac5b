package routing

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"istio.io/istio/pilot/pkg/simulation"
)

// TestNoMoveLeadsStraightOut walks the calls of an entry in every state of the cluster while its namespace moves to
// another gateway, or its gateway to another transport (test/integration, moving_test.go): each ends at the host by a
// gateway, or nowhere; and where it is to work throughout, by a gateway. While it is adopted, or goes back, it leads straight out on one
// side, and works throughout.
func TestNoMoveLeadsStraightOut(t *testing.T) {
	const host = "moving.example.com"
	for name, move := range map[string]struct {
		namespace string
		// throughout are the calls that work in every state.
		throughout []string
		// straight is how many of its ends lead straight out.
		straight int
	}{
		"to-vault":      {"moving", []string{"http", "tls"}, 0},
		"from-vault":    {"moving", []string{"http", "tls"}, 0},
		"to-mutual-tls": {"changing", nil, 0},
		"to-plain":      {"changing", nil, 0},
		"adopted":       {"adopting", []string{"http", "tls"}, 1},
		"unsealed":      {"adopting", []string{"http", "tls"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			states, err := filepath.Glob(filepath.Join("..", "..", ".run", "moves", name, "*.yaml"))
			require.NoError(t, err)
			require.Greater(t, len(states), 5, "run make test, which records them first")
			for scheme, want := range map[string]expectation{
				"http": from(move.namespace, http(host, 80, host+":80")), "tls": from(move.namespace, tls(host, 443, host+":443")),
			} {
				var works []bool
				turns, last := 0, -1
				for _, state := range states {
					raw, err := os.ReadFile(state)
					require.NoError(t, err)
					m := newMesh(t, string(raw))
					if now := straightIn(t, m, want); move.straight > 0 && now > 0 {
						works = append(works, true)
						turns, last = turns+map[bool]int{true: 1}[last == 0], now
					} else {
						works = append(works, worksIn(t, m, want, filepath.Base(state)))
						turns, last = turns+map[bool]int{true: 1}[last == 1], 0
					}
				}
				assert.Equal(t, move.straight, turns, "it turns once")
				assert.True(t, works[0] && works[len(works)-1], "%s works before and after: %v", scheme, works)
				if slices.Contains(move.throughout, scheme) {
					assert.NotContains(t, works, false, "%s works throughout: %v", scheme, works)
				}
				t.Logf("%s %s: %v", name, scheme, works)
			}
		})
	}
}

// worksIn says whether a call ends at its exit, and requires that it ends nowhere else.
func worksIn(t *testing.T, m *mesh, want expectation, state string) bool {
	t.Helper()
	client := m.sidecar(t, want.namespace)
	found, err := clusters(t, client, want.call, want.port, simulation.CallModeOutbound)
	if err != nil {
		return false
	}
	for _, name := range found {
		gateway := gatewayOf(t, m, slices.Compact(addresses(client, name)), want.tls || want.raw)
		if gateway == nil {
			assert.Empty(t, addresses(client, name), "%s: %s leads straight out", state, name)
			return false
		}
		arrived := want.call
		port := map[bool]int{false: 8080, true: 8443}[want.tls || want.raw]
		if context := spoken(t, client, name); context != nil {
			namespace := strings.Split(addresses(client, name)[0], ".")[1]
			if !slices.ContainsFunc(names(context), func(name string) bool { return strings.HasPrefix(name, "spiffe://cluster.local/ns/"+namespace+"/sa/") }) {
				return false // whoever answers is not taken for the gateway
			}
			arrived.mutual = &mutual{"spiffe://cluster.local/ns/" + want.namespace + "/sa/default", context.Sni}
		}
		at, err := clusters(t, gateway, arrived, port, simulation.CallModeGateway)
		if err != nil || len(at) == 0 || slices.Equal(at, []string{"BlackHoleCluster"}) {
			return false
		}
		for _, exit := range at {
			assert.Equal(t, want.exit, addresses(gateway, exit), "%s: %s", state, exit)
		}
	}
	return len(found) > 0
}

// straightIn returns 1 where a call leads straight out as the app speaks, 0 where it does not.
func straightIn(t *testing.T, m *mesh, want expectation) int {
	t.Helper()
	client := m.sidecar(t, want.namespace)
	found, err := clusters(t, client, want.call, want.port, simulation.CallModeOutbound)
	if err != nil || len(found) == 0 || slices.ContainsFunc(found, func(name string) bool {
		return !slices.Equal(slices.Compact(addresses(client, name)), want.exit) || spoken(t, client, name) != nil
	}) {
		return 0
	}
	return 1
}

// gatewayOf returns the proxy of the gateway that is the one address, nil where it is none.
func gatewayOf(t *testing.T, m *mesh, addresses []string, tls bool) *proxy {
	t.Helper()
	port := map[bool]int{false: 80, true: 443}[tls]
	switch {
	case slices.Equal(addresses, []string{fmt.Sprintf("%s:%d", gatewayHost, port)}):
		return m.gateway(t, "")
	case slices.Equal(addresses, []string{fmt.Sprintf("%s:%d", vaultHost, port)}):
		return m.routerOf(t, "vault-egress", vaultGateway)
	}
	return nil
}

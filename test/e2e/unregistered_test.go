//go:build e2e

package e2e

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestUnregisteredHostsAreBlocked on a mesh that lets everything out: neither a host that no entry names nor a port that an entry
// leaves out is reached from governed namespaces.
func TestUnregisteredHostsAreBlocked(t *testing.T) {
	closes := shared.meshed(t, func(mesh map[string]any) { mesh["outboundTrafficPolicy"] = map[string]any{"mode": "ALLOW_ANY"} })
	shared.reconfigured(t, map[string]any{"config": map[string]any{"unregistered": "Block"}})
	t.Cleanup(func() {
		// Namespaces stay closed until the mesh is.
		closes()
		shared.fails(t, exempt, web("evil.test"))
	})
	unnamed := []order{web("evil.test"), webs("evil.test"), echo("evil.test"), {Protocol: "http", Host: "evil.test", Port: 8080}}
	for _, o := range unnamed {
		// The mesh is open, or nothing is shown.
		require.NoError(t, until(t.Context(), startWithin, func(ctx context.Context) (bool, error) {
			got, err := shared.call(ctx, exempt, o)
			return err == nil && got.Error == "", nil
		}), o)
	}
	for _, from := range []string{appA, vaultA} {
		// A pod's address is nobody's entry either, and its call is none that the outside counts.
		shared.becomes(t, from, order{Protocol: "http", Host: shared.apps[stranger+"/app"], Port: appPort}, "EOF|connection reset by peer|502 Bad Gateway")
		shared.applied(t, from, entry("safe", safe+"'], exportTo: ['.", withPorts(webOnly)))
		for _, o := range safeCalls[:2] {
			shared.arrives(t, from, o, o.Port, "")
		}
		for _, o := range append(unnamed, echo(safe), order{Protocol: "http", Host: safe, Port: 8080}) {
			shared.refused(t, from, o)
		}
	}
}

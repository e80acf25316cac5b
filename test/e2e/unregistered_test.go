//go:build e2e

package e2e

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestUnregisteredHostsAreBlocked on a mesh that lets everything out: neither a host that no entry names nor a port that an entry
// leaves out is reached from governed namespaces.
func TestUnregisteredHostsAreBlocked(t *testing.T) {
	shared.meshed(t, func(mesh map[string]any) { mesh["outboundTrafficPolicy"] = map[string]any{"mode": "ALLOW_ANY"} })
	shared.reconfigured(t, map[string]any{"config": map[string]any{"unregistered": "Block"}})
	unnamed := []order{web("evil.test"), webs("evil.test"), echo("evil.test"), {Protocol: "http", Host: "evil.test", Port: 8080}}
	for _, o := range unnamed {
		// The mesh is open, or nothing is shown.
		require.NoError(t, until(t.Context(), startWithin, func(ctx context.Context) (bool, error) {
			got, err := shared.call(ctx, exempt, o)
			return err == nil && got.Error == "", nil
		}), o)
	}
	for _, from := range []string{appA, vaultA} {
		require.NoError(t, until(t.Context(), startWithin, func(ctx context.Context) (bool, error) {
			sidecar := &networkingv1.Sidecar{}
			err := shared.Get(ctx, client.ObjectKey{Namespace: from, Name: release}, sidecar)
			return err == nil, client.IgnoreNotFound(err)
		}), from)
		shared.applied(t, from, entry("safe", safe+"'], exportTo: ['.", withPorts(webOnly)))
		for _, o := range safeCalls[:2] {
			shared.arrives(t, from, o, o.Port, "")
		}
		for _, o := range append(unnamed, echo(safe), order{Protocol: "http", Host: safe, Port: 8080}) {
			shared.refused(t, from, o)
		}
	}
}

//go:build e2e

package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestPodsWithoutASidecar go straight out where nothing but Istio holds them, and nowhere under the NetworkPolicies that are kept.
// Calls with a sidecar leave by the gateway all the same.
func TestPodsWithoutASidecar(t *testing.T) {
	for _, from := range []string{appA, vaultA} {
		t.Run(wayOf(from).name, func(t *testing.T) {
			bare := podOf(from, "bare", probeImage(), "app")
			bare.Labels["sidecar.istio.io/inject"] = "false"
			require.ErrorContains(t, shared.Create(t.Context(), bare.DeepCopy()), "metadata.labels[sidecar.istio.io/inject]", "what the guard keeps out")
			require.NoError(t, shared.glass.Create(t.Context(), bare))
			t.Cleanup(func() { shared.gone(t, bare) })
			address, err := shared.started(t.Context(), bare)
			require.NoError(t, err)
			shared.applied(t, from, entry("safe", safe, withPorts(webOnly)))
			calls := []order{web(safe), webs(safe), echo(safe)}
			for _, o := range calls {
				// The engine knows a new pod, and what was taken back, a moment later than the API server.
				var got answer
				require.NoError(t, until(t.Context(), time.Minute, func(ctx context.Context) (_ bool, err error) {
					got, err = shared.call(ctx, from+"/bare", o)
					return err == nil && got.Caller == address, nil
				}), "the outside sees who goes round: %+v", &got)
			}
			// The outside is pods here, and not the mesh.
			shared.reconfigured(t, map[string]any{"config": map[string]any{"networkPolicies": "Manage", "networkPolicy": map[string]any{
				"mesh": []any{map[string]any{"namespaceSelector": map[string]any{"matchExpressions": []any{
					map[string]any{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": []any{outsideNamespace}},
				}}}},
			}}})
			for _, o := range calls {
				shared.becomes(t, from+"/bare", o, "i/o timeout|context deadline exceeded|connection refused")
				shared.refused(t, from+"/bare", o)
			}
			for _, o := range calls[:2] {
				shared.arrives(t, from, o, o.Port, "")
			}
		})
	}
}

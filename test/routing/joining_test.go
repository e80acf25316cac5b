package routing

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"istio.io/istio/pilot/test/xdstest"
)

// TestIstioJoinsEntriesThatAreAlike has the cases of internal/egress's test of the same name: of two entries of one host
// in a namespace, clients see the ports of both only where they are alike.
func TestIstioJoinsEntriesThatAreAlike(t *testing.T) {
	const manifest = `
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: %s, namespace: client, labels: {app: %s}, creationTimestamp: "2026-01-01T00:00:%02dZ"}
spec:
  hosts: [shared.example.com]
  exportTo: ["%s"]
  resolution: %s
  ports: [{number: %d, name: p, protocol: HTTP}]
`
	for name, tc := range map[string]struct {
		label, exportTo, resolution string
		old, young                  bool
	}{
		"alike":              {"a", "*", "DNS", true, true},
		"other labels":       {"b", "*", "DNS", true, false},
		"another resolution": {"a", "*", "DNS_ROUND_ROBIN", true, false},
		"for itself":         {"a", ".", "DNS", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			manifests := fmt.Sprintf(manifest, "older", "a", 1, "*", "DNS", 443) + fmt.Sprintf(manifest, "younger", tc.label, 2, tc.exportTo, tc.resolution, 80)
			sidecar := newMesh(t, manifests).sidecar(t, "client")
			assert.Equal(t, tc.old, xdstest.ExtractCluster("outbound|443||shared.example.com", sidecar.Clusters) != nil)
			assert.Equal(t, tc.young, xdstest.ExtractCluster("outbound|80||shared.example.com", sidecar.Clusters) != nil)
		})
	}
}

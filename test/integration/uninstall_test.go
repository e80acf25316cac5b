package integration

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/hop"
)

// tcpLiving is what a namespace has that leaves by mutual TLS: a rule of ours is beside the entry, and one of its author's.
const tcpLiving = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: sql}
spec: {hosts: [sql.HOST], exportTo: ["."], resolution: DNS, ports: [{number: 5432, name: tcp, protocol: TCP}, {number: 443, name: tls, protocol: TLS}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: bank}
spec: {hosts: [bank.HOST], exportTo: ["."], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP, targetPort: 443}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: bank}
spec: {host: bank.HOST, exportTo: ["."], trafficPolicy: {tls: {mode: SIMPLE, sni: bank.HOST}}}
`

// TestTheReleaseMayGoFirst: what is sealed stays so and keeps its exits, until egressctl writes it as it was written, by the configuration that
// was kept. It is not parallel: nobody is asked meanwhile.
func TestTheReleaseMayGoFirst(t *testing.T) {
	beside.unanswered(t, "the release is uninstalled")
	domains := map[string]map[string]string{"first-plain.test": {}, "first-vault.test": {"egress": "vault"}}
	namespaces, written, all := []string{}, []any{}, []*unstructured.Unstructured{}
	for domain, labels := range domains {
		text := living
		if labels["egress"] == "vault" {
			text = tcpLiving
		}
		ns, objects := live(t, domain, text)
		written, all, namespaces = append(written, specs(t, objects)...), append(all, objects...), append(namespaces, ns)
		labels["egress-governor.io/mode"] = "Enforce"
		for key, value := range labels {
			patch(t, &corev1.Namespace{ObjectMeta: named("", ns)}, fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, key, value))
		}
		_, said := adoption(t, append([]string{"adopt", "-n", ns, "--apply"}, quick...)...)
		require.Contains(t, said, "Back: egressctl unseal "+ns)
	}
	rulesOfOurs := func() (out int) {
		for _, ns := range namespaces {
			for _, rule := range stored(t, "DestinationRule", ns) {
				if hop.IsClientRule(&rule) {
					out++
				}
			}
		}
		return out
	}
	eventually(t, func() bool { return rulesOfOurs() == 1 }, "the client rule of sql")
	kept := filepath.Join(t.TempDir(), "governor.yaml")
	require.NoError(t, shared.SaveConfiguration(t.Context(), kept))

	t.Cleanup(func() { require.NoError(t, shared.StartWebhook(context.WithoutCancel(t.Context()))) })
	require.NoError(t, shared.Uninstall(t.Context()))
	assert.True(t, exitOf(t, "api.first-plain.test"), "exits stay")
	sealed := specs(t, all)
	unseal := append(append([]string{"unseal"}, namespaces...), "--config", kept)
	code, said := adoption(t, unseal...)
	assert.Equal(t, 0, code, said)
	assert.Equal(t, sealed, specs(t, all), "a plan writes nothing")
	code, said = adoption(t, append(append(unseal, "--apply"), quick...)...)
	assert.Equal(t, 0, code, said)
	assert.Contains(t, said, "Nobody keeps exits any more, so they stay")
	assert.Equal(t, written, specs(t, all), "as it was written")
	for _, object := range all {
		assert.Empty(t, get(t, object).GetAnnotations(), object.GetName())
	}
	assert.Zero(t, rulesOfOurs(), "nor is there a rule by which clients call a gateway")
	assert.True(t, exitOf(t, "api.first-plain.test"))
	code, said = adoption(t, unseal...)
	assert.Equal(t, 0, code, said)
	assert.Contains(t, said, "0 objects to write")
	for _, object := range all {
		require.NoError(t, shared.Client.Delete(t.Context(), object))
	}
}

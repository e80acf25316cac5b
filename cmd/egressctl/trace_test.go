package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/trace"
)

// TestTraceAnswersByItsExitCode, and the same in every form.
func TestTraceAnswersByItsExitCode(t *testing.T) {
	t.Parallel()
	code, out, errs := run(t, "", "trace", "payments", "https://api.stripe.com", "-f", "testdata/entry.yaml", "-o", "json")
	require.Equal(t, clean, code, errs)
	var fromJSON, fromYAML trace.Outcome
	require.NoError(t, json.Unmarshal([]byte(out), &fromJSON))
	_, out, _ = run(t, "", "trace", "payments", "https://api.stripe.com", "-f", "testdata/entry.yaml", "-o", "yaml")
	require.NoError(t, yaml.Unmarshal([]byte(out), &fromYAML))
	assert.Equal(t, fromJSON, fromYAML)
	require.Len(t, fromJSON.Ways, 1)
	assert.Equal(t, trace.AtGateway, fromJSON.Ways[0].Ends)

	code, _, _ = run(t, "", "trace", "payments", "http://api.stripe.com", "-f", "testdata/entry.yaml")
	assert.Equal(t, violations, code)
	for _, args := range [][]string{
		{"payments", "ftp://api.stripe.com"}, {"payments"}, {"payments", "https://api.stripe.com", "-o", "sarif"}, {"payments", "https://api.stripe.com", "--cluster", "none.yaml"},
	} {
		code, _, errs = run(t, "", append([]string{"trace"}, args...)...)
		assert.Equal(t, failed, code, args)
		assert.NotEmpty(t, errs)
	}
}

// TestTraceLeavesOutWhatIsRefused, and says so.
func TestTraceLeavesOutWhatIsRefused(t *testing.T) {
	t.Parallel()
	code, out, errs := run(t, "", "trace", "payments", "https://evil.io", "-f", "testdata/evil.yaml", "--cluster", "testdata/cluster.yaml")
	assert.Equal(t, violations, code)
	assert.Equal(t, "Not applied: testdata/evil.yaml:1: ServiceEntry payments/evil is denied\n", errs)
	assert.Contains(t, out, "no ServiceEntry names evil.io")
}

// TestTraceKnowsTheMeshByItsConfigMap.
func TestTraceKnowsTheMeshByItsConfigMap(t *testing.T) {
	t.Parallel()
	mesh := `{apiVersion: v1, kind: ConfigMap, metadata: {name: istio, namespace: istio-system}, data: {mesh: "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"}}`
	_, out, errs := run(t, mesh, "trace", "shop", "https://api.example.com", "--cluster", "-")
	assert.Contains(t, out, "Blocked", errs)
	assert.NotContains(t, out, "is not known; its outboundTrafficPolicy")
	_, out, errs = run(t, strings.Replace(mesh, "REGISTRY_ONLY", "ALLOW_ANY", 1), "trace", "shop", "https://api.example.com", "--cluster", "-")
	assert.Contains(t, out, "Straight", errs)
}

// TestTraceCapturesDNSAsConfigured: whatever Istio's ConfigMap says, as the webhook takes it.
func TestTraceCapturesDNSAsConfigured(t *testing.T) {
	t.Parallel()
	entries := ""
	for _, name := range []string{"first", "second"} {
		entries += "{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: " + name + ", namespace: shop}, spec: {hosts: [" + name + ".example.com], exportTo: [\".\"], resolution: DNS, ports: [{number: 22, name: ssh, protocol: TCP}]}}\n---\n"
	}
	installed, err := config.Installed()
	require.NoError(t, err)
	installed.Gateways[0].Transport, installed.DNSCapture = "MutualTLS", "On"
	raw, err := yaml.Marshal(installed)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(file, raw, 0o600))
	for _, name := range []string{"first.example.com", "second.example.com"} {
		code, out, errs := run(t, entries, "trace", "shop", "tcp://"+name+":22", "-f", "-", "--config", file, "-o", "json")
		require.Equal(t, clean, code, "%s%s", out, errs)
		var outcome trace.Outcome
		require.NoError(t, json.Unmarshal([]byte(out), &outcome))
		require.Len(t, outcome.Ways, 1)
		assert.Equal(t, []string{name + ":22"}, outcome.Ways[0].To)
	}
}

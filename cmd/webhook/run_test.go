package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/controller"
)

const configuration = `apiVersion: config.egress-governor.io/v1alpha1
kind: Configuration
namespaceSelector: {matchExpressions: [{key: exempt, operator: NotIn, values: ["true"]}]}
gateways:
- name: default
  service: istio-egressgateway.istio-system.svc.cluster.local
  selector: {istio: egressgateway}
  ports: {http: 80, tls: 443}
`

func written(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestABadConfigurationNamesFileAndField(t *testing.T) {
	t.Parallel()
	for want, edit := range map[string][2]string{
		`unknown field "knid"`: {"kind: ", "knid: x\nkind: "},
		"gateways[0].ports: ":  {"http: 80", "http: 443"},
		"namespaceSelector: ":  {"NotIn", "Like"},
		"error converting":     {"gateways:", "gateways"},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, configuration, edit[0])
			file := written(t, strings.Replace(configuration, edit[0], edit[1], 1))
			_, err := executed(t, "--namespace=egress-system", "--config="+file)
			require.ErrorContains(t, err, "configuration: "+file+": ")
			assert.ErrorContains(t, err, want)
		})
	}
}

func TestAMissingConfigurationIsNamed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "missing.yaml")
	_, err := executed(t, "--namespace=egress-system", "--config="+file)
	require.ErrorContains(t, err, "configuration: open "+file)
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestAMissingCertificateIsNamed(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	_, err := executed(t, "--namespace=egress-system", "--config="+written(t, configuration), "--cert-mode=files", "--cert-dir="+folder)
	require.ErrorContains(t, err, "serving certificate: open "+filepath.Join(folder, "tls.crt"))
}

// TestMetricsAreForWhomTheAPIServerKnows, where they are to be.
func TestMetricsAreForWhomTheAPIServerKnows(t *testing.T) {
	t.Parallel()
	open, closed := metricsOptions(options{metricsAddress: ":1"}), metricsOptions(options{metricsAddress: ":1", metricsAuth: true})
	assert.False(t, open.SecureServing)
	assert.Nil(t, open.FilterProvider)
	assert.True(t, closed.SecureServing)
	assert.NotNil(t, closed.FilterProvider)
}

// TestNobodyIsAnsweredBeforeDNSCaptureWasAskedFor, where it is to be detected.
func TestNobodyIsAnsweredBeforeDNSCaptureWasAskedFor(t *testing.T) {
	t.Parallel()
	p := parts{synced: func() bool { return true }, policies: &controller.Policies{}, capture: &controller.DNSCapture{}}
	require.ErrorContains(t, p.ready(), "DNS capture")
	p.capture = nil
	require.ErrorContains(t, p.ready(), "policies")
}

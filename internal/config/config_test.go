package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/egress"
)

const good = `apiVersion: config.egress-governor.io/v1alpha1
kind: Configuration
namespaceSelector: {matchExpressions: [{key: exempt, operator: NotIn, values: ["true"]}]}
gateways:
- name: pci
  service: pci-egress.gateways.svc.cluster.local
  selector: {app: pci}
  ports: {http: 80, tls: 443}
  namespaceSelector: {matchLabels: {pci: "true"}}
- name: default
  service: istio-egressgateway.istio-system.svc.cluster.local
  selector: {istio: egressgateway}
  ports: {http: 80, tls: 443}
  transport: Plain
`

// edited returns the good configuration with one change.
func edited(t *testing.T, before, after string) []byte {
	t.Helper()
	require.Contains(t, good, before)
	return []byte(strings.Replace(good, before, after, 1))
}

func TestMeshOfAConfiguration(t *testing.T) {
	t.Parallel()
	configuration, err := config.Parse([]byte(good))
	require.NoError(t, err)
	mesh, err := configuration.Mesh()
	require.NoError(t, err)
	assert.False(t, mesh.Governed.Matches(labels.Set{"exempt": "true"}))
	assert.True(t, mesh.Governed.Matches(labels.Set{}))
	gateway, _ := mesh.GatewayFor(labels.Set{"pci": "true"})
	assert.Equal(t, "pci", gateway.Name)
	assert.Equal(t, "gateways", gateway.Namespace())
	assert.Equal(t, map[string]string{"app": "pci"}, gateway.Selector)
	assert.Equal(t, []uint32{80, 443}, []uint32{gateway.HTTPPort, gateway.TLSPort})
	assert.Equal(t, egress.Plain, gateway.Transport, "left out")
	gateway, _ = mesh.GatewayFor(labels.Set{})
	assert.Equal(t, "default", gateway.Name)
	assert.Equal(t, egress.Plain, gateway.Transport, "written")
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	configuration, err := config.Parse([]byte(good))
	require.NoError(t, err)
	assert.Equal(t, config.MeshConfig{Namespace: "istio-system", Name: "istio"}, configuration.MeshConfig)
	assert.Equal(t, config.Switch("Detect"), configuration.DNSCapture)
	mesh, err := configuration.Mesh()
	require.NoError(t, err)
	assert.Equal(t, "cluster.local", mesh.ClusterDomain)
	assert.True(t, mesh.Seal)
	assert.True(t, mesh.Inject)
	assert.False(t, mesh.OwnNamespace, "an exportTo that is left out stays so")
	assert.False(t, mesh.Block)
	assert.Equal(t, "istio-system", mesh.IstioNamespace)
	assert.Equal(t, "Leave", configuration.NetworkPolicies)
}

func TestWhatIsGivenCountsMoreThanTheDefaults(t *testing.T) {
	t.Parallel()
	configuration, err := config.Parse([]byte(strings.ReplaceAll(good, "cluster.local", "corp.example") +
		"clusterDomain: corp.example\nserviceEntries: Leave\nvirtualServices: Leave\nexportTo: OwnNamespace\ndnsCapture: On\nunregistered: Block\nmeshConfig: {namespace: mesh}\n"))
	require.NoError(t, err)
	assert.Equal(t, config.MeshConfig{Namespace: "mesh", Name: "istio"}, configuration.MeshConfig)
	assert.Equal(t, config.Switch("On"), configuration.DNSCapture)
	mesh, err := configuration.Mesh()
	require.NoError(t, err)
	assert.Equal(t, "corp.example", mesh.ClusterDomain)
	assert.False(t, mesh.Seal)
	assert.False(t, mesh.Inject)
	assert.True(t, mesh.OwnNamespace)
	assert.True(t, mesh.Block)
	assert.Equal(t, "mesh", mesh.IstioNamespace)
}

// TestASwitchIsWrittenAnyWay: YAML takes some of them for booleans.
// TestThePageOfACodeIsTheProjectsUnlessItIsSaid, and none where it is said to be empty.
func TestThePageOfACodeIsTheProjectsUnlessItIsSaid(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"": "https://github.com/egress-governor/egress-governor/blob/main/docs/codes/{code}.md", "\ndocsURL: ''": "", "\ndocsURL: 'https://docs.test/#{code}'": "https://docs.test/#{code}",
	} {
		c, err := config.Parse(edited(t, "kind: Configuration", "kind: Configuration"+given))
		require.NoError(t, err, given)
		mesh, err := c.Mesh()
		require.NoError(t, err)
		assert.Equal(t, want, mesh.DocsURL)
	}
}

func TestASwitchIsWrittenAnyWay(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]config.Switch{"On": "On", `"On"`: "On", "true": "On", "Off": "Off", `"Off"`: "Off", "Detect": "Detect"} {
		configuration, err := config.Parse([]byte(good + "dnsCapture: " + text + "\n"))
		require.NoError(t, err, text)
		assert.Equal(t, want, configuration.DNSCapture, text)
	}
}

func TestASelectorThatDoesNotParseIsNamed(t *testing.T) {
	t.Parallel()
	for want, change := range map[string][2]string{
		"namespaceSelector: ":             {"NotIn", "Like"},
		"gateways[0].namespaceSelector: ": {`{matchLabels: {pci: "true"}}`, "{matchExpressions: [{key: pci, operator: Like}]}"},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			configuration, err := config.Parse(edited(t, change[0], change[1]))
			require.NoError(t, err)
			_, err = configuration.Mesh()
			require.Error(t, err)
			assert.True(t, strings.HasPrefix(err.Error(), want), err)
		})
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "config.yaml")
	_, err := config.Load(file)
	require.ErrorContains(t, err, file)
	require.ErrorIs(t, err, os.ErrNotExist)

	require.NoError(t, os.WriteFile(file, edited(t, "kind: Configuration", "kind: Config"), 0o600))
	_, err = config.Load(file)
	require.ErrorContains(t, err, file+": kind: must be Configuration")

	require.NoError(t, os.WriteFile(file, []byte(good), 0o600))
	loaded, err := config.Load(file)
	require.NoError(t, err)
	assert.Len(t, loaded.Gateways, 2)
}

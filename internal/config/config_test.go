package config_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/egress-governor/egress-governor/internal/config"
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

func TestMeshOfAConfiguration(t *testing.T) {
	t.Parallel()
	configuration, err := config.Parse([]byte(good))
	require.NoError(t, err)
	mesh, err := configuration.Mesh()
	require.NoError(t, err)
	assert.True(t, mesh.Seal && mesh.Inject)
	assert.Equal(t, "cluster.local", mesh.ClusterDomain)
	assert.False(t, mesh.Governed.Matches(labels.Set{"exempt": "true"}))
	assert.True(t, mesh.Governed.Matches(labels.Set{}))
	gateway, _ := mesh.GatewayFor(labels.Set{"pci": "true"})
	assert.Equal(t, "pci", gateway.Name)
	assert.Equal(t, "gateways", gateway.Namespace())
	gateway, _ = mesh.GatewayFor(labels.Set{})
	assert.Equal(t, "default", gateway.Name)
}

func TestBadConfigurationNamesTheField(t *testing.T) {
	t.Parallel()
	for want, change := range map[string][2]string{
		"unknown field":                                {"kind: Configuration", "kind: Configuration\nclusterDomian: x"},
		"apiVersion: must be":                          {"config.egress-governor.io/v1alpha1", "v1"},
		"kind: must be":                                {"kind: Configuration", "kind: Config"},
		"clusterDomain: ":                              {"kind: Configuration", "kind: Configuration\nclusterDomain: a_b"},
		"serviceEntries: must be Seal or Leave":        {"kind: Configuration", "kind: Configuration\nserviceEntries: seal"},
		"virtualServices: must be Inject or Leave":     {"kind: Configuration", "kind: Configuration\nvirtualServices: x"},
		"gateways[0].name: ":                           {"name: pci", "name: PCI"},
		"gateways[1].service: ":                        {"istio-egressgateway.istio-system.svc.cluster.local", "istio-egressgateway"},
		"gateways[0].selector: ":                       {"selector: {app: pci}", "selector: {}"},
		"gateways[0].ports: ":                          {"{http: 80, tls: 443}", "{http: 80, tls: 80}"},
		"gateways[0].ports.http: ":                     {"{http: 80, tls: 443}", "{http: 70000, tls: 443}"},
		"gateways[1].transport: ":                      {"Plain", "MutualTLS"},
		"gateways[1]: name and service must be unique": {"name: default", "name: pci"},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, good, change[0])
			_, err := config.Parse([]byte(strings.Replace(good, change[0], change[1], 1)))
			require.Error(t, err)
			assert.Contains(t, err.Error(), want)
		})
	}
	_, err := config.Parse([]byte("apiVersion: config.egress-governor.io/v1alpha1\nkind: Configuration\n"))
	require.ErrorContains(t, err, "gateways: must name at least one")
	configuration, err := config.Parse([]byte(strings.Replace(good, "NotIn", "Like", 1)))
	require.NoError(t, err)
	_, err = configuration.Mesh()
	require.ErrorContains(t, err, "namespaceSelector: ")
}

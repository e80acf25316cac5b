package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/config"
)

func TestBadConfigurationNamesTheField(t *testing.T) {
	t.Parallel()
	for want, change := range map[string][2]string{
		"unknown field":                                 {"kind: Configuration", "kind: Configuration\nclusterDomian: x"},
		"apiVersion: must be":                           {"config.egress-governor.io/v1alpha1", "v1"},
		"kind: must be":                                 {"kind: Configuration", "kind: Config"},
		"clusterDomain: ":                               {"kind: Configuration", "kind: Configuration\nclusterDomain: a_b"},
		"serviceEntries: must be Seal or Leave":         {"kind: Configuration", "kind: Configuration\nserviceEntries: seal"},
		"virtualServices: must be Inject or Leave":      {"kind: Configuration", "kind: Configuration\nvirtualServices: x"},
		"dnsCapture: must be Detect or On or Off":       {"kind: Configuration", "kind: Configuration\ndnsCapture: maybe"},
		"exportTo: must be AsWritten or OwnNamespace":   {"kind: Configuration", "kind: Configuration\nexportTo: own"},
		"unregistered: must be Leave or Block":          {"kind: Configuration", "kind: Configuration\nunregistered: block"},
		"networkPolicies: must be Leave or Manage":      {"kind: Configuration", "kind: Configuration\nnetworkPolicies: On"},
		"networkPolicy.mesh[0]: must have an ipBlock":   {"kind: Configuration", "kind: Configuration\nnetworkPolicy: {mesh: [{}]}"},
		"networkPolicy.allow[1]: must have an ipBlock":  {"kind: Configuration", "kind: Configuration\nnetworkPolicy: {allow: [{podSelector: {}}, {podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]}"},
		"networkPolicy.allow[0]: ":                      {"kind: Configuration", "kind: Configuration\nnetworkPolicy: {allow: [{podSelector: {matchExpressions: [{key: a, operator: Like}]}}]}"},
		"networkPolicy.apiServer[0].ipBlock: ":          {"kind: Configuration", "kind: Configuration\nnetworkPolicy: {apiServer: [{ipBlock: {cidr: 10.0.0.1}}]}"},
		"networkPolicy.dns.ports[0]: 0 is not a port":   {"kind: Configuration", "kind: Configuration\nnetworkPolicy: {dns: {ports: [0]}}"},
		"networkPolicy.dns.ports: ":                     {"kind: Configuration", "kind: Configuration\nnetworkPolicy: {dns: {ports: []}}"},
		`unknown field "pods"`:                          {"kind: Configuration", "kind: Configuration\nnetworkPolicy: {mesh: [{pods: {}}]}"},
		"audit.interval: must be 1m or more":            {"kind: Configuration", "kind: Configuration\naudit: {interval: 10s}"},
		"audit.objectsPerSecond: must be 1 or more":     {"kind: Configuration", "kind: Configuration\naudit: {objectsPerSecond: 0}"},
		"docsURL: must be an https URL with {code}":     {"kind: Configuration", "kind: Configuration\ndocsURL: https://docs.test/codes"},
		"docsURL: must be an https URL":                 {"kind: Configuration", "kind: Configuration\ndocsURL: 'javascript:{code}'"},
		"suspend.maxShare: must be between 0 and 1":     {"kind: Configuration", "kind: Configuration\nsuspend: {maxShare: 20}"},
		"meshConfig: ":                                  {"kind: Configuration", "kind: Configuration\nmeshConfig: {name: Istio}"},
		"gateways[0].name: ":                            {"name: pci", "name: PCI"},
		"gateways[1].name: ":                            {"name: default", "name: " + strings.Repeat("a", 41)},
		"gateways[1].name: \"a-mutual-tls\" ends":       {"name: default", "name: a-mutual-tls"},
		"gateways[1].service: ":                         {"istio-egressgateway.istio-system.svc.cluster.local", "istio-egressgateway"},
		"gateways[0].service: ":                         {"pci-egress.gateways.svc", "a.pci-egress.gateways.svc"},
		"gateways[0].selector: ":                        {"selector: {app: pci}", "selector: {}"},
		"gateways[0].ports: ":                           {"{http: 80, tls: 443}", "{http: 80, tls: 80}"},
		"gateways[0].ports: http and tls must be given": {"{http: 80, tls: 443}", "{}"},
		`meshCIDRs[1]: "10.8.0.1" is not a range`:       {"kind: Configuration", "kind: Configuration\nmeshCIDRs: [10.8.0.0/16, 10.8.0.1]"},
		`clusterCIDRs[0]: "10.96.0.1" is not a range`:   {"kind: Configuration", "kind: Configuration\nclusterCIDRs: [10.96.0.1]"},
		"clusterCIDRs: must have the ranges of pods":    {"name: pci", "name: pci\n  wildcards: Resolve"},
		"gateways[0].wildcards: must be Refuse or":      {"name: pci", "name: pci\n  wildcards: Allow"},
		"gateways[0].ports.http: ":                      {"{http: 80, tls: 443}", "{http: 70000, tls: 443}"},
		"gateways[0].ports.tls: ":                       {"{http: 80, tls: 443}", "{http: 80, tls: 70000}"},
		"gateways[1].transport: ":                       {"Plain", "Mutual"},
		"gateways[1].waypoint.name: ":                   {"transport: Plain", "waypoint: {name: none}"},
		"gateways[1].waypoint.namespace: ":              {"transport: Plain", "waypoint: {name: waypoint, namespace: A}"},
		"gateways[1].waypoint: is for transport Plain":  {"transport: Plain", "transport: MutualTLS\n  waypoint: {name: waypoint}"},
		`gateways[1].name: "pci" is gateways[0]`:        {"name: default", "name: pci"},
		`gateways[1].service: "pci-egress.gateways.svc.cluster.local" is that of gateways[0]`: {"istio-egressgateway.istio-system", "pci-egress.gateways"},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			_, err := config.Parse(edited(t, change[0], change[1]))
			require.ErrorContains(t, err, want)
		})
	}
}

func TestAMeshNeedsAGateway(t *testing.T) {
	t.Parallel()
	_, err := config.Parse([]byte("apiVersion: config.egress-governor.io/v1alpha1\nkind: Configuration\n"))
	require.EqualError(t, err, "gateways: must name at least one egress gateway")
}

func TestAllBadFieldsAreNamedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := config.Parse([]byte("serviceEntries: x\ngateways: [{}]\n"))
	require.Error(t, err)
	var fields []string
	for line := range strings.Lines(err.Error()) {
		field, _, _ := strings.Cut(line, ": ")
		fields = append(fields, field)
	}
	assert.Equal(t, []string{
		"apiVersion", "kind", "serviceEntries",
		"gateways[0].name", "gateways[0].service", "gateways[0].selector", "gateways[0].ports",
	}, fields)
}

// TestGatewaysOfOneNamespace: a pod that two gateways select would serve both.
func TestGatewaysOfOneNamespace(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		namespaces, selectors [2]string
		shared                bool
	}{
		"their own pods":                  {[2]string{"istio-system", "istio-system"}, [2]string{"{istio: a}", "{istio: b}"}, false},
		"one label in common":             {[2]string{"istio-system", "istio-system"}, [2]string{"{app: gw, istio: a}", "{app: gw, istio: b}"}, false},
		"the same pods":                   {[2]string{"istio-system", "istio-system"}, [2]string{"{istio: a}", "{istio: a}"}, true},
		"the second's are of the first's": {[2]string{"istio-system", "istio-system"}, [2]string{"{istio: a}", "{istio: a, tier: pci}"}, true},
		"the first's are of the second's": {[2]string{"istio-system", "istio-system"}, [2]string{"{istio: a, tier: pci}", "{istio: a}"}, true},
		"the same labels elsewhere":       {[2]string{"istio-system", "gateways"}, [2]string{"{istio: a}", "{istio: a}"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw := "apiVersion: config.egress-governor.io/v1alpha1\nkind: Configuration\ngateways:\n"
			for i := range test.namespaces {
				raw += fmt.Sprintf("- {name: g%d, service: g%d.%s.svc.cluster.local, selector: %s, ports: {http: 80, tls: 443}}\n",
					i, i, test.namespaces[i], test.selectors[i])
			}
			configuration, err := config.Parse([]byte(raw))
			if test.shared {
				require.ErrorContains(t, err, "gateways[1].selector: ")
				assert.ErrorContains(t, err, "gateways[0] select the same pods in namespace istio-system")
				return
			}
			require.NoError(t, err)
			mesh, err := configuration.Mesh()
			require.NoError(t, err)
			for i, gateway := range mesh.Gateways {
				assert.Equal(t, test.namespaces[i], gateway.Namespace())
			}
		})
	}
}

// TestWhatNeedsSealedEntriesIsRefusedWithoutThem, and with them, or where nothing is carried at all, it is not.
func TestWhatNeedsSealedEntriesIsRefusedWithoutThem(t *testing.T) {
	t.Parallel()
	mutual := strings.Replace(good, "transport: Plain", "transport: MutualTLS", 1)
	own := good + "exportTo: OwnNamespace\n"
	for text, want := range map[string]string{
		mutual + "serviceEntries: Leave\n": "gateways[1].transport: MutualTLS needs serviceEntries Seal",
		own + "serviceEntries: Leave\n":    "exportTo: OwnNamespace is written into ServiceEntries",
	} {
		_, err := config.Parse([]byte(text))
		require.ErrorContains(t, err, want)
		for _, other := range []string{"virtualServices: Leave\n", ""} {
			_, err = config.Parse([]byte(strings.Replace(text, "serviceEntries: Leave\n", "", 1) + other))
			require.NoError(t, err)
		}
		_, err = config.Parse([]byte(text + "virtualServices: Leave\n"))
		require.NoError(t, err)
	}
}

// TestWhatCarriesCalls by the four combinations.
func TestWhatCarriesCalls(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]bool{
		"":                         {true, false},
		"virtualServices: Leave\n": {true, false},
		"serviceEntries: Leave\n":  {true, true},
		"serviceEntries: Leave\nvirtualServices: Leave\n": {false, false},
	} {
		configuration, err := config.Parse([]byte(good + text))
		require.NoError(t, err)
		mesh, err := configuration.Mesh()
		require.NoError(t, err)
		assert.Equal(t, want, [2]bool{mesh.Carries(), mesh.ByRoutes()}, text)
	}
}

// TestWildcardsAreRefused unless the platform team says otherwise of a gateway, and says where the cluster is.
func TestWildcardsAreRefused(t *testing.T) {
	t.Parallel()
	resolving := string(edited(t, "name: default", "name: default\n  wildcards: Resolve"))
	parsed, err := config.Parse([]byte(resolving + "\nclusterCIDRs: [10.96.1.2/12]\n"))
	require.NoError(t, err)
	mesh, err := parsed.Mesh()
	require.NoError(t, err)
	assert.False(t, mesh.Gateways[0].Wildcards)
	assert.True(t, mesh.Gateways[1].Wildcards)
	assert.Equal(t, "[10.96.0.0/12]", fmt.Sprint(mesh.ClusterCIDRs))
}

package routing

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pilot/pkg/simulation"
	"istio.io/istio/pilot/test/xdstest"
	"istio.io/istio/pkg/config/schema/collections"
)

// expectation says where a call must end.
type expectation struct {
	call
	// exit holds the addresses of the external host, as host:port, for the gateway to call.
	exit []string
}

func http(host string, port int, exit ...string) expectation {
	return expectation{call: call{namespace: "app-a", host: host, port: port}, exit: exit}
}

func tls(host string, port int, exit ...string) expectation {
	return expectation{call: call{namespace: "app-a", host: host, port: port, tls: true}, exit: exit}
}

func from(namespace string, e expectation) expectation {
	e.namespace = namespace
	return e
}

const (
	api  = "api.example.com"
	web  = api + ":80"
	webs = api + ":443"
)

var both = []expectation{http(api, 80, web), tls(api, 443, webs)}

func targets(t *testing.T, sim *proxy, c call, port int, mode simulation.CallMode) []string {
	t.Helper()
	names, err := clusters(t, sim, c, port, mode)
	require.NoError(t, err)
	require.NotEmpty(t, names)
	for _, name := range names {
		require.NotNil(t, xdstest.ExtractCluster(name, sim.Clusters), "cluster %s does not exist", name)
	}
	return names
}

// leadsToGateway says whether a client's cluster is the gateway's Service, or resolves to nothing else, on the port of
// the call's family.
func leadsToGateway(client *proxy, name string, tls bool) bool {
	port := 80
	if tls {
		port = 443
	}
	parts := strings.Split(name, "|")
	if len(parts) == 4 && parts[3] == gatewayHost {
		return parts[1] == fmt.Sprint(port)
	}
	found := slices.Compact(addresses(client, name))
	return len(found) == 1 && found[0] == fmt.Sprintf("%s:%d", gatewayHost, port)
}

// istioTakes holds that Istio's own validation takes an object.
func istioTakes(t *testing.T, document string) {
	t.Helper()
	configs, _, err := crd.ParseInputs(document)
	require.NoError(t, err)
	require.NotEmpty(t, configs)
	for _, config := range configs {
		schema, found := collections.All.FindByGroupVersionAliasesKind(config.GroupVersionKind)
		require.True(t, found, config.GroupVersionKind)
		_, err := schema.ValidateConfig(config)
		assert.NoError(t, err, "%s %s/%s", config.GroupVersionKind.Kind, config.Namespace, config.Name)
	}
}

// TestTheWalkerSeesLeaks shows the leaks of objects that nobody governs: that the walker sees them is what makes the
// proofs above worth something.
func TestTheWalkerSeesLeaks(t *testing.T) {
	t.Run("a bare entry goes straight out", func(t *testing.T) {
		client := written(t, "bare-entry").sidecar(t, "app-a")
		for _, want := range both {
			for _, name := range targets(t, client, want.call, want.port, simulation.CallModeOutbound) {
				assert.False(t, leadsToGateway(client, name, want.tls))
				assert.Equal(t, want.exit, addresses(client, name))
			}
		}
	})
	t.Run("the guide's hop leaks port 443", func(t *testing.T) {
		m := written(t, "guide-hop-alone")
		client := m.sidecar(t, "app-a")
		for _, name := range targets(t, client, both[0].call, 80, simulation.CallModeOutbound) {
			assert.True(t, leadsToGateway(client, name, false))
		}
		for _, name := range targets(t, client, both[1].call, 443, simulation.CallModeOutbound) {
			assert.Equal(t, []string{webs}, addresses(client, name))
		}
	})
	t.Run("the guide's hop breaks port 80 for other namespaces", func(t *testing.T) {
		other := written(t, "guide-hop-alone").sidecar(t, "app-b")
		c := both[0].call
		c.namespace = "app-b"
		names, err := clusters(t, other, c, 80, simulation.CallModeOutbound)
		require.NoError(t, err)
		assert.Equal(t, []string{"outbound|80|api|" + gatewayHost}, names)
		assert.Nil(t, xdstest.ExtractCluster(names[0], other.Clusters))
	})
}

// TestUnknownHostsEndAtTheGateway asks the gateway for a host without an exit.
func TestUnknownHostsEndAtTheGateway(t *testing.T) {
	gateway := ofCase(t, "protocols/http-and-tls", "Plain").gateway(t, "")
	for _, c := range []call{{namespace: "app-a", host: "evil.test", port: 80}, {namespace: "app-a", host: "evil.test", port: 443, tls: true}} {
		port := 80
		if c.tls {
			port = 443
		}
		names, err := clusters(t, gateway, c, port, simulation.CallModeGateway)
		assert.True(t, err != nil || len(names) == 0 || slices.Equal(names, []string{"BlackHoleCluster"}), "%v %v", names, err)
	}
}

// TestTheOverlapIsSeen: what is refused (gateway-port) would make the egress gateway reject its TLS port.
func TestTheOverlapIsSeen(t *testing.T) {
	foreign, err := os.ReadFile(filepath.Join("testdata", "foreign-gateway.yaml"))
	require.NoError(t, err)
	m := ofCase(t, "protocols/http-and-tls", "Plain")
	assert.Empty(t, overlapping(m.gateway(t, "")))
	assert.NotEmpty(t, overlapping(newMesh(t, m.manifests+"\n---\n"+string(foreign)).gateway(t, "")))
}

// TestASidecarsOwnPortsAreSeen: what is refused (istio-port) would make sidecars of every namespace reject the listener for their
// calls out, for those that come in, or that of the entry.
func TestASidecarsOwnPortsAreSeen(t *testing.T) {
	m := ofCase(t, "protocols/http-and-tls", "Plain")
	assert.Empty(t, overlapping(m.sidecar(t, "other")))
	for _, port := range []int{15001, 15006, 15021, 15090} {
		entry := fmt.Sprintf("apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: x, namespace: evil}\n"+
			"spec: {hosts: [x.test], resolution: DNS, ports: [{number: %d, name: tls, protocol: TLS, targetPort: 443}]}", port)
		assert.NotEmpty(t, overlapping(newMesh(t, m.manifests+"\n---\n"+entry).sidecar(t, "other")), port)
	}
}

// TestAPairEndsWhereItsRouteLeads, under the name that it was called by.
func TestAPairEndsWhereItsRouteLeads(t *testing.T) {
	m := ofCase(t, "routes/pair", "Plain")
	client, gateway := m.sidecar(t, "app-a"), m.gateway(t, "")
	asked := rewritten(client, "80", "api.example.com:80")
	require.Len(t, asked, 1, "the canary's share")
	ask := call{namespace: "app-a", host: api, port: 80, asks: asked[0]}
	for _, name := range targets(t, gateway, ask, 80, simulation.CallModeGateway) {
		assert.Equal(t, []string{"canary.example.com:8080"}, addresses(gateway, name))
	}
	host, _, _ := strings.Cut(asked[0], ":")
	back := rewritten(gateway, "http.80", host+":80")
	assert.Equal(t, []string{api}, slices.Compact(back))
}

// TestACredentialIsTheNamespacesOwn: the gateway asks for the Secret that stands for it.
func TestACredentialIsTheNamespacesOwn(t *testing.T) {
	gateway := ofCase(t, "encryption/by-credential", "Plain").gateway(t, "")
	var context tlsv3.UpstreamTlsContext
	socket := xdstest.ExtractCluster("outbound|80||api.example.com", gateway.Clusters).GetTransportSocket()
	require.NoError(t, socket.GetTypedConfig().UnmarshalTo(&context))
	secrets := context.GetCommonTlsContext().GetTlsCertificateSdsSecretConfigs()
	require.Len(t, secrets, 1)
	assert.Equal(t, "kubernetes://app-a.client", secrets[0].GetName())
}

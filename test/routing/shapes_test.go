package routing

import (
	"fmt"
	"maps"
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
	// mesh holds in-mesh clusters that routes may name besides.
	mesh []string
	// encrypted says that the gateway speaks TLS to the host.
	encrypted bool
	// by is the label istio of the egress gateway's pods; the first gateway's when empty.
	by string
}

// through is a call that leaves by the second gateway.
func through(e expectation) expectation {
	e.by = pciGateway
	return e
}

func http(host string, port int, exit ...string) expectation {
	return expectation{call: call{namespace: "app-a", host: host, port: port}, exit: exit}
}

func tls(host string, port int, exit ...string) expectation {
	return expectation{call: call{namespace: "app-a", host: host, port: port, tls: true}, exit: exit}
}

// encrypted is a call that the gateway encrypts.
func encrypted(e expectation) expectation {
	e.encrypted = true
	return e
}

// dialled is a call to an address.
func dialled(address string, e expectation) expectation {
	e.address = address
	return e
}

func from(namespace string, e expectation) expectation {
	e.namespace = namespace
	return e
}

func beside(e expectation, mesh ...string) expectation {
	e.mesh = mesh
	return e
}

const (
	api  = "api.example.com"
	web  = api + ":80"
	webs = api + ":443"
)

var both = []expectation{http(api, 80, web), tls(api, 443, webs)}

func expectations() map[string][]expectation {
	static := []string{"192.0.2.10", "192.0.2.11"}
	return map[string][]expectation{
		"http-and-tls":   append(slices.Clone(both), from("app-b", both[0]), from("app-b", both[1])),
		"https-protocol": {tls(api, 443, webs)},
		"http2-and-grpc": {http("h2.example.com", 8080, "h2.example.com:8080"), http("grpc.example.com", 50051, "grpc.example.com:50051")},
		"two-http-ports": {http(api, 80, web), http(api, 8080, api+":8080")},
		"several-hosts": {
			http("one.example.com", 80, "one.example.com:80"), tls("one.example.com", 443, "one.example.com:443"),
			http("two.example.com", 80, "two.example.com:80"), tls("two.example.com", 443, "two.example.com:443"),
		},
		"static":                  {http(api, 80, static[0]+":80", static[1]+":8000"), tls(api, 443, static[0]+":443", static[1]+":443")},
		"wildcard":                {http("de.wikipedia.org", 80, "www.wikipedia.org:80"), tls("de.wikipedia.org", 443, "www.wikipedia.org:443")},
		"none":                    both,
		"other-spelling":          both,
		"gateway-namespace-named": both,
		"single-address":          {dialled("203.0.113.7", tls(api, 443, "203.0.113.7:443"))},
		"round-robin":             both,
		"target-port":             {http(api, 80, api+":8000")},
		"private":                 both,
		"two-namespaces":          append(slices.Clone(both), from("app-b", both[0]), from("app-b", both[1])),
		"union-in-one-namespace":  append(slices.Clone(both), http(api, 1024, api+":1024"), tls("other.example.com", 443, "other.example.com:443")),
		"union-in-two-namespaces": {
			both[1], http(api, 1024, api+":1024"), from("app-b", both[0]), from("app-b", both[1]),
		},
		"encrypted-by-target-port": {encrypted(http(api, 80, webs))},
		"encrypted-by-credential":  {encrypted(http(api, 80, webs))},
		"encrypted-on-443":         {encrypted(http(api, 443, webs))},
		"encrypted-by-route":       {encrypted(http(api, 80, webs)), both[1], from("app-b", both[0]), from("app-b", both[1])},
		"rule-of-the-exit":         {http(api, 80, static[0]+":80", static[1]+":80"), tls(api, 443, static[0]+":443", static[1]+":443")},
		// Each from its own namespace and through its own gateway, although both gateways lie in one.
		"two-gateways":          append(slices.Clone(both), through(from("cards", both[0])), through(from("cards", both[1]))),
		"two-gateways-injected": append(slices.Clone(both), through(from("cards", both[0])), through(from("cards", both[1]))),
		"weights":               {beside(http(api, 80, web), "outbound|80||local.app-a.svc.cluster.local"), tls(api, 443, webs)},
		"pair":                  {http(api, 80, web), http(api, 8080, api+":8080"), http("canary.example.com", 8080, "canary.example.com:8080")},
		"mirror":                {beside(http(api, 80, web), "outbound|80||local.app-a.svc.cluster.local"), tls(api, 443, webs)},
		"header-match":          append(slices.Clone(both), http("canary.example.com", 80, "canary.example.com:80")),
		"sni":                   both,
		"tcp-route":             both,
		"route-before-entry":    both,
		"grpc-injected":         {http("grpc.example.com", 50051, "grpc.example.com:50051")},
		// The hand-written Gateway lets the hand-written leg to the host itself bind, in whichever namespace it is.
		"guide-hop-on-top":  both,
		"guide-hop-for-tls": both,
	}
}

// TestEveryCallLeavesThroughTheGateway walks every route of every call, first at the client, then at the gateway.
func TestEveryCallLeavesThroughTheGateway(t *testing.T) {
	all := expectations()
	files, err := filepath.Glob(filepath.Join("..", "integration", "testdata", "shapes", "*.yaml"))
	require.NoError(t, err)
	files = slices.DeleteFunc(files, func(file string) bool { return strings.HasPrefix(filepath.Base(file), "vault-") })
	require.Len(t, files, len(all), "every shape has its calls")
	for shape, calls := range all {
		t.Run(shape, func(t *testing.T) {
			m := stored(t, shape)
			for _, want := range calls {
				t.Run(want.String(), func(t *testing.T) {
					client, gateway := m.sidecar(t, want.namespace), m.gateway(t, want.by)
					for _, name := range targets(t, client, want.call, want.port, simulation.CallModeOutbound) {
						assert.Empty(t, sni(t, client, name), "%s: the gateway is called as the app speaks", name)
						assert.True(t, slices.Contains(want.mesh, name) || leadsToGateway(client, name, want.by, want.tls), "%s leads to %v", name, addresses(client, name))
					}
					port := 8080
					if want.tls {
						port = 8443
					}
					for _, name := range targets(t, gateway, arriving(t, client, want.call), port, simulation.CallModeGateway) {
						assert.Equal(t, want.exit, addresses(gateway, name), name)
						assert.Equal(t, want.encrypted, sni(t, gateway, name) != "", name)
					}
				})
			}
		})
	}
}

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
func leadsToGateway(client *proxy, name, by string, tls bool) bool {
	gatewayHost := gatewayHost
	if by == pciGateway {
		gatewayHost = pciHost
	}
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

// everyShape has the shapes of both transports.
func everyShape() map[string][]expectation {
	out := expectations()
	maps.Copy(out, vaultExpectations())
	return out
}

// TestIstioAcceptsWhatIsStored runs Istio's own validation on every object of every shape.
func TestIstioAcceptsWhatIsStored(t *testing.T) {
	for shape := range everyShape() {
		t.Run(shape, func(t *testing.T) {
			for _, document := range stored(t, shape).istio {
				istioTakes(t, document)
			}
		})
	}
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
				assert.False(t, leadsToGateway(client, name, "", want.tls))
				assert.Equal(t, want.exit, addresses(client, name))
			}
		}
	})
	t.Run("the guide's hop leaks port 443", func(t *testing.T) {
		m := written(t, "guide-hop-alone")
		client := m.sidecar(t, "app-a")
		for _, name := range targets(t, client, both[0].call, 80, simulation.CallModeOutbound) {
			assert.True(t, leadsToGateway(client, name, "", false))
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
	gateway := stored(t, "http-and-tls").gateway(t, "")
	for _, c := range []call{{namespace: "app-a", host: "evil.test", port: 80}, {namespace: "app-a", host: "evil.test", port: 443, tls: true}} {
		port := 8080
		if c.tls {
			port = 8443
		}
		names, err := clusters(t, gateway, c, port, simulation.CallModeGateway)
		assert.True(t, err != nil || len(names) == 0 || slices.Equal(names, []string{"BlackHoleCluster"}), "%v %v", names, err)
	}
}

// TestNoProxyRejectsAListener: Envoy rejects one in which two filter chains take the same calls.
func TestNoProxyRejectsAListener(t *testing.T) {
	for shape := range expectations() {
		t.Run(shape, func(t *testing.T) {
			m := stored(t, shape)
			for name, sim := range map[string]*proxy{"client": m.sidecar(t, "app-a"), "other client": m.sidecar(t, "app-b"), "gateway": m.gateway(t, ""), "second gateway": m.gateway(t, pciGateway)} {
				assert.Empty(t, overlapping(sim), name)
			}
		})
	}
}

// TestTheOverlapIsSeen: what is refused (gateway-port) would make the egress gateway reject its TLS port.
func TestTheOverlapIsSeen(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "..", ".run", "shapes", "http-and-tls.yaml"))
	require.NoError(t, err)
	foreign, err := os.ReadFile(filepath.Join("testdata", "foreign-gateway.yaml"))
	require.NoError(t, err)
	assert.Empty(t, overlapping(newMesh(t, string(raw)).gateway(t, "")))
	assert.NotEmpty(t, overlapping(newMesh(t, string(raw)+"\n---\n"+string(foreign)).gateway(t, "")))
}

// TestAPairEndsWhereItsRouteLeads, under the name that it was called by.
func TestAPairEndsWhereItsRouteLeads(t *testing.T) {
	m := stored(t, "pair")
	client, gateway := m.sidecar(t, "app-a"), m.gateway(t, "")
	asked := rewritten(client, "80", "api.example.com:80")
	require.Len(t, asked, 1, "the canary's share")
	ask := call{namespace: "app-a", host: api, port: 80, asks: asked[0]}
	for _, name := range targets(t, gateway, ask, 8080, simulation.CallModeGateway) {
		assert.Equal(t, []string{"canary.example.com:8080"}, addresses(gateway, name))
	}
	host, _, _ := strings.Cut(asked[0], ":")
	back := rewritten(gateway, "http.8080", host+":80")
	assert.Equal(t, []string{api}, slices.Compact(back))
}

// TestACredentialIsTheNamespacesOwn: the gateway asks for the Secret that stands for it.
func TestACredentialIsTheNamespacesOwn(t *testing.T) {
	gateway := stored(t, "encrypted-by-credential").gateway(t, "")
	var context tlsv3.UpstreamTlsContext
	socket := xdstest.ExtractCluster("outbound|80||api.example.com", gateway.Clusters).GetTransportSocket()
	require.NoError(t, socket.GetTypedConfig().UnmarshalTo(&context))
	secrets := context.GetCommonTlsContext().GetTlsCertificateSdsSecretConfigs()
	require.Len(t, secrets, 1)
	assert.Equal(t, "kubernetes://app-a.client", secrets[0].GetName())
}

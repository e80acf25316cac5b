package routing

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	networking "istio.io/api/networking/v1alpha3"
	"istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/simulation"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pkg/config"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// raw is an entry of one port, as its author writes it.
type raw struct {
	host, protocol string
	// more are further fields of its spec, resolution DNS where it is empty.
	more string
}

// sealedBy is the entry as it is stored by mutual TLS, created at a second of a minute. It is not checked against others.
func (r raw) sealedBy(t *testing.T, second int) *unstructured.Unstructured {
	t.Helper()
	if r.more == "" {
		r.more = "resolution: DNS"
	}
	object := &unstructured.Unstructured{}
	require.NoError(t, yaml.Unmarshal(fmt.Appendf(nil, `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: e%d, namespace: client, creationTimestamp: "2026-01-01T00:00:%02[1]dZ"}
spec: {hosts: ["%s"], %s, ports: [{number: 5432, name: p, protocol: %s}]}
`, second, r.host, r.more, r.protocol), &object.Object))
	mesh := egresstest.Mesh()
	mesh.Gateways[0].Transport = egress.MutualTLS
	out, err := hop.Seal(object, mesh.Gateways[0], mesh)
	require.NoError(t, err)
	return out
}

// client is the sidecar of a namespace with entries, oldest first; where it captures DNS each host has an address that
// istiod gave it: 240.240.0.1, 240.240.0.2 and so on.
func client(t *testing.T, captures bool, entries ...raw) *proxy {
	t.Helper()
	var all []config.Config
	for i, entry := range entries {
		text, err := yaml.Marshal(entry.sealedBy(t, i+1).Object)
		require.NoError(t, err)
		configs, _, err := crd.ParseInputs(string(text))
		require.NoError(t, err)
		if !strings.Contains(entry.more, "addresses:") && !egress.IsWildcard(entry.host) {
			configs[0].Status = &networking.ServiceEntryStatus{Addresses: []*networking.ServiceEntryAddress{{Value: automatic(i + 1), Host: entry.host}}}
		}
		all = append(all, configs...)
	}
	out := &mesh{server: xds.NewFakeDiscoveryServer(t, xds.FakeOptions{Configs: all, KubernetesObjectString: strings.TrimPrefix(gatewayService, "\n---\n")})}
	return out.proxy(t, &model.Proxy{
		Type: model.SidecarProxy, ID: "client.client", ConfigNamespace: "client", IPAddresses: []string{"10.1.0.1"},
		Metadata: &model.NodeMetadata{Namespace: "client", DNSCapture: model.StringBool(captures)},
	})
}

func automatic(i int) string { return fmt.Sprintf("240.240.0.%d", i) }

// straight is where calls go that no entry catches, and that leave as the mesh's outboundTrafficPolicy has it.
const straight = "PassthroughCluster"

func to(host string) string { return "outbound|5432||" + host }

// reached returns where a call to an address goes.
func reached(p *proxy, call simulation.Call, address string) string {
	call.Port, call.Address, call.CallMode = 5432, address, simulation.CallModeOutbound
	return p.Run(call).ClusterMatched
}

var (
	rawCall  = simulation.Call{Protocol: simulation.TCP}
	httpCall = simulation.Call{Protocol: simulation.HTTP, HostHeader: "b.test"}
	tlsCall  = simulation.Call{Protocol: simulation.TCP, TLS: simulation.TLS, Sni: "b.test"}
)

// servers are the addresses that DNS has for hosts.
const serverA, serverB = "203.0.113.1", "203.0.113.2"

// TestTwoRawHostsOnOnePort end as one where the sidecar has no address for each, whichever is refused of the two.
func TestTwoRawHostsOnOnePort(t *testing.T) {
	for _, second := range []string{"TCP", "MYSQL", "MONGO", "REDIS"} {
		p := client(t, false, raw{host: "a.test", protocol: "TCP"}, raw{host: "b.test", protocol: second})
		assert.Equal(t, to("a.test"), reached(p, rawCall, serverA), second)
		assert.Equal(t, to("a.test"), reached(p, rawCall, serverB), "%s: calls to one host end at the other", second)
		p = client(t, true, raw{host: "a.test", protocol: "TCP"}, raw{host: "b.test", protocol: second})
		assert.Equal(t, to("a.test"), reached(p, rawCall, automatic(1)), second)
		assert.Equal(t, to("b.test"), reached(p, rawCall, automatic(2)), second)
	}
	wildcards := []raw{
		{"*.a.test", "TCP", "resolution: DNS, endpoints: [{address: www.a.test}]"}, {"*.b.test", "TCP", "resolution: DNS, endpoints: [{address: www.b.test}]"},
	}
	assert.Equal(t, to("*.a.test"), reached(client(t, true, wildcards...), rawCall, serverB), "a wildcard is given no address")
}

// TestOneOfTwoWithTheServersOwnAddress is told from the other, and two servers of one address are not.
func TestOneOfTwoWithTheServersOwnAddress(t *testing.T) {
	static := func(address string) string {
		return "resolution: STATIC, addresses: [" + address + "], endpoints: [{address: " + address + "}]"
	}
	p := client(t, false, raw{host: "a.test", protocol: "TCP"}, raw{"b.test", "TCP", static(serverB)})
	assert.Equal(t, to("a.test"), reached(p, rawCall, serverA))
	assert.Equal(t, to("b.test"), reached(p, rawCall, serverB))
	p = client(t, false, raw{"a.test", "TCP", static(serverB)}, raw{"b.test", "TCP", static(serverB)})
	assert.Equal(t, to("a.test"), reached(p, rawCall, serverB), "calls to one host end at the other")
}

// TestRawTCPBesideWhatIsToldApart: Istio has the sidecar look at the first bytes, so that TCP whose client speaks first, HTTP
// and TLS go each their way; MONGO and MYSQL it lets share nothing, and drops the one it comes to last.
func TestRawTCPBesideWhatIsToldApart(t *testing.T) {
	calls := map[string]simulation.Call{"HTTP": httpCall, "TLS": tlsCall}
	inspector := map[string]string{"HTTP": "envoy.filters.listener.http_inspector", "TLS": "envoy.filters.listener.tls_inspector"}
	for _, protocol := range []string{"TCP", "REDIS", "MONGO", "MYSQL"} {
		for beside, call := range calls {
			for _, rawFirst := range []bool{true, false} {
				name := fmt.Sprintf("%s and %s, the former first: %v", protocol, beside, rawFirst)
				entries := []raw{{host: "a.test", protocol: protocol}, {host: "b.test", protocol: beside}}
				if !rawFirst {
					slices.Reverse(entries)
				}
				p := client(t, false, entries...)
				gotRaw, gotOther := reached(p, rawCall, serverA), reached(p, call, serverB)
				switch {
				case !egress.Alone(protocol):
					assert.Equal(t, []string{to("a.test"), to("b.test")}, []string{gotRaw, gotOther}, name)
					assert.Contains(t, waiting(p), inspector[beside], "%s: a server that speaks first is waited for in vain", name)
				case rawFirst:
					assert.Equal(t, []string{to("a.test"), to("a.test")}, []string{gotRaw, gotOther}, name)
				default:
					assert.Equal(t, []string{straight, to("b.test")}, []string{gotRaw, gotOther}, name)
				}
				p = client(t, true, entries...)
				at := automatic(1 + slices.IndexFunc(entries, func(r raw) bool { return r.host == "a.test" }))
				assert.Equal(t, to("a.test"), reached(p, rawCall, at), name)
				other := automatic(1 + slices.IndexFunc(entries, func(r raw) bool { return r.host == "b.test" }))
				assert.Equal(t, to("b.test"), reached(p, call, other), name)
			}
		}
	}
}

// waiting are the filters of the listener at every address that look at a call before it is led on, without an end.
func waiting(p *proxy) (out []string) {
	for _, listener := range p.Listeners {
		if listener.Name != "0.0.0.0_5432" || listener.GetListenerFiltersTimeout().AsDuration() != 0 {
			continue
		}
		for _, filter := range listener.ListenerFilters {
			out = append(out, filter.Name)
		}
	}
	return out
}

// TestAnHTTPPortOfAServiceIsAtEveryAddress, whatever the Service's own is; raw TCP of one is at its own.
func TestAnHTTPPortOfAServiceIsAtEveryAddress(t *testing.T) {
	service := func(port string) string {
		return "apiVersion: v1\nkind: Service\nmetadata: {name: shop, namespace: client}\nspec: {clusterIP: 10.0.0.9, ports: [" + port + "]}"
	}
	for name, want := range map[string]string{"http-web": straight, "tcp-db": to("a.test")} {
		text, err := yaml.Marshal(raw{host: "a.test", protocol: "MYSQL"}.sealedBy(t, 1).Object)
		require.NoError(t, err)
		sidecar := newMesh(t, string(text)+"\n---\n"+service("{number: 5432, port: 5432, name: "+name+"}")+gatewayService).sidecar(t, "client")
		assert.Equal(t, want, reached(sidecar, rawCall, serverA), name)
	}
}

// TestAddressesThatNoAppDials: an app that resolves the host dials the server's own address, which the entry does not catch.
func TestAddressesThatNoAppDials(t *testing.T) {
	const made = "198.51.100.1"
	entry := raw{"a.test", "TCP", "resolution: DNS, addresses: [" + made + "]"}
	assert.Equal(t, straight, reached(client(t, false, entry), rawCall, serverA), "past the gateway")
	assert.Equal(t, to("a.test"), reached(client(t, true, entry), rawCall, made), "which a sidecar that captures DNS has the app dial")
	entry.more = "resolution: STATIC, addresses: [" + serverA + "/32], endpoints: [{address: " + serverA + "}]"
	assert.Equal(t, to("a.test"), reached(client(t, false, entry), rawCall, serverA), "the server's own")
	entry.more = ""
	assert.Equal(t, to("a.test"), reached(client(t, false, entry), rawCall, serverA), "without any it takes the port")
}

// TestIstioTakesNoSeveralHostsOfRawTCP, nor protocols that it does not know.
func TestIstioTakesNoSeveralHostsOfRawTCP(t *testing.T) {
	one := raw{host: "a.test", protocol: "TCP"}.sealedBy(t, 1)
	require.NoError(t, accepted(one))
	several := one.DeepCopy()
	require.NoError(t, unstructured.SetNestedStringSlice(several.Object, []string{"a.test", "b.test"}, "spec", "hosts"))
	require.ErrorContains(t, accepted(several), "multiple hosts")
	for _, protocol := range []string{"POSTGRES", "KAFKA", "AMQP", "SMTP", "LDAP"} {
		unknown := one.DeepCopy()
		ports, _, _ := unstructured.NestedSlice(unknown.Object, "spec", "ports")
		ports[0].(map[string]any)["protocol"] = protocol
		require.NoError(t, unstructured.SetNestedSlice(unknown.Object, ports, "spec", "ports"))
		assert.Error(t, accepted(unknown), protocol)
	}
}

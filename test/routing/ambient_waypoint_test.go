package routing

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/test/xdstest"
	"istio.io/istio/pkg/workloadapi"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// chosen is what a waypoint does with calls of a port of a service.
type chosen struct {
	chain *listener.FilterChain
	// to is where it leads them, as host:port; nowhere for a service whose address it does not know.
	to []string
	// encrypted says that it speaks TLS there.
	encrypted bool
}

// waypointProxy is the proxy of the waypoint of a namespace.
func (a *ambient) waypointProxy(namespace, address string) *model.Proxy {
	labels := map[string]string{"gateway.networking.k8s.io/gateway-name": "waypoint", "gateway.istio.io/managed": "istio.io-mesh-controller"}
	return a.server.SetupProxy(&model.Proxy{
		Type: model.Waypoint, ConfigNamespace: namespace, IPAddresses: []string{address}, Labels: labels,
		Metadata: &model.NodeMetadata{Namespace: namespace, Labels: labels},
	})
}

// waypoint returns what the waypoint of a namespace does with calls that ztunnel brings for a service.
func (a *ambient) waypoint(t *testing.T, namespace, address string, of *workloadapi.Service, port int) (out chosen) {
	t.Helper()
	proxy := a.waypointProxy(namespace, address)
	internal := xdstest.ExtractListener("main_internal", a.server.Listeners(proxy))
	require.NotNil(t, internal)
	matcher, dialled := xdstest.Dump(t, internal.FilterChainMatcher), vip(t, of)
	if !strings.Contains(matcher, `"`+dialled+`"`) {
		return chosen{}
	}
	for _, chain := range internal.FilterChains {
		name := strings.Split(chain.Name, "|")
		if len(name) != 4 || name[1] != fmt.Sprint(port) || name[3] != of.Hostname {
			continue
		}
		require.Nil(t, out.chain, "two chains for one port of a host")
		out.chain = chain
	}
	require.NotNil(t, out.chain)
	cluster := xdstest.ExtractCluster(out.chain.Name, a.server.Clusters(proxy))
	require.NotNil(t, cluster)
	for _, group := range cluster.GetLoadAssignment().GetEndpoints() {
		for _, endpoint := range group.GetLbEndpoints() {
			at := endpoint.GetEndpoint().GetAddress().GetSocketAddress()
			out.to = append(out.to, fmt.Sprintf("%s:%d", at.GetAddress(), at.GetPortValue()))
		}
	}
	socket := xdstest.Dump(t, cluster.GetTransportSocket())
	out.encrypted = strings.Contains(socket, "UpstreamTlsContext") || len(cluster.GetTransportSocketMatches()) > 0
	return out
}

func vip(t *testing.T, of *workloadapi.Service) string {
	t.Helper()
	require.Len(t, of.Addresses, 1)
	ip, ok := netip.AddrFromSlice(of.Addresses[0].Address)
	require.True(t, ok)
	return ip.String()
}

const (
	ofA       = "spiffe://cluster.local/ns/app-a/sa/default"
	ofB       = "spiffe://cluster.local/ns/app-b/sa/default"
	sharedIP  = "3.0.0.1"
	toGateway = gatewayHost
)

// TestAmbientCallsComeByTheWaypoint: ztunnel is told of the waypoint for a host, and the waypoint leads the calls on to the gateway
// and nowhere else, those of the callers and of nobody else.
func TestAmbientCallsComeByTheWaypoint(t *testing.T) {
	for name, tc := range map[string]struct {
		namespace, exportTo string
		admitted, denied    []string
	}{
		"its own namespace": {"app-a", `, exportTo: ["."]`, []string{ofA, "spiffe://cluster.local/ns/app-a/sa/batch"}, []string{ofB, "spiffe://other.domain/ns/app-a/sa/default", "spiffe://cluster.local/ns/app-a2/sa/default", ""}},
		"another besides":   {"app-a", `, exportTo: [".", app-b]`, []string{ofA, ofB}, []string{"spiffe://cluster.local/ns/mixed/sa/default"}},
		"everybody":         {"app-a", "", []string{ofA, ofB}, nil},
		"both modes":        {"mixed", `, exportTo: ["."]`, []string{"spiffe://cluster.local/ns/mixed/sa/default"}, []string{ofA}},
	} {
		t.Run(name, func(t *testing.T) {
			objects := governedBy(t, egresstest.Ambient(), apiEntry(tc.namespace, "", tc.exportTo))
			a := newAmbient(t, nil, objects, shared)
			of := a.service(t, tc.namespace, api)
			assert.Equal(t, "waypoint.egress.svc.cluster.local", waypointName(of))
			assert.Empty(t, of.WeightedWaypoints)
			assert.Equal(t, []string{toGateway}, a.endpoints(of), "the way without a waypoint")
			for port, to := range map[int]string{80: toGateway + ":80", 443: toGateway + ":443"} {
				chosen := a.waypoint(t, "egress", sharedIP, of, port)
				assert.Equal(t, []string{to}, chosen.to)
				assert.False(t, chosen.encrypted)
				for _, principal := range tc.admitted {
					assert.True(t, chosen.admits(t, request{principal, api, uint32(port)}), "%s at %d", principal, port)
				}
				for _, principal := range tc.denied {
					assert.False(t, chosen.admits(t, request{principal, api, uint32(port)}), "%s at %d", principal, port)
				}
			}
		})
	}
}

// TestAWaypointLetsNobodyAskForOtherHosts: the gateway goes by Host and SNI, and the waypoint by the address that the app dialled. Whoever
// may call one host would else ask for any at its address, past what that one's own policy says.
func TestAWaypointLetsNobodyAskForOtherHosts(t *testing.T) {
	entry := func(hosts, ports, rest string) string {
		return "\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: api, namespace: app-a}\nspec: {hosts: [" + hosts + "], ports: [" + ports + "]" + rest + "}\n"
	}
	const (
		everybody = ", resolution: DNS"
		http      = "{number: 80, name: http, protocol: HTTP}"
		http2     = "{number: 8080, name: http2, protocol: HTTP2}"
		tls       = "{number: 443, name: tls, protocol: TLS}"
		https     = "{number: 8443, name: https, protocol: HTTPS}"
		private   = everybody + `, exportTo: ["."]`
		static    = `, resolution: STATIC, exportTo: ["."], addresses: [192.0.2.7], endpoints: [{address: 192.0.2.7}]`
	)
	secret := strings.ReplaceAll(apiEntry("app-b", "", `, exportTo: ["."]`), "name: api", "name: secret")
	secret = strings.ReplaceAll(secret, "api.example.com", "secret.example.com")
	for name, tc := range map[string]struct {
		hosts, ports, rest string
		port               uint32
		admitted, denied   []string
	}{
		"HTTP":                       {api, http, private, 80, []string{api, api + ":80", "API.example.com"}, []string{"secret.example.com", "secret.example.com:80", api + ":8080", "x." + api, api + ".evil.test", ""}},
		"HTTP beside TLS":            {api, http + ", " + tls, private, 80, []string{api, api + ":80"}, []string{"secret.example.com", "secret.example.com:443", ""}},
		"TLS":                        {api, tls, private, 443, []string{api, "API.example.com"}, []string{"secret.example.com", "x." + api, api + ":443", ""}},
		"TLS beside HTTP":            {api, http + ", " + tls, private, 443, []string{api}, []string{"secret.example.com", ""}},
		"HTTPS":                      {api, https, private, 8443, []string{api}, []string{"secret.example.com", ""}},
		"another port than HTTP has": {api, http2, private, 8080, []string{api, api + ":8080"}, []string{api + ":80", "secret.example.com"}},
		"several ports":              {api, http + ", " + http2, private, 8080, []string{api, api + ":8080", api + ":80"}, []string{"secret.example.com:8080"}},
		"several hosts":              {api + ", www.example.com", http, private, 80, []string{api, "www.example.com", "www.example.com:80"}, []string{"secret.example.com"}},
		"everybody may call":         {api, http + ", " + tls, everybody, 80, []string{api}, []string{"secret.example.com"}},
		"everybody may call, by TLS": {api, http + ", " + tls, everybody, 443, []string{api}, []string{"secret.example.com"}},
		"hosts below a wildcard":     {`"*.wiki.test"`, http, static, 80, []string{"de.wiki.test", "de.wiki.test:80"}, []string{"secret.example.com", "wiki.test", "dewiki.test"}},
		"the same by TLS":            {`"*.wiki.test"`, tls, static, 443, []string{"de.wiki.test"}, []string{"secret.example.com", "wiki.test", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			objects := governedBy(t, egresstest.Ambient(), entry(tc.hosts, tc.ports, tc.rest), secret)
			a := newAmbient(t, nil, objects, shared)
			for _, host := range strings.Split(strings.Trim(tc.hosts, `"`), ", ") {
				chosen := a.waypoint(t, "egress", sharedIP, a.service(t, "app-a", host), int(tc.port))
				assert.NotEmpty(t, chosen.rules(t))
				for _, asks := range tc.admitted {
					assert.True(t, chosen.admits(t, request{ofA, asks, tc.port}), asks)
					assert.Equal(t, tc.rest == everybody, chosen.admits(t, request{ofB, asks, tc.port}), asks)
				}
				for _, asks := range tc.denied {
					assert.False(t, chosen.admits(t, request{ofA, asks, tc.port}), asks)
				}
			}
			inspected(t, a, tc.port, tc.ports)
		})
	}
}

// inspected asserts that the waypoint reads the SNI of a port that has one.
func inspected(t *testing.T, a *ambient, port uint32, ports string) {
	t.Helper()
	if !strings.Contains(ports, "TLS") && !strings.Contains(ports, "HTTPS") {
		return
	}
	proxy := a.waypointProxy("egress", sharedIP)
	internal := xdstest.ExtractListener("main_internal", a.server.Listeners(proxy))
	require.NotNil(t, internal)
	i := slices.IndexFunc(internal.ListenerFilters, func(filter *listener.ListenerFilter) bool {
		return filter.Name == "envoy.filters.listener.tls_inspector"
	})
	require.GreaterOrEqual(t, i, 0)
	if port == 443 || port == 8443 {
		assert.NotContains(t, xdstest.Dump(t, internal.ListenerFilters[i].GetFilterDisabled()), fmt.Sprint(port))
	}
}

// TestARuleIsTheExitsBehindAWaypointToo: the waypoint calls the gateway in clear, and the gateway encrypts.
func TestARuleIsTheExitsBehindAWaypointToo(t *testing.T) {
	rule := "\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: api, namespace: app-a}\nspec: {host: api.example.com, trafficPolicy: {tls: {mode: SIMPLE}}}"
	entry := strings.ReplaceAll(apiEntry("app-a", "", ""), "name: http, protocol: HTTP", "name: http, protocol: HTTP, targetPort: 443")
	entry = strings.ReplaceAll(entry, ", {number: 443, name: tls, protocol: TLS}", "")
	stored := governedBy(t, egresstest.Ambient(), entry, rule)
	written := slices.DeleteFunc(slices.Clone(stored), func(object *unstructured.Unstructured) bool {
		return object.GetKind() == "DestinationRule" && object.GetNamespace() == "app-a"
	})
	for name, objects := range map[string][]*unstructured.Unstructured{"as it is stored": stored, "as it was written": append(written, documents(t, rule)...)} {
		a := newAmbient(t, nil, objects, shared)
		chosen := a.waypoint(t, "egress", sharedIP, a.service(t, "app-a", api), 80)
		assert.Equal(t, []string{toGateway + ":80"}, chosen.to)
		assert.Equal(t, name == "as it was written", chosen.encrypted, name)
	}
}

// TestRoutesAtAWaypointLeadToTheGateway: a waypoint goes by the routes of the entry's namespace, as sidecars do, each by its entry or by
// the gateway's Service.
func TestRoutesAtAWaypointLeadToTheGateway(t *testing.T) {
	routes := "\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: api, namespace: app-a}\n" + `spec:
  hosts: [api.example.com]
  http:
  - match: [{port: 80, headers: {x-beta: {exact: "1"}}}]
    timeout: 3s
    route: [{destination: {host: api.example.com, port: {number: 80}}}]
  - match: [{port: 80}]
    route: [{destination: {host: api.example.com}, weight: 50}, {destination: {host: api.example.com, port: {number: 80}}, weight: 50}]
    mirror: {host: api.example.com}
`
	a := newAmbient(t, nil, governedBy(t, egresstest.Ambient(), apiEntry("app-a", "", ""), routes), shared)
	chosen := a.waypoint(t, "egress", sharedIP, a.service(t, "app-a", api), 80)
	led := chosen.clusters(t)
	assert.Len(t, led, 4, "%v", led)
	for _, name := range led {
		if name != chosen.chain.Name {
			assert.Equal(t, "outbound|80||"+gatewayHost, name)
		}
	}
	assert.Equal(t, []string{toGateway + ":80"}, chosen.to)
}

// clusters are all to which the routes of an HTTP chain lead, once for each way.
func (c chosen) clusters(t *testing.T) (out []string) {
	t.Helper()
	for _, filter := range c.chain.Filters {
		var manager hcm.HttpConnectionManager
		if filter.GetTypedConfig().UnmarshalTo(&manager) != nil {
			continue
		}
		for _, vh := range manager.GetRouteConfig().GetVirtualHosts() {
			for _, route := range vh.Routes {
				action := route.GetRoute()
				if action.GetCluster() != "" {
					out = append(out, action.GetCluster())
				}
				for _, weighted := range action.GetWeightedClusters().GetClusters() {
					out = append(out, weighted.Name)
				}
				for _, mirror := range action.GetRequestMirrorPolicies() {
					out = append(out, mirror.Cluster)
				}
			}
		}
	}
	return out
}

// TestAWaypointServesOneEntryOfAHost is why a second one is refused: whichever it serves, calls by the other are lost.
func TestAWaypointServesOneEntryOfAHost(t *testing.T) {
	second := documents(t, apiEntry("app-b", "", ""))[0]
	assert.Equal(t, "waypoint-host spec.hosts[0]", refusal(t, egresstest.Ambient(), second, apiEntry("app-a", "", "")))

	// As they would be stored if each waypoint took them for the only one.
	both := governedBy(t, egresstest.Ambient(), apiEntry("app-a", "", ""))
	for _, object := range governedBy(t, egresstest.Ambient(), apiEntry("app-b", "", "")) {
		if object.GetKind() == "ServiceEntry" && object.GetNamespace() == "app-b" {
			both = append(both, object)
		}
	}
	a := newAmbient(t, nil, both, shared)
	// Which one is by chance, each time that istiod looks.
	internal := xdstest.ExtractListener("main_internal", a.server.Listeners(a.waypointProxy("egress", sharedIP)))
	require.NotNil(t, internal)
	served, matcher := 0, xdstest.Dump(t, internal.FilterChainMatcher)
	for _, namespace := range []string{"app-a", "app-b"} {
		of := a.service(t, namespace, api)
		assert.Equal(t, "waypoint.egress.svc.cluster.local", waypointName(of))
		if strings.Contains(matcher, `"`+vip(t, of)+`"`) {
			served++
		}
	}
	assert.LessOrEqual(t, served, 1)
}

// TestAWaypointOfEachNamespace: every namespace has an entry of its own, and its own waypoint.
func TestAWaypointOfEachNamespace(t *testing.T) {
	mesh := egresstest.Ambient()
	mesh.Gateways[0].Waypoint.Namespace = ""
	objects := governedBy(t, mesh, apiEntry("app-a", "", `, exportTo: ["."]`), apiEntry("app-b", "", `, exportTo: ["."]`))
	a := newAmbient(t, nil, objects, waypointOf("app-a", "waypoint", "3.0.1.", "Same"), waypointOf("app-b", "waypoint", "3.0.2.", "Same"))
	for namespace, address := range map[string]string{"app-a": "3.0.1.1", "app-b": "3.0.2.1"} {
		of := a.service(t, namespace, api)
		assert.Equal(t, "waypoint."+namespace+".svc.cluster.local", waypointName(of))
		chosen := a.waypoint(t, namespace, address, of, 443)
		assert.Equal(t, []string{toGateway + ":443"}, chosen.to)
		assert.True(t, chosen.admits(t, request{"spiffe://cluster.local/ns/" + namespace + "/sa/default", api, 443}))
	}
}

// TestAWaypointCallsInClear is why a gateway with a waypoint has transport Plain: one by MutualTLS would turn it away.
func TestAWaypointCallsInClear(t *testing.T) {
	mesh := egresstest.Ambient()
	mesh.Gateways[0].Transport, mesh.Gateways[0].ServiceAccount = egress.MutualTLS, "istio-egressgateway"
	a := newAmbient(t, nil, governedBy(t, mesh, apiEntry("app-a", "", "")), shared)
	chosen := a.waypoint(t, "egress", sharedIP, a.service(t, "app-a", api), 80)
	assert.Equal(t, []string{toGateway + ":80"}, chosen.to)
	assert.False(t, chosen.encrypted)
}

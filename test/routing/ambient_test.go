package routing

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbac "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	httprbac "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	networkrbac "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	meshconfig "istio.io/api/mesh/v1alpha1"
	"istio.io/istio/pilot/pkg/features"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pilot/test/xdstest"
	meshes "istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/test"
	"istio.io/istio/pkg/workloadapi"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/internal/render"
	"github.com/egress-governor/egress-governor/internal/review"
)

// What ztunnel goes by is judged here: the objects of the workload API that istiod makes of what is stored, and the
// configuration of the waypoint that they name. Ztunnel itself runs nowhere, and no packet.

// anything is in force where there is no policy.
type anything struct{}

func (anything) Evaluate(context.Context, policy.Review) policy.Decision { return policy.Decision{} }

const ambientNamespaces = `
apiVersion: v1
kind: Namespace
metadata: {name: app-a, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Namespace
metadata: {name: app-b, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Namespace
metadata: {name: mixed, labels: {istio.io/dataplane-mode: ambient, istio-injection: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: sidecars, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: istio-system, labels: {kubernetes.io/metadata.name: istio-system}}
`

// waypointOf is a waypoint as istiod keeps it, with one pod.
func waypointOf(namespace, name, address, allowed string) string {
	return strings.NewReplacer("NAMESPACE", namespace, "NAME", name, "ADDRESS", address, "ALLOWED", allowed).Replace(`
---
apiVersion: v1
kind: Service
metadata: {name: NAME, namespace: NAMESPACE, labels: {gateway.istio.io/managed: istio.io-mesh-controller, gateway.networking.k8s.io/gateway-name: NAME}}
spec: {clusterIP: ADDRESS0, ports: [{appProtocol: hbone, name: mesh, port: 15008}], selector: {gateway.networking.k8s.io/gateway-name: NAME}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: NAME-1, namespace: NAMESPACE}
spec: {address: ADDRESS1, labels: {gateway.networking.k8s.io/gateway-name: NAME}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: NAME, namespace: NAMESPACE}
spec:
  gatewayClassName: istio-waypoint
  listeners: [{name: mesh, port: 15008, protocol: HBONE, allowedRoutes: {namespaces: {from: ALLOWED}}}]
status: {addresses: [{type: Hostname, value: NAME.NAMESPACE.svc.cluster.local}]}
`)
}

var shared = waypointOf("egress", "waypoint", "3.0.0.", "All")

// apiEntry is an entry of api.example.com.
func apiEntry(namespace, metadata, spec string) string {
	return fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: %s%s}
spec: {hosts: [api.example.com], ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}], resolution: DNS%s}
`, namespace, metadata, spec)
}

func documents(t *testing.T, manifests string) (out []*unstructured.Unstructured) {
	t.Helper()
	for _, document := range strings.Split(manifests, "\n---\n") {
		object := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte(document), &object.Object))
		if object.Object != nil {
			out = append(out, object)
		}
	}
	return out
}

// governedBy has manifests stored as the webhook and the controllers store them.
func governedBy(t *testing.T, mesh *egress.Mesh, manifests ...string) []*unstructured.Unstructured {
	t.Helper()
	cluster := render.New(mesh, anything{}, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	for _, object := range documents(t, ambientNamespaces+gatewayService) {
		require.NoError(t, cluster.Store(object))
	}
	for _, manifest := range manifests {
		for _, object := range documents(t, manifest) {
			outcome, err := cluster.Apply(t.Context(), object)
			require.NoError(t, err)
			if outcome != nil {
				require.Equal(t, review.Allowed, outcome.Verdict, "%v", outcome.Findings)
			}
		}
	}
	out, err := cluster.Objects()
	require.NoError(t, err)
	return out
}

// ambient is a control plane in ambient mode.
type ambient struct{ server *xds.FakeDiscoveryServer }

// newAmbient returns the control plane of objects and manifests under a mesh configuration, Istio's default where it is nil.
func newAmbient(t *testing.T, configuration *meshconfig.MeshConfig, objects []*unstructured.Unstructured, manifests ...string) *ambient {
	t.Helper()
	test.SetForTest(t, &features.EnableAmbient, true)
	test.SetForTest(t, &features.EnableAmbientWaypoints, true)
	for _, manifest := range manifests {
		objects = append(objects, documents(t, manifest)...)
	}
	var all []string
	for i, object := range objects {
		raw, err := yaml.Marshal(allocated(t, object, i).Object)
		require.NoError(t, err)
		all = append(all, string(raw))
	}
	// Ambient mode reads all kinds from the API server, the generator of proxies Istio's own from its store.
	text := strings.Join(all, "\n---\n")
	return &ambient{xds.NewFakeDiscoveryServer(t, xds.FakeOptions{ConfigString: text, KubernetesObjectString: text, MeshConfig: configuration})}
}

// allocated gives an entry the addresses that istiod's controller would, which does not run here. Whether istiod goes by them is
// its own business.
func allocated(t *testing.T, object *unstructured.Unstructured, i int) *unstructured.Unstructured {
	t.Helper()
	if object.GetKind() != "ServiceEntry" {
		return object
	}
	out := object.DeepCopy()
	hosts, _, _ := unstructured.NestedStringSlice(out.Object, "spec", "hosts")
	var addresses []any
	for j, host := range hosts {
		addresses = append(addresses, map[string]any{"value": fmt.Sprintf("240.240.%d.%d", i, j+1), "host": host})
	}
	require.NoError(t, unstructured.SetNestedSlice(out.Object, addresses, "status", "addresses"))
	return out
}

// service is what ztunnel is told of a host by the entry of a namespace.
func (a *ambient) service(t *testing.T, namespace, host string) *workloadapi.Service {
	t.Helper()
	for _, info := range a.server.AmbientIndex.All() {
		if of := info.GetService(); of != nil && of.Namespace == namespace && of.Hostname == host {
			return of
		}
	}
	require.Fail(t, "no service", "%s/%s", namespace, host)
	return nil
}

// called is the service by which a pod of a namespace calls a host: that of its own namespace, or else the one of all.
func (a *ambient) called(t *testing.T, namespace, host string) (out *workloadapi.Service) {
	t.Helper()
	for _, info := range a.server.AmbientIndex.All() {
		of := info.GetService()
		if of == nil || of.Hostname != host {
			continue
		}
		if of.Namespace == namespace {
			return of
		}
		if of.Canonical {
			out = of
		}
	}
	return out
}

func waypointName(of *workloadapi.Service) string {
	return of.GetWaypoint().GetHostname().GetHostname()
}

// endpoints is where ztunnel goes for a service that has no waypoint.
func (a *ambient) endpoints(of *workloadapi.Service) (out []string) {
	for _, info := range a.server.AmbientIndex.All() {
		if workload := info.GetWorkload(); workload != nil && workload.Services[of.Namespace+"/"+of.Hostname] != nil {
			out = append(out, workload.Hostname)
		}
	}
	return out
}

// chosen is what a waypoint does with calls of a port of a service.
type chosen struct {
	chain *listener.FilterChain
	// to is where it leads them, as host:port; nowhere for a service whose address it does not know.
	to []string
	// encrypted says that it speaks TLS there.
	encrypted bool
}

// waypoint returns what the waypoint of a namespace does with calls that ztunnel brings for a service.
func (a *ambient) waypoint(t *testing.T, namespace, address string, of *workloadapi.Service, port int) (out chosen) {
	t.Helper()
	labels := map[string]string{"gateway.networking.k8s.io/gateway-name": "waypoint", "gateway.istio.io/managed": "istio.io-mesh-controller"}
	proxy := a.server.SetupProxy(&model.Proxy{
		Type: model.Waypoint, ConfigNamespace: namespace, IPAddresses: []string{address}, Labels: labels,
		Metadata: &model.NodeMetadata{Namespace: namespace, Labels: labels},
	})
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

// admits says whether a filter chain of a waypoint lets a caller's calls through.
func (c chosen) admits(t *testing.T, principal string) bool {
	t.Helper()
	for _, rules := range c.rules(t) {
		require.Equal(t, rbac.RBAC_DENY, rules.GetAction())
		for _, policy := range rules.Policies {
			for _, who := range policy.Principals {
				if is(t, who, principal) {
					return false
				}
			}
		}
	}
	return true
}

// rules are all by which the chain decides who calls, of HTTP or of connections.
func (c chosen) rules(t *testing.T) (out []*rbac.RBAC) {
	t.Helper()
	for _, filter := range c.chain.Filters {
		switch filter.Name {
		case "envoy.filters.network.rbac":
			var of networkrbac.RBAC
			require.NoError(t, filter.GetTypedConfig().UnmarshalTo(&of))
			out = append(out, of.Rules)
		case "envoy.filters.network.http_connection_manager":
			var manager hcm.HttpConnectionManager
			require.NoError(t, filter.GetTypedConfig().UnmarshalTo(&manager))
			for _, http := range manager.HttpFilters {
				if http.Name == "envoy.filters.http.rbac" {
					var of httprbac.RBAC
					require.NoError(t, http.GetTypedConfig().UnmarshalTo(&of))
					out = append(out, of.Rules)
				}
			}
		}
	}
	return out
}

// is says whether a condition holds for a caller; those that are made of us are about nothing else.
func is(t *testing.T, who *rbac.Principal, principal string) bool {
	t.Helper()
	of := func(some []*rbac.Principal) func(bool) bool {
		return func(all bool) bool {
			some := slices.Clone(some)
			holds := func(one *rbac.Principal) bool { return is(t, one, principal) }
			if all {
				return !slices.ContainsFunc(some, func(one *rbac.Principal) bool { return !holds(one) })
			}
			return slices.ContainsFunc(some, holds)
		}
	}
	switch id := who.Identifier.(type) {
	case *rbac.Principal_Any:
		return id.Any
	case *rbac.Principal_AndIds:
		return of(id.AndIds.Ids)(true)
	case *rbac.Principal_OrIds:
		return of(id.OrIds.Ids)(false)
	case *rbac.Principal_NotId:
		return !is(t, id.NotId, principal)
	case *rbac.Principal_FilterState:
		require.Equal(t, "io.istio.peer_principal", id.FilterState.Key)
		if prefix := id.FilterState.GetStringMatch().GetPrefix(); prefix != "" {
			return strings.HasPrefix(principal, prefix)
		}
		return id.FilterState.GetStringMatch().GetExact() == principal
	}
	require.Fail(t, "an unknown condition", "%v", who)
	return false
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
					assert.True(t, chosen.admits(t, principal), "%s at %d", principal, port)
				}
				for _, principal := range tc.denied {
					assert.False(t, chosen.admits(t, principal), "%s at %d", principal, port)
				}
			}
		})
	}
}

// TestOptingOutLeadsPastTheWaypoint is why labels of an author's are refused: each of these, on a stored entry, has ztunnel told of
// another waypoint, or of none.
func TestOptingOutLeadsPastTheWaypoint(t *testing.T) {
	other := waypointOf("app-a", "waypoint", "3.0.1.", "Same")
	for name, tc := range map[string]struct {
		metadata string
		code     string
		// past says that some call of the host goes past the waypoint.
		past bool
	}{
		"none":                   {`, labels: {istio.io/use-waypoint: none}`, "other-waypoint metadata.labels[istio.io/use-waypoint]", true},
		"one of its own":         {`, labels: {istio.io/use-waypoint-namespace: app-a}`, "other-waypoint metadata.labels[istio.io/use-waypoint-namespace]", true},
		"another name":           {`, labels: {istio.io/use-waypoint: mine}`, "other-waypoint metadata.labels[istio.io/use-waypoint]", true},
		"a share":                {`, labels: {istio.io/use-waypoint-canary: waypoint}, annotations: {istio.io/use-waypoint-canary-weight: "100"}`, "other-waypoint metadata.labels[istio.io/use-waypoint-canary]", true},
		"no address":             {`, labels: {networking.istio.io/enable-autoallocate-ip: "false"}`, "no-address spec.hosts[0]", true},
		"what pods alone may do": {`, annotations: {ambient.istio.io/dns-capture: "false"}, labels: {ambient.istio.io/dns-capture: "false"}`, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			written := documents(t, apiEntry("app-a", tc.metadata, ""))[0]
			assert.Equal(t, tc.code, refusal(t, egresstest.Ambient(), written))
			var stored []*unstructured.Unstructured
			for _, object := range governedBy(t, egresstest.Ambient(), apiEntry("app-a", "", "")) {
				if object.GetKind() == "ServiceEntry" && object.GetNamespace() == "app-a" {
					for key, value := range written.GetLabels() {
						require.NoError(t, unstructured.SetNestedField(object.Object, value, "metadata", "labels", key))
					}
					annotations := object.GetAnnotations()
					for key, value := range written.GetAnnotations() {
						annotations[key] = value
					}
					object.SetAnnotations(annotations)
				}
				stored = append(stored, object)
			}
			of := newAmbient(t, nil, stored, shared, other).service(t, "app-a", api)
			past := len(of.Addresses) == 0 || len(of.WeightedWaypoints) > 0 || of.GetWaypoint().GetHostname().GetNamespace() != "egress"
			assert.Equal(t, tc.past, past, "%v", of)
		})
	}
}

// refusal is the first that an entry is refused by, empty where it is stored.
func refusal(t *testing.T, mesh *egress.Mesh, object *unstructured.Unstructured, before ...string) string {
	t.Helper()
	cluster := render.New(mesh, anything{}, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	for _, of := range documents(t, ambientNamespaces+gatewayService) {
		require.NoError(t, cluster.Store(of))
	}
	for _, manifest := range before {
		_, err := cluster.Apply(t.Context(), documents(t, manifest)[0])
		require.NoError(t, err)
	}
	outcome, err := cluster.Apply(t.Context(), object)
	require.NoError(t, err)
	if len(outcome.Findings) == 0 {
		return ""
	}
	return outcome.Findings[0].Code + " " + outcome.Findings[0].Field
}

// TestNamespacesChooseNoWaypointForABoundEntry: an entry's own labels stand before those of its namespace.
func TestNamespacesChooseNoWaypointForABoundEntry(t *testing.T) {
	objects := governedBy(t, egresstest.Ambient(), apiEntry("app-a", "", ""))
	for _, object := range objects {
		if object.GetKind() == "Namespace" && object.GetName() == "app-a" {
			object.SetLabels(map[string]string{"istio.io/use-waypoint": "none", "istio.io/use-waypoint-canary": "waypoint"})
			object.SetAnnotations(map[string]string{"istio.io/use-waypoint-canary-weight": "100"})
		}
	}
	of := newAmbient(t, nil, objects, shared, waypointOf("app-a", "waypoint", "3.0.1.", "Same")).service(t, "app-a", api)
	assert.Equal(t, "waypoint.egress.svc.cluster.local", waypointName(of))
	assert.Empty(t, of.WeightedWaypoints)
}

// TestABindingAloneFailsOpen is why a bound entry is sealed as well: where the waypoint is not there, or does not take the
// namespace, ztunnel calls whatever the entry's endpoint is.
func TestABindingAloneFailsOpen(t *testing.T) {
	sealed := governedBy(t, egresstest.Ambient(), apiEntry("app-a", "", ""))
	bare := documents(t, ambientNamespaces+apiEntry("app-a", ", labels: {istio.io/use-waypoint: waypoint, istio.io/use-waypoint-namespace: egress}", ""))
	for name, waypoint := range map[string]string{"missing": "", "for its own namespace alone": waypointOf("egress", "waypoint", "3.0.0.", "Same")} {
		t.Run(name, func(t *testing.T) {
			for want, objects := range map[string][]*unstructured.Unstructured{toGateway: sealed, api: bare} {
				a := newAmbient(t, nil, objects, waypoint)
				of := a.service(t, "app-a", api)
				assert.Nil(t, of.Waypoint)
				assert.Equal(t, []string{want}, a.endpoints(of))
			}
		})
	}
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
	served := 0
	for _, namespace := range []string{"app-a", "app-b"} {
		of := a.service(t, namespace, api)
		assert.Equal(t, "waypoint.egress.svc.cluster.local", waypointName(of))
		if a.waypoint(t, "egress", sharedIP, of, 80).chain != nil {
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
		assert.True(t, chosen.admits(t, "spiffe://cluster.local/ns/"+namespace+"/sa/default"))
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

// TestWildcardsHaveNoAddress is why they are refused where ambient mode would call their hosts straight, and are not beside it.
func TestWildcardsHaveNoAddress(t *testing.T) {
	const spec = "\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: wild, namespace: NAMESPACE}\n" +
		`spec: {hosts: ["*.wiki.test"], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS, endpoints: [{address: www.wiki.test}]}`
	assert.Equal(t, "no-address spec.hosts[0]", refusal(t, egresstest.Ambient(), documents(t, strings.ReplaceAll(spec, "NAMESPACE", "app-a"))[0]))
	objects := governedBy(t, egresstest.Ambient(), strings.ReplaceAll(spec, "NAMESPACE", "sidecars"))
	assert.Empty(t, newAmbient(t, nil, objects, shared).service(t, "sidecars", "*.wiki.test").Addresses)
}

// TestTheExitItselfMayServeAmbientMode is what preflight tells of: a pod of a namespace without an entry of its own goes by the
// oldest of all, to whomever it is exported, and that may be the exit. Hidden by the mesh configuration, it is not.
func TestTheExitItselfMayServeAmbientMode(t *testing.T) {
	objects := governedBy(t, egresstest.Ambient(), apiEntry("app-a", "", ""))
	for _, object := range objects {
		if object.GetKind() == "ServiceEntry" && object.GetNamespace() == "istio-system" {
			// That of an entry that is gone.
			require.NoError(t, unstructured.SetNestedField(object.Object, "2025-12-31T00:00:00Z", "metadata", "creationTimestamp"))
		}
	}
	a := newAmbient(t, nil, objects, shared)
	exit := a.called(t, "app-b", api)
	assert.Equal(t, "istio-system", exit.Namespace)
	assert.Nil(t, exit.Waypoint)
	assert.Equal(t, []string{api}, a.endpoints(exit), "straight")
	assert.Equal(t, "app-a", a.called(t, "app-a", api).Namespace, "its own stands before it")

	hidden, err := meshes.ApplyMeshConfigDefaults(`serviceEntryVisibility: {policies: [{visibility: NAMESPACE, matchingRules: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: istio-system}}}]}]}`)
	require.NoError(t, err)
	of := newAmbient(t, hidden, objects, shared).called(t, "app-b", api)
	assert.Equal(t, "app-a", of.Namespace)
	assert.Equal(t, "waypoint.egress.svc.cluster.local", waypointName(of))
}

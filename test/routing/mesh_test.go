// Package routing proves by Istio's own xDS generator where calls go: from a client's sidecar to the egress gateway,
// and from there to the external host. What it proves are the objects that the real webhook and controller stored in a
// real kube-apiserver (test/integration, TestShapes).
package routing

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/stretchr/testify/require"
	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	"istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/simulation"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pilot/test/xdstest"
	"istio.io/istio/pkg/config/schema/gvk"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/test/proof"
)

const gatewayHost = "istio-egressgateway.istio-system.svc.cluster.local"

// mesh is a control plane that holds some objects.
type mesh struct {
	server *xds.FakeDiscoveryServer
	// istio holds the Istio objects, one document each.
	istio []string
	// manifests are what it was made of.
	manifests string
}

// ofCase returns the mesh of a case, as it is stored by a transport.
func ofCase(t *testing.T, name, by string) *mesh {
	t.Helper()
	all, err := proof.Load(filepath.Join("cases", name))
	require.NoError(t, err)
	stored, err := all[0].Store(t.Context(), by)
	require.NoError(t, err)
	return meshOf(t, all[0], stored)
}

// written returns a mesh of manifests of testdata that nobody governed, with the gateway's Service.
func written(t *testing.T, name string) *mesh {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name+".yaml"))
	require.NoError(t, err)
	return newMesh(t, string(raw)+gatewayService)
}

const gatewayService = `
---
apiVersion: v1
kind: Service
metadata: {name: istio-egressgateway, namespace: istio-system}
spec:
  clusterIP: 10.0.0.80
  selector: {istio: egressgateway}
  ports: [{name: http2, port: 80, targetPort: 8080}, {name: https, port: 443, targetPort: 8443}]
`

func newMesh(t *testing.T, manifests string) *mesh {
	t.Helper()
	return newMeshUnder(t, nil, manifests)
}

// newMeshUnder returns the mesh of manifests under a mesh configuration, Istio's default where it is nil.
func newMeshUnder(t *testing.T, configuration *meshconfig.MeshConfig, manifests string) *mesh {
	t.Helper()
	var services []string
	out, given := &mesh{manifests: manifests}, map[string][]*networking.ServiceEntryAddress{}
	for _, document := range strings.Split(manifests, "\n---\n") {
		document = strings.TrimPrefix(document, "---\n")
		var object map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(document), &object))
		if object == nil {
			continue
		}
		given[nameOf(object)] = addressesOf(object)
		if object["kind"] != "Pod" {
			delete(object, "status")
		}
		raw, err := yaml.Marshal(object)
		require.NoError(t, err)
		if ofIstio(object) {
			out.istio = append(out.istio, string(raw))
		} else {
			services = append(services, string(raw))
		}
	}
	services = append(services, parents(services, out.istio)...)
	configs, _, err := crd.ParseInputs(strings.Join(out.istio, "\n---\n"))
	require.NoError(t, err)
	now := time.Now()
	for i := range configs {
		// As istiod has it: short names are of this domain.
		configs[i].Domain = "cluster.local"
		if configs[i].CreationTimestamp.IsZero() {
			configs[i].CreationTimestamp = now // As what controllers make, after all that was applied.
		}
		if of := given["ServiceEntry/"+configs[i].Namespace+"/"+configs[i].Name]; configs[i].GroupVersionKind == gvk.ServiceEntry && of != nil {
			configs[i].Status = &networking.ServiceEntryStatus{Addresses: of}
		}
	}
	out.server = xds.NewFakeDiscoveryServer(t, xds.FakeOptions{
		Configs: configs, KubernetesObjectString: strings.Join(services, "\n---\n"), MeshConfig: configuration,
		KubeClientModifier: alsoServed(t),
	})
	return out
}

func nameOf(object map[string]any) string {
	namespace, _, _ := unstructured.NestedString(object, "metadata", "namespace")
	name, _, _ := unstructured.NestedString(object, "metadata", "name")
	kind, _ := object["kind"].(string)
	return kind + "/" + namespace + "/" + name
}

// addressesOf are those that istiod gave the hosts of an entry.
func addressesOf(object map[string]any) (out []*networking.ServiceEntryAddress) {
	items, _, _ := unstructured.NestedSlice(object, "status", "addresses")
	for _, item := range items {
		of, _ := item.(map[string]any)
		value, _ := of["value"].(string)
		host, _ := of["host"].(string)
		out = append(out, &networking.ServiceEntryAddress{Value: value, Host: host})
	}
	return out
}

// proxy is one that the generator configures, with the endpoints it is told of clusters it does not resolve itself.
type proxy struct {
	*simulation.Simulation
	endpoints map[string][]string
}

func (m *mesh) proxy(t *testing.T, of *model.Proxy) *proxy {
	// A proxy has a locality, if an empty one; without it the generator fails on a rule of localities.
	of.Locality = &core.Locality{}
	of = m.server.SetupProxy(of)
	return &proxy{simulation.NewSimulation(t, m.server, of), xdstest.ExtractLoadAssignments(m.server.Endpoints(of))}
}

func (m *mesh) sidecar(t *testing.T, namespace string) *proxy {
	return m.proxy(t, &model.Proxy{
		Type: model.SidecarProxy, ID: "client." + namespace, ConfigNamespace: namespace, IPAddresses: []string{"10.1.0.1"},
		Metadata: &model.NodeMetadata{Namespace: namespace},
	})
}

// gateway is the egress gateway with a label; the first one where it is empty.
func (m *mesh) gateway(t *testing.T, istio string) *proxy {
	return m.routerOf(t, "istio-system", cmp.Or(istio, "egressgateway"))
}

// routerOf is a gateway's proxy in a namespace with a label.
func (m *mesh) routerOf(t *testing.T, namespace, istio string) *proxy {
	labels := map[string]string{"istio": istio}
	return m.proxy(t, &model.Proxy{
		Type: model.Router, ID: "gateway." + namespace, ConfigNamespace: namespace, IPAddresses: []string{"10.1.0.2"},
		Labels: labels, Metadata: &model.NodeMetadata{Namespace: namespace, Labels: labels},
	})
}

// call is one that an app makes.
type call struct {
	namespace, host string
	port            int
	tls             bool
	// address is the one that the app dials, empty for any.
	address string
	// asks is what a route put in the place of the Host header, empty for nothing.
	asks string
	// raw says that the protocol carries no host.
	raw bool
	// mutual is a call within the mesh's mutual TLS: by whom, and under which SNI. It is nil for one that is not.
	mutual *mutual
}

type mutual struct{ caller, sni string }

func (c call) String() string {
	scheme := "http"
	switch {
	case c.raw:
		scheme = "tcp"
	case c.tls:
		scheme = "tls"
	}
	return fmt.Sprintf("%s://%s:%d from %s", scheme, c.host, c.port, c.namespace)
}

func (c call) simulated(port int, mode simulation.CallMode) simulation.Call {
	switch {
	case c.mutual != nil && (c.raw || c.tls):
		return simulation.Call{Port: port, Protocol: simulation.TCP, TLS: simulation.MTLS, Sni: c.mutual.sni, CallMode: mode}
	case c.mutual != nil:
		return simulation.Call{Port: port, Protocol: simulation.HTTP, TLS: simulation.MTLS, Sni: c.mutual.sni, HostHeader: c.authority(), CallMode: mode}
	case c.raw:
		return simulation.Call{Port: port, Protocol: simulation.TCP, Address: c.address, CallMode: mode}
	}
	if c.tls {
		return simulation.Call{Port: port, Protocol: simulation.TCP, TLS: simulation.TLS, Sni: c.host, Address: c.address, CallMode: mode}
	}
	return simulation.Call{Port: port, Protocol: simulation.HTTP, HostHeader: c.authority(), Address: c.address, CallMode: mode}
}

// authority is the Host header that clients send: with the port, unless it is 80.
func (c call) authority() string {
	if c.asks != "" {
		return c.asks
	}
	if c.port == 80 {
		return c.host
	}
	return fmt.Sprintf("%s:%d", c.host, c.port)
}

// addresses returns where a cluster's connections go: names as DNS of the world has them, however they are written.
func addresses(sim *proxy, name string) []string {
	out := asked(sim, name)
	for i, address := range out {
		out[i] = strings.ReplaceAll(address, ".:", ":")
	}
	slices.Sort(out)
	return out
}

// relative returns the names among where a cluster's connections go to which the search domains of a proxy's pod are added.
func relative(sim *proxy, name string) (out []string) {
	for _, address := range asked(sim, name) {
		host, _, err := net.SplitHostPort(address)
		if err == nil && !egress.IsIP(host) && !strings.HasSuffix(host, ".") {
			out = append(out, address)
		}
	}
	return out
}

// asked returns where a cluster's connections go, as a proxy is told.
func asked(sim *proxy, name string) []string {
	found := xdstest.ExtractCluster(name, sim.Clusters)
	if found == nil {
		return nil
	}
	out := slices.Clone(sim.endpoints[name])
	for _, addresses := range xdstest.ExtractClusterEndpoints([]*cluster.Cluster{found}) {
		out = append(out, addresses...)
	}
	return out
}

// sni returns the name for which a cluster encrypts what it sends, "-" where that is the call's own; empty where it
// encrypts nothing.
func sni(t *testing.T, sim *proxy, name string) string {
	t.Helper()
	found := xdstest.ExtractCluster(name, sim.Clusters)
	if found.GetTransportSocket() == nil {
		return ""
	}
	var context tlsv3.UpstreamTlsContext
	require.NoError(t, found.GetTransportSocket().GetTypedConfig().UnmarshalTo(&context))
	return cmp.Or(context.Sni, "-")
}

// overlapping returns the conditions that two filter chains of one listener share, and the addresses that two listeners do: a
// sidecar has its health and its metrics beside what istiod gives it.
func overlapping(sim *proxy) (out []string) {
	at := map[string]string{}
	if xdstest.ExtractListener("virtualOutbound", sim.Listeners) != nil {
		at["0.0.0.0:15021"], at["0.0.0.0:15090"] = "health", "metrics"
	}
	for _, listener := range sim.Listeners {
		if socket := listener.GetAddress().GetSocketAddress(); socket != nil {
			address := fmt.Sprintf("%s:%d", socket.GetAddress(), socket.GetPortValue())
			if other := at[address]; other != "" {
				out = append(out, fmt.Sprintf("%s and %s at %s", listener.Name, other, address))
			}
			at[address] = listener.Name
		}
		seen := map[string]bool{}
		for _, chain := range listener.FilterChains {
			match := chain.GetFilterChainMatch()
			names := match.GetServerNames()
			if len(names) == 0 {
				names = []string{""}
			}
			for _, name := range names {
				key := fmt.Sprintf("%s %q %v %v %v %v", listener.Name, name, match.GetDestinationPort().GetValue(), match.GetPrefixRanges(), match.GetTransportProtocol(), match.GetApplicationProtocols())
				if seen[key] {
					out = append(out, key)
				}
				seen[key] = true
			}
		}
	}
	return out
}

// rewritten returns what the routes of a virtual host put in the place of the Host header.
func rewritten(sim *proxy, configuration, host string) (out []string) {
	for _, vh := range xdstest.ExtractRouteConfigurations(sim.Routes)[configuration].GetVirtualHosts() {
		if vh.Name != host {
			continue
		}
		for _, r := range vh.Routes {
			all := []string{r.GetRoute().GetHostRewriteLiteral()}
			for _, weighted := range r.GetRoute().GetWeightedClusters().GetClusters() {
				all = append(all, weighted.GetHostRewriteLiteral())
			}
			for _, name := range all {
				if name != "" {
					out = append(out, name)
				}
			}
		}
	}
	return out
}

package routing

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	meshconfig "istio.io/api/mesh/v1alpha1"
	"istio.io/istio/pilot/test/xdstest"
	meshes "istio.io/istio/pkg/config/mesh"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// byMutualTLS is a mesh whose one gateway takes mutual TLS. It lies in a namespace that is not Istio's root namespace.
func byMutualTLS() *egress.Mesh {
	out := egresstest.Mesh()
	out.Gateways[0].Service, out.Gateways[0].ServiceAccount = "egress.ways.svc.cluster.local", "egress"
	out.Gateways[0].Transport = egress.MutualTLS
	return out
}

const waysService = `
---
apiVersion: v1
kind: Service
metadata: {name: egress, namespace: ways}
spec:
  clusterIP: 10.0.0.81
  selector: {istio: egressgateway}
  ports: [{name: tls-http, port: 80, targetPort: 8080}, {name: tls, port: 443, targetPort: 8443}]
`

// sealedApp has the entries of app-a as the product seals them, with the rule that goes with them: web.example.com has
// HTTP alone, api.example.com HTTP and TLS.
func sealedApp(t *testing.T) string {
	t.Helper()
	mesh, cluster := byMutualTLS(), egresstest.NewCluster()
	http, tls := egress.Port{Number: 80, Name: "http", Protocol: "HTTP"}, egress.Port{Number: 443, Name: "tls", Protocol: "TLS"}
	cluster.Mesh, cluster.Known = mesh, nil
	out := waysService
	for host, ports := range map[string][]egress.Port{"web.example.com": {http}, api: {http, tls}} {
		entry := egresstest.Sealed(host, ports...)
		entry.Namespace, entry.Transport = "app-a", egress.MutualTLS
		cluster.Known = append(cluster.Known, entry)
		written, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&egress.ServiceEntry{Hosts: []string{host}, Ports: ports, Resolution: "DNS"})
		require.NoError(t, err)
		object := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
			"metadata": map[string]any{"name": host, "namespace": "app-a"}, "spec": written,
		}}
		for field, value := range written {
			if value == nil || value == "" {
				delete(written, field)
			}
		}
		sealed, err := hop.Seal(object, mesh.Gateways[0], mesh)
		require.NoError(t, err)
		out += document(t, sealed.Object)
		if spec, gateway := hop.ClientRuleSpec(mesh, cluster, "app-a", host); spec != nil {
			out += document(t, hop.ClientRule("app-a", host, spec, gateway))
		}
	}
	return out
}

func document(t *testing.T, object any) string {
	t.Helper()
	raw, err := json.Marshal(object)
	require.NoError(t, err)
	raw, err = yaml.JSONToYAML(raw)
	require.NoError(t, err)
	return "\n---\n" + string(raw)
}

// speaksMutualTLS says whether a proxy speaks mutual TLS to the endpoints of a cluster: by the cluster's own socket, or by
// one for endpoints that are said to take it.
func speaksMutualTLS(t *testing.T, sim *proxy, name string) bool {
	t.Helper()
	found := xdstest.ExtractCluster(name, sim.Clusters)
	require.NotNil(t, found, name)
	if socket := found.GetTransportSocket(); socket != nil {
		var context tlsv3.UpstreamTlsContext
		require.NoError(t, socket.GetTypedConfig().UnmarshalTo(&context))
		return len(context.GetCommonTlsContext().GetTlsCertificateSdsSecretConfigs()) > 0
	}
	taken := func(match *cluster.Cluster_TransportSocketMatch) bool {
		return match.GetMatch().GetFields()["tlsMode"].GetStringValue() == "istio"
	}
	seen := 0
	for _, locality := range found.GetLoadAssignment().GetEndpoints() {
		for _, endpoint := range locality.GetLbEndpoints() {
			seen++
			if endpoint.GetMetadata().GetFilterMetadata()["envoy.transport_socket_match"].GetFields()["tlsMode"].GetStringValue() != "istio" {
				return false
			}
		}
	}
	require.NotZero(t, seen, "the gateway is resolved by the client")
	for _, match := range found.GetTransportSocketMatches() {
		if taken(match) {
			return true
		}
	}
	return false
}

func peerAuthentication(namespace, spec string) string {
	return fmt.Sprintf("\n---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: given, namespace: %s}\nspec: %s\n", namespace, spec)
}

func destinationRule(namespace, spec string) string {
	return fmt.Sprintf("\n---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: given, namespace: %s}\nspec: %s\n", namespace, spec)
}

// TestWhatTurnsMutualTLSOff has, of what preflight tells of around a gateway by mutual TLS, and of what it does not, what
// clients make of it: web is a host with an HTTP port alone, api one with a TLS port too, which has a rule of ours.
func TestWhatTurnsMutualTLSOff(t *testing.T) {
	off := func() *meshconfig.MeshConfig {
		out := meshes.DefaultMeshConfig()
		out.EnableAutoMtls.Value = false
		return out
	}
	const disable = "{mtls: {mode: DISABLE}}"
	for name, tc := range map[string]struct {
		given    string
		mesh     *meshconfig.MeshConfig
		from     string
		web, api bool
	}{
		"nothing given":                           {web: true, api: true},
		"strict":                                  {given: peerAuthentication("istio-system", "{mtls: {mode: STRICT}}"), web: true, api: true},
		"off for the mesh":                        {given: peerAuthentication("istio-system", disable)},
		"off for the mesh, on for the entry's":    {given: peerAuthentication("istio-system", disable) + peerAuthentication("app-a", "{mtls: {mode: PERMISSIVE}}"), web: true, api: true},
		"off for the mesh, unset for the entry's": {given: peerAuthentication("istio-system", disable) + peerAuthentication("app-a", "{mtls: {mode: UNSET}}")},
		"off for the entry's namespace":           {given: peerAuthentication("app-a", disable)},
		"off for the client's namespace":          {given: peerAuthentication("app-b", disable), from: "app-b", web: true, api: true},
		"off for the gateway's namespace":         {given: peerAuthentication("ways", disable), web: true, api: true},
		"off for some workloads":                  {given: peerAuthentication("app-a", "{selector: {matchLabels: {app: a}}, mtls: {mode: DISABLE}}"), web: true, api: true},
		"off for some workloads of all":           {given: peerAuthentication("istio-system", "{selector: {matchLabels: {security.istio.io/tlsMode: istio}}, mtls: {mode: DISABLE}}"), web: true, api: true},
		"off for all that is injected":            {given: peerAuthentication("app-a", "{selector: {matchLabels: {security.istio.io/tlsMode: istio}}, mtls: {mode: DISABLE}}")},
		"off for the gateway's port of those":     {given: peerAuthentication("app-a", "{selector: {matchLabels: {security.istio.io/tlsMode: istio}}, portLevelMtls: {80: {mode: DISABLE}}}")},
		"off for another port of those":           {given: peerAuthentication("app-a", "{selector: {matchLabels: {security.istio.io/tlsMode: istio}}, portLevelMtls: {8080: {mode: DISABLE}}}"), web: true, api: true},
		"off for the mesh by its configuration":   {mesh: off()},
		"a root rule of every host":               {given: destinationRule("istio-system", `{host: "*", trafficPolicy: {tls: {mode: DISABLE}}}`), api: true},
		"a root rule that names no mode":          {given: destinationRule("istio-system", `{host: "*.example.com", trafficPolicy: {tls: {}}}`), api: true},
		"a root rule of one host's port":          {given: destinationRule("istio-system", `{host: web.example.com, trafficPolicy: {portLevelSettings: [{port: {number: 80}, tls: {mode: SIMPLE}}]}}`), api: true},
		"a root rule that says it elsewhere":      {given: destinationRule("istio-system", `{host: "*", trafficPolicy: {tls: {mode: DISABLE}, portLevelSettings: [{port: {number: 80}, connectionPool: {tcp: {maxConnections: 9}}}]}}`), api: true},
		"a root rule of mutual TLS":               {given: destinationRule("istio-system", `{host: "*", trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}`), web: true, api: true},
		"off for the mesh, and a rule beside it":  {given: peerAuthentication("istio-system", disable) + destinationRule("istio-system", `{host: web.example.com, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}`), web: true},
		"a root rule of other hosts":              {given: destinationRule("istio-system", `{host: "*.local", trafficPolicy: {tls: {mode: DISABLE}}}`), web: true, api: true},
		"a root rule of another namespace's":      {given: destinationRule("istio-system", `{host: "*", exportTo: [app-b], trafficPolicy: {tls: {mode: DISABLE}}}`), web: true, api: true},
		"a root rule of the client's namespace":   {given: destinationRule("istio-system", `{host: "*", exportTo: [app-b], trafficPolicy: {tls: {mode: DISABLE}}}`), from: "app-b", api: true},
		"a root rule of one namespace before that of all": {
			given: destinationRule("istio-system", `{host: "*", trafficPolicy: {tls: {mode: DISABLE}}}`) +
				strings.Replace(destinationRule("istio-system", `{host: web.example.com, exportTo: [app-b], trafficPolicy: {tls: {mode: DISABLE}}}`), "name: given", "name: other", 1), web: true, api: true,
		},
		"a root rule of some workloads": {given: destinationRule("istio-system", `{host: "*", workloadSelector: {matchLabels: {app: a}}, trafficPolicy: {tls: {mode: DISABLE}}}`), web: true, api: true},
		"a root rule behind one of the entry's": {
			given: destinationRule("istio-system", `{host: "*", trafficPolicy: {tls: {mode: DISABLE}}}`) + destinationRule("app-a", `{host: "*.example.com"}`), web: true, api: true,
		},
		"a rule of the gateway's namespace": {given: destinationRule("ways", `{host: "*", trafficPolicy: {tls: {mode: DISABLE}}}`), web: true, api: true},
	} {
		t.Run(name, func(t *testing.T) {
			client := newMeshUnder(t, tc.mesh, sealedApp(t)+tc.given).sidecar(t, cmp.Or(tc.from, "app-a"))
			assert.Equal(t, tc.web, speaksMutualTLS(t, client, "outbound|80||web.example.com"), "web")
			assert.Equal(t, tc.api, speaksMutualTLS(t, client, "outbound|80||"+api), "api")
			// The rule of ours names the settings itself.
			assert.True(t, speaksMutualTLS(t, client, "outbound|443||"+api), "TLS")
		})
	}
}

// TestAnAnnotationReplacesTheTopology: what the mesh says of forwarded certificates does not hold on a pod whose annotation
// says anything else of the topology.
func TestAnAnnotationReplacesTheTopology(t *testing.T) {
	given := func() *meshconfig.ProxyConfig {
		out, err := meshes.MergeProxyConfig("gatewayTopology: {forwardClientCertDetails: APPEND_FORWARD}", meshes.DefaultProxyConfig())
		require.NoError(t, err)
		return out
	}
	for annotation, want := range map[string]meshconfig.ForwardClientCertDetails{
		"concurrency: 2": meshconfig.ForwardClientCertDetails_APPEND_FORWARD,
		"gatewayTopology: {numTrustedProxies: 1}":               meshconfig.ForwardClientCertDetails_UNDEFINED,
		"gatewayTopology: {forwardClientCertDetails: SANITIZE}": meshconfig.ForwardClientCertDetails_SANITIZE,
	} {
		merged, err := meshes.MergeProxyConfig(annotation, given())
		require.NoError(t, err)
		assert.Equal(t, want, merged.GetGatewayTopology().GetForwardClientCertDetails(), strings.TrimSpace(annotation))
	}
}

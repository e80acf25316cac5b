package routing

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	meshconfig "istio.io/api/mesh/v1alpha1"
	"istio.io/istio/pilot/pkg/simulation"
	"istio.io/istio/pilot/test/xdstest"
	meshes "istio.io/istio/pkg/config/mesh"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/test/proof"
)

const (
	blackHole   = "BlackHoleCluster"
	passthrough = "PassthroughCluster"
)

// outbound is a mesh configuration by which calls to hosts that nobody registered are let out or dropped.
func outbound(mode meshconfig.MeshConfig_OutboundTrafficPolicy_Mode) *meshconfig.MeshConfig {
	out := meshes.DefaultMeshConfig()
	out.OutboundTrafficPolicy = &meshconfig.MeshConfig_OutboundTrafficPolicy{Mode: mode}
	return out
}

func allowAny() *meshconfig.MeshConfig {
	return outbound(meshconfig.MeshConfig_OutboundTrafficPolicy_ALLOW_ANY)
}

// at is an object as YAML, created at a second of a minute.
func at(t *testing.T, object *unstructured.Unstructured, second int) string {
	t.Helper()
	object = object.DeepCopy()
	require.NoError(t, unstructured.SetNestedField(object.Object, fmt.Sprintf("2026-01-01T00:00:%02dZ", second), "metadata", "creationTimestamp"))
	raw, err := yaml.Marshal(object.Object)
	require.NoError(t, err)
	return "\n---\n" + string(raw)
}

func theirs(t *testing.T, namespace, spec string) *unstructured.Unstructured {
	t.Helper()
	out := hop.Sidecar(namespace, nil)
	out.SetName("theirs")
	out.SetLabels(nil)
	var content map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(spec), &content))
	out.Object["spec"] = content
	return out
}

// completed is a tenant's Sidecar as the webhook stores it.
func completed(t *testing.T, sidecar *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	out := sidecar.DeepCopy()
	require.NoError(t, hop.CloseSidecar(out))
	return out
}

// unregistered returns where a call goes that no entry names. One that is dropped is so by a cluster without endpoints, or by
// the answer of the proxy itself where the port is one of HTTP.
func unregistered(t *testing.T, sim *proxy, c call) string {
	t.Helper()
	result := sim.Run(c.simulated(c.port, simulation.CallModeOutbound))
	require.NoError(t, result.Error, c)
	if result.VirtualHostMatched != "block_all" {
		return result.ClusterMatched
	}
	for _, vh := range xdstest.ExtractRouteConfigurations(sim.Routes)[result.RouteConfigMatched].GetVirtualHosts() {
		for _, r := range vh.GetRoutes() {
			if vh.Name == result.VirtualHostMatched {
				require.EqualValues(t, 502, r.GetDirectResponse().GetStatus(), c)
			}
		}
	}
	return blackHole
}

// stray are calls that no entry names, to a host of its own and to other ports of a governed one.
var stray = []call{
	{namespace: "closed", host: "evil.example.com", port: 80, address: "203.0.113.9"},
	{namespace: "closed", host: "evil.example.com", port: 443, tls: true, address: "203.0.113.9"},
	{namespace: "closed", host: "evil.example.com", port: 5432, raw: true, address: "203.0.113.9"},
	{namespace: "closed", host: "api.example.com", port: 8080, address: "203.0.113.9"},
	{namespace: "closed", host: "api.example.com", port: 8443, tls: true, address: "203.0.113.9"},
}

func closedShape(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", ".run", "closed", "ours.yaml"))
	require.NoError(t, err, "run make test, which stores the objects first")
	return string(raw)
}

// without takes the Sidecars out of manifests.
func without(manifests string) string {
	documents := slices.DeleteFunc(strings.Split(manifests, "---\n"), func(document string) bool { return strings.Contains(document, `"kind":"Sidecar"`) })
	return strings.Join(documents, "---\n")
}

// TestWhatNoEntryNamesIsBlocked on a mesh that lets it out, by the Sidecar that the controller stored: and by nothing else,
// so that namespaces which are not governed go on.
func TestWhatNoEntryNamesIsBlocked(t *testing.T) {
	manifests := closedShape(t)
	require.Contains(t, manifests, `"kind":"Sidecar"`)
	open, closed := newMeshUnder(t, allowAny(), without(manifests)), newMeshUnder(t, allowAny(), manifests)
	for _, c := range stray {
		assert.Equal(t, passthrough, unregistered(t, open.sidecar(t, c.namespace), c), "%s without", c)
		assert.Equal(t, blackHole, unregistered(t, closed.sidecar(t, c.namespace), c), c)
		assert.Equal(t, passthrough, unregistered(t, closed.sidecar(t, "exempt"), c), "%s, exempt", c)
	}
	for _, c := range []call{{namespace: "closed", host: "api.example.com", port: 80}, {namespace: "closed", host: "api.example.com", port: 443, tls: true}} {
		client := closed.sidecar(t, c.namespace)
		found, err := clusters(t, client, c, c.port, simulation.CallModeOutbound)
		require.NoError(t, err)
		require.NotEmpty(t, found, c)
		for _, name := range found {
			for _, address := range addresses(client, name) {
				assert.True(t, strings.HasPrefix(address, gatewayHost+":"), "%s: %s", c, address)
			}
		}
	}
}

// TestOurSidecarChangesNothingElse: in every case, each client has the clusters and routes that it has without, and by a
// Sidecar of Istio's root namespace, too.
func TestOurSidecarChangesNothingElse(t *testing.T) {
	root := theirs(t, "istio-system", `{egress: [{hosts: ["./*", "istio-system/*"]}]}`)
	for _, family := range []string{"entries", "protocols", "sharing", "encryption"} {
		all, err := proof.Load(filepath.Join("cases", family))
		require.NoError(t, err)
		for _, each := range all {
			stored, err := each.Store(t.Context(), each.By()[0])
			require.NoError(t, err)
			raw := meshOf(t, each, stored).manifests
			for _, namespace := range []string{"app-a", "app-b"} {
				same(t, raw, "\n"+at(t, hop.Sidecar(namespace, nil), 1), namespace, each.Name)
			}
			same(t, raw+"\n"+at(t, root, 0), at(t, hop.Sidecar("app-b", root), 1), "app-b", each.Name+" and a root Sidecar")
		}
	}
}

func same(t *testing.T, manifests, ours, namespace, name string) {
	t.Helper()
	open, closed := newMeshUnder(t, allowAny(), manifests).sidecar(t, namespace), newMeshUnder(t, allowAny(), manifests+ours).sidecar(t, namespace)
	before, after := told(t, open), told(t, closed)
	require.NotEmpty(t, before)
	assert.Equal(t, before, after, "%s from %s", name, namespace)
}

// told are the clusters and the virtual hosts of a proxy, but for those of hosts that nobody registered.
func told(t *testing.T, sim *proxy) map[string]string {
	t.Helper()
	out := map[string]string{}
	add := func(name string, message proto.Message) {
		raw, err := protojson.Marshal(message)
		require.NoError(t, err)
		var content any
		require.NoError(t, json.Unmarshal(raw, &content))
		sorted, err := json.Marshal(content)
		require.NoError(t, err)
		out[name] = string(sorted)
	}
	for _, c := range sim.Clusters {
		add(c.Name, c)
	}
	for _, configuration := range sim.Routes {
		for _, vh := range configuration.VirtualHosts {
			if vh.Name != "allow_any" && vh.Name != "block_all" {
				add(configuration.Name+"/"+vh.Name, vh)
			}
		}
	}
	return out
}

// TestOfTwoWideSidecarsTheOlderCounts, and one with a selector before both: which is why ours goes when theirs comes, and why
// theirs is completed.
func TestOfTwoWideSidecarsTheOlderCounts(t *testing.T) {
	ours, wide := hop.Sidecar("closed", nil), theirs(t, "closed", `{egress: [{hosts: ["*/*"]}], outboundTrafficPolicy: {mode: ALLOW_ANY}}`)
	some := theirs(t, "closed", `{workloadSelector: {}, outboundTrafficPolicy: {mode: ALLOW_ANY}}`)
	for name, tc := range map[string]struct {
		sidecars string
		want     string
	}{
		"ours alone":                {at(t, ours, 0), blackHole},
		"ours is older":             {at(t, wide, 1) + at(t, ours, 0), blackHole},
		"theirs is older":           {at(t, ours, 1) + at(t, wide, 0), passthrough},
		"theirs has a selector":     {at(t, ours, 0) + at(t, some, 1), passthrough},
		"the same, completed":       {at(t, ours, 0) + at(t, completed(t, theirs(t, "closed", `{workloadSelector: {}}`)), 1), blackHole},
		"theirs is completed":       {at(t, completed(t, theirs(t, "closed", `{egress: [{hosts: ["*/*"]}]}`)), 0), blackHole},
		"theirs as it was":          {at(t, theirs(t, "closed", `{egress: [{hosts: ["*/*"]}]}`), 0), passthrough},
		"an empty policy is closed": {at(t, theirs(t, "closed", `{outboundTrafficPolicy: {}}`), 0), blackHole},
		"root's is open":            {at(t, ours, 1) + at(t, theirs(t, "istio-system", `{outboundTrafficPolicy: {mode: ALLOW_ANY}}`), 0), blackHole},
	} {
		t.Run(name, func(t *testing.T) {
			client := newMeshUnder(t, allowAny(), gatewayService+tc.sidecars).sidecar(t, "closed")
			for _, c := range stray {
				assert.Equal(t, tc.want, unregistered(t, client, c), c)
			}
		})
	}
}

// TestARegistryOnlyMeshNeedsNoSidecar, and is opened by one that says so.
func TestARegistryOnlyMeshNeedsNoSidecar(t *testing.T) {
	registryOnly := outbound(meshconfig.MeshConfig_OutboundTrafficPolicy_REGISTRY_ONLY)
	for manifests, want := range map[string]string{
		gatewayService: blackHole,
		gatewayService + at(t, theirs(t, "closed", `{outboundTrafficPolicy: {mode: ALLOW_ANY}}`), 0): passthrough,
		gatewayService + at(t, theirs(t, "closed", `{egress: [{hosts: ["*/*"]}]}`), 0):               blackHole,
	} {
		client := newMeshUnder(t, registryOnly, manifests).sidecar(t, "closed")
		for _, c := range stray {
			assert.Equal(t, want, unregistered(t, client, c), c)
		}
	}
}

package routing

import (
	"fmt"
	"slices"
	"testing"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"istio.io/istio/pilot/pkg/simulation"
	"istio.io/istio/pilot/test/xdstest"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/adopt"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/manifest"
)

// crossing is a passing entry whose calls its author's rule encrypts.
type crossing struct {
	*passing
	gw egress.Gateway
	// authors is the rule as it is stored, written as its author wrote it.
	authors, written *unstructured.Unstructured
	// filter is the crossing, nil while there is none.
	filter *unstructured.Unstructured
}

const subsetRoute = `
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: by-subset, namespace: app-a}
spec: {hosts: [api.example.com], exportTo: ["."], http: [{match: [{uri: {prefix: /v1}}], route: [{destination: {host: api.example.com, subset: v1}}]}, {route: [{destination: {host: api.example.com}}]}]}
`

func newCrossing(t *testing.T, by egress.Transport, rule string) *crossing {
	t.Helper()
	out := &crossing{passing: newPassing(t, egress.Plain, api)}
	name := map[bool]string{true: "vault", false: "default"}[by == egress.MutualTLS]
	out.gw, _ = out.mesh.GatewayByName(name)
	out.labelled(by == egress.MutualTLS, false)
	out.written = stored(t, `{apiVersion: networking.istio.io/v1, kind: DestinationRule,
		metadata: {name: api, namespace: app-a, creationTimestamp: "2026-01-01T00:00:00Z"}, spec: `+rule+`}`)
	out.rules(out.written)
	out.enter(false, true)
	out.exit()
	return out
}

// rules stores the author's rule.
func (c *crossing) rules(rule *unstructured.Unstructured) {
	c.authors = rule
	require.NoError(c.t, c.registry.Put(rule))
}

// sealedRule is the author's rule in the form that goes with a sealed entry.
func (c *crossing) sealedRule() *unstructured.Unstructured {
	form := c.registry.RuleForm(types.NamespacedName{Namespace: "app-a", Name: "api"})
	require.NotNil(c.t, form)
	out, err := form(c.authors.DeepCopy())
	require.NoError(c.t, err)
	return out
}

// enter stores the entry.
func (c *crossing) enter(sealed, held bool) {
	c.t.Helper()
	tcp := ""
	if c.gw.Transport == egress.MutualTLS {
		tcp = ", {number: 5432, name: tcp, protocol: TCP}"
	}
	c.put(stored(c.t, `{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: api, namespace: app-a},
		spec: {hosts: [api.example.com], exportTo: ["."], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP, targetPort: 443}, {number: 8443, name: grpc, protocol: GRPC}`+tcp+`]}}`),
		map[bool]string{true: c.gw.Name}[sealed], held)
}

// crosses has the crossing stand that egressctl writes before the entry goes back, which is that by which it is sealed.
func (c *crossing) crosses() {
	c.t.Helper()
	c.filter = c.found(c.entry).Object(c.mesh)
}

// found is the crossing of an entry as its author wrote it, under his rule and beside other objects.
func (c *crossing) found(entry *unstructured.Unstructured, beside ...*unstructured.Unstructured) adopt.Crossing {
	c.t.Helper()
	sealed, err := hop.Seal(entry, c.gw, c.mesh)
	require.NoError(c.t, err)
	objects := []manifest.Object{{Unstructured: sealed}, {Unstructured: c.written}, {Unstructured: &unstructured.Unstructured{Object: map[string]any{
		"kind": "Namespace", "apiVersion": "v1", "metadata": map[string]any{"name": "app-a"}}}}}
	for _, object := range beside {
		objects = append(objects, manifest.Object{Unstructured: object})
	}
	found, err := adopt.Crossings(c.mesh, objects, []adopt.Return{{Object: objects[0], Intent: entry}})
	require.NoError(c.t, err)
	require.Len(c.t, found, 1)
	return found[0]
}

func (c *crossing) all() string {
	out := c.state() + document(c.t, c.authors.Object) + subsetRoute
	if c.filter != nil {
		out += document(c.t, c.filter.Object)
	}
	return out
}

const (
	byGateway = "by the gateway, and encrypted there"
	direct    = "straight out, encrypted"
	fails     = "nowhere"
)

// goes says where the calls of a port go, by all clusters to which the client's proxy leads them.
func (c *crossing) goes(m *mesh, client *proxy, port int) string {
	t := c.t
	of := call{namespace: "app-a", host: api, port: port, raw: port == 5432}
	found, err := clusters(t, client, of, port, simulation.CallModeOutbound)
	require.NoError(t, err)
	require.Len(t, found, map[int]int{80: 2, 8443: 2, 5432: 1}[port], "the subset's among them: %v", found)
	out := ""
	for _, name := range found {
		next := c.by(m, client, of, name)
		require.True(t, out == "" || out == next, "%s goes %s, and another way %s", name, next, out)
		out = next
	}
	return out
}

// by says where what a client's proxy sends to a cluster goes.
func (c *crossing) by(m *mesh, client *proxy, of call, name string) string {
	t := c.t
	context, end := spoken(t, client, name), fmt.Sprintf("%s:%d", api, map[int]int{80: 443, 8443: 8443, 5432: 5432}[of.port])
	ours, at := shows(context), addresses(client, name)
	if slices.Equal(at, []string{end}) {
		if context == nil || ours {
			return "straight out, and not encrypted for the host"
		}
		return direct
	}
	gateway := gatewayOf(t, m, at, of.raw)
	if gateway == nil || (context != nil) != (c.gw.Transport == egress.MutualTLS) || context != nil && !ours {
		return fails
	}
	if context != nil {
		if !slices.Equal(names(context), []string{c.mesh.IdentityOf(c.gw)}) {
			return fails
		}
		of.mutual = &mutual{"spiffe://cluster.local/ns/app-a/sa/default", context.Sni}
	}
	exits, err := clusters(t, gateway, of, map[bool]int{false: 8080, true: 8443}[of.raw], simulation.CallModeGateway)
	if err != nil || len(exits) == 0 {
		return fails
	}
	for _, exit := range exits {
		if !slices.Equal(addresses(gateway, exit), []string{end}) || spoken(t, gateway, exit) == nil {
			return fails
		}
	}
	return byGateway
}

// TestNoCallIsLostBetweenAnEntryAndTheRuleThatEncryptsIt: in each state between the writes of an adoption and of the way back the calls that a
// client's proxy encrypts go somewhere, by either transport, whether a proxy was told of one write without the other; and that it is the crossing
// by which they do.
func TestNoCallIsLostBetweenAnEntryAndTheRuleThatEncryptsIt(t *testing.T) {
	for _, by := range egress.Transports() {
		for name, rule := range map[string]string{
			"the host's own name": `{host: api.example.com, exportTo: [app-a], subsets: [{name: v1}], trafficPolicy: {tls: {mode: SIMPLE}}}`,
			"another name":        `{host: api.example.com, exportTo: [app-a], subsets: [{name: v1}], trafficPolicy: {tls: {mode: SIMPLE, sni: www.example.com}}}`,
			"port by port": `{host: api.example.com, exportTo: [app-a], subsets: [{name: v1}], trafficPolicy: {portLevelSettings: [{port: {number: 80}, tls: {mode: SIMPLE}},
				{port: {number: 8443}, tls: {mode: SIMPLE}}, {port: {number: 5432}, tls: {mode: SIMPLE}}]}}`,
		} {
			t.Run(fmt.Sprintf("%s/%s", by, name), func(t *testing.T) {
				c := newCrossing(t, by, rule)
				ports := []int{80, 8443}
				if by == egress.MutualTLS {
					ports = append(ports, 5432)
				}
				is := func(state, want string) {
					t.Helper()
					m := newMesh(t, c.all())
					client := m.sidecar(t, "app-a")
					for _, port := range ports {
						assert.Equal(t, want, c.goes(m, client, port), "%s: port %d", state, port)
					}
				}
				is("as it was written", direct)
				c.crosses()
				is("under the crossing", byGateway)
				c.enter(true, false)
				is("the entry sealed", byGateway)
				c.rules(c.sealedRule())
				c.ruled()
				is("the rule too", byGateway)
				filter := c.filter
				c.filter = nil
				is("without the crossing", byGateway)
				c.exit()
				is("adopted", byGateway)

				c.rules(c.written)
				is("the rule without its entry, and no crossing", fails)
				c.rules(c.sealedRule())
				c.labelled(by == egress.MutualTLS, true)
				c.enter(true, true)
				c.exit()
				c.ruled()
				is("observed, and held", byGateway)
				c.filter = filter
				is("under the crossing again", byGateway)
				c.rules(c.written)
				is("the rule as it was written", byGateway)
				c.enter(false, true)
				c.exit()
				is("the entry too", byGateway)
				c.filter = nil
				is("as it was", direct)
			})
		}
	}
}

// TestACrossingSpeaksAsProxiesDoInTheEnd: to the same endpoints, by the same certificates, to whoever has the same name, as the same service in
// Istio's metrics.
func TestACrossingSpeaksAsProxiesDoInTheEnd(t *testing.T) {
	for _, by := range egress.Transports() {
		c := newCrossing(t, by, `{host: api.example.com, exportTo: [app-a], subsets: [{name: v1}], trafficPolicy: {tls: {mode: SIMPLE}}}`)
		c.crosses()
		crossing := newMesh(t, c.all()).sidecar(t, "app-a")
		c.filter = nil
		c.enter(true, false)
		c.rules(c.sealedRule())
		sealed := newMesh(t, c.all()).sidecar(t, "app-a")
		for _, name := range []string{"outbound|80||" + api, "outbound|80|v1|" + api, "outbound|8443||" + api, "outbound|5432||" + api} {
			ours, theirs := xdstest.ExtractCluster(name, crossing.Clusters), xdstest.ExtractCluster(name, sealed.Clusters)
			require.Equal(t, ours == nil, theirs == nil, name)
			if ours == nil {
				continue
			}
			services := func(of *cluster.Cluster) string {
				return of.GetMetadata().GetFilterMetadata()["istio"].GetFields()["services"].String()
			}
			assert.Equal(t, services(theirs), services(ours), name)
			assert.Equal(t, addresses(sealed, name), addresses(crossing, name), name)
			of, want := spoken(t, crossing, name).GetCommonTlsContext(), spoken(t, sealed, name).GetCommonTlsContext()
			require.Equal(t, want == nil, of == nil, name)
			if of == nil {
				continue
			}
			assert.Equal(t, fmt.Sprint(want.TlsCertificateSdsSecretConfigs), fmt.Sprint(of.TlsCertificateSdsSecretConfigs), name)
			assert.Equal(t, fmt.Sprint(want.TlsParams), fmt.Sprint(of.TlsParams), name)
			assert.Equal(t, fmt.Sprint(want.GetCombinedValidationContext().GetValidationContextSdsSecretConfig()), fmt.Sprint(of.GetCombinedValidationContext().GetValidationContextSdsSecretConfig()), name)
			assert.Equal(t, names(spoken(t, sealed, name)), names(spoken(t, crossing, name)), name)
			assert.Subset(t, want.AlpnProtocols, of.AlpnProtocols, name)
		}
	}
}

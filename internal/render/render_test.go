package render_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/internal/render"
	"github.com/egress-governor/egress-governor/internal/review"
)

// nothing has no policy in force.
type nothing struct{}

func (nothing) Evaluate(context.Context, policy.Review) policy.Decision { return policy.Decision{} }

func manifest(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	out := &unstructured.Unstructured{}
	require.NoError(t, yaml.Unmarshal([]byte(text), &out.Object))
	return out
}

const (
	namespaces = "apiVersion: v1\nkind: Namespace\nmetadata: {name: app}\n"
	service    = "apiVersion: v1\nkind: Service\nmetadata: {name: istio-egressgateway, namespace: istio-system}\nspec: {ports: [{name: http2, port: 80}, {name: https, port: 443}]}\n"
	entry      = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: api, namespace: app}\n" +
		"spec: {hosts: [api.example.com], ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}], resolution: DNS}\n"
	rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: api, namespace: app}\n" +
		"spec: {host: api.example.com, trafficPolicy: {portLevelSettings: [{port: {number: 80}, tls: {mode: SIMPLE}}]}}\n"
	routes = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: api, namespace: app}\n" +
		"spec: {hosts: [api.example.com], http: [{timeout: 3s, route: [{destination: {host: api.example.com}}]}]}\n"
)

func cluster(t *testing.T, mesh *egress.Mesh) *render.Cluster {
	t.Helper()
	out, err := render.New(mesh, nothing{}, time.Unix(1000, 0))
	require.NoError(t, err)
	for _, text := range []string{namespaces, service} {
		require.NoError(t, out.Store(manifest(t, text)))
	}
	return out
}

func apply(t *testing.T, to *render.Cluster, texts ...string) (out *review.Outcome) {
	t.Helper()
	for _, text := range texts {
		var err error
		out, err = to.Apply(t.Context(), manifest(t, text))
		require.NoError(t, err)
	}
	return out
}

// held returns what a cluster holds of a kind, by namespace and name.
func held(t *testing.T, of *render.Cluster, kind string) map[string]*unstructured.Unstructured {
	t.Helper()
	objects, err := of.Objects()
	require.NoError(t, err)
	out := map[string]*unstructured.Unstructured{}
	for _, object := range objects {
		if object.GetKind() == kind {
			out[object.GetNamespace()+"/"+object.GetName()] = object
		}
	}
	return out
}

func TestAnEntryIsSealedAndHasItsExit(t *testing.T) {
	t.Parallel()
	c := cluster(t, egresstest.Mesh())
	outcome := apply(t, c, entry)
	require.Equal(t, review.Allowed, outcome.Verdict, outcome.Findings)
	entries := held(t, c, "ServiceEntry")
	endpoints, _, _ := unstructured.NestedSlice(entries["app/api"].Object, "spec", "endpoints")
	require.Len(t, endpoints, 1)
	assert.Equal(t, egresstest.GatewayService, endpoints[0].(map[string]any)["address"])
	assert.Len(t, entries, 2, "and the one that says where the host really is")
	assert.Len(t, held(t, c, "VirtualService"), 1)
	assert.Len(t, held(t, c, "Gateway"), 1)

	c.Delete(manifest(t, entry))
	assert.Empty(t, held(t, c, "ServiceEntry"))
	assert.Empty(t, held(t, c, "VirtualService"))
}

func TestWhatIsRefusedLeavesTheClusterAsItWas(t *testing.T) {
	t.Parallel()
	c := cluster(t, egresstest.Mesh())
	apply(t, c, entry)
	outcome := apply(t, c, `{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: api, namespace: app}, spec: {hosts: ["*"], ports: [{number: 80, name: http, protocol: HTTP}]}}`)
	assert.Equal(t, review.Refused, outcome.Verdict)
	hosts, _, _ := unstructured.NestedStringSlice(held(t, c, "ServiceEntry")["app/api"].Object, "spec", "hosts")
	assert.Equal(t, []string{"api.example.com"}, hosts)
}

// TestRulesAndRoutesFollowTheirEntry: what came before the entry of its host is in the same form as what came after.
func TestRulesAndRoutesFollowTheirEntry(t *testing.T) {
	t.Parallel()
	for kind, text := range map[string]string{"DestinationRule": rule, "VirtualService": routes} {
		before, after := cluster(t, egresstest.Mesh()), cluster(t, egresstest.Mesh())
		apply(t, before, text, entry)
		apply(t, after, entry, text)
		was, is := held(t, before, kind)["app/api"], held(t, after, kind)["app/api"]
		assert.Equal(t, is.Object["spec"], was.Object["spec"], kind)
		assert.NotEqual(t, manifest(t, text).Object["spec"], was.Object["spec"], kind)
	}
}

func TestClientsByMutualTLSHaveTheirRule(t *testing.T) {
	t.Parallel()
	c := cluster(t, egresstest.MutualTLS())
	apply(t, c, entry)
	rules := held(t, c, "DestinationRule")
	require.Len(t, rules, 1)
	for _, rule := range rules {
		assert.Equal(t, "app", rule.GetNamespace())
	}
}

func TestANamespaceIsClosed(t *testing.T) {
	t.Parallel()
	mesh := egresstest.Mesh()
	mesh.Block = true
	c := cluster(t, mesh)
	assert.Len(t, held(t, c, "Sidecar"), 1)
	apply(t, c, `{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: own, namespace: app}, spec: {egress: [{hosts: ["./*"]}]}}`)
	sidecars := held(t, c, "Sidecar")
	require.Len(t, sidecars, 1)
	mode, _, _ := unstructured.NestedString(sidecars["app/own"].Object, "spec", "outboundTrafficPolicy", "mode")
	assert.Equal(t, "REGISTRY_ONLY", mode)
}

// TestNobodyIsAskedAboutOtherNamespaces: what is stored there is stored as it is.
func TestNobodyIsAskedAboutOtherNamespaces(t *testing.T) {
	t.Parallel()
	c := cluster(t, egresstest.Mesh())
	object := manifest(t, entry)
	object.SetNamespace("elsewhere")
	outcome, err := c.Apply(t.Context(), object)
	require.NoError(t, err)
	assert.Nil(t, outcome)
	assert.Equal(t, object.Object["spec"], held(t, c, "ServiceEntry")["elsewhere/api"].Object["spec"])
}

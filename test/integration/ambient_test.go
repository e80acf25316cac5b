package integration

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// inAmbient are labels of a namespace that leaves by the gateway with the waypoint.
var inAmbient = map[string]string{"egress": "pci", "istio.io/dataplane-mode": "ambient"}

// waypoint makes the Service of the waypoint, as istiod does.
func waypoint(t *testing.T) {
	t.Helper()
	for _, object := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: waypointNamespace}},
		&corev1.Service{ObjectMeta: named(waypointNamespace, "waypoint"), Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "mesh", Port: 15008}}}},
	} {
		require.NoError(t, client.IgnoreAlreadyExists(shared.Client.Create(t.Context(), object)))
	}
}

func waypointOf(entry *unstructured.Unstructured) [2]string {
	labels := entry.GetLabels()
	return [2]string{labels["istio.io/use-waypoint-namespace"], labels["istio.io/use-waypoint"]}
}

// policiesIn are the AuthorizationPolicies of a namespace.
func policiesIn(t *testing.T, namespace string) []unstructured.Unstructured {
	t.Helper()
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(schema.GroupVersionKind{Group: "security.istio.io", Version: "v1", Kind: "AuthorizationPolicyList"})
	require.NoError(t, shared.Client.List(t.Context(), list, client.InNamespace(namespace)))
	return list.Items
}

// TestAnEntryInAmbientMode is bound to the waypoint and sealed, by whichever way it is written; its policy is ours alone, and goes
// when the namespace is in ambient mode no more.
func TestAnEntryInAmbientMode(t *testing.T) {
	guarded(t)
	waypoint(t)
	ns := namespace(t, inAmbient)
	in := entry(t, "v1", ns, "e", strings.ReplaceAll(hostSpec, "HOST", "ambient.example.com"))
	in.SetLabels(map[string]string{"team": "a"})
	c, heard := author(t)
	require.NoError(t, c.Create(t.Context(), in.DeepCopy()))
	assert.Contains(t, strings.Join(heard.texts, "\n"), "metadata.labels: pods in ambient mode call them by waypoint waypoints/waypoint")
	eventually(t, func() bool { return ready(get(t, in), "True") }, "ExitReady")
	ours := [2]string{waypointNamespace, "waypoint"}
	assert.Equal(t, ours, waypointOf(get(t, in)))
	require.Len(t, policiesIn(t, ns), 1)
	policy := policiesIn(t, ns)[0]

	for _, patch := range []string{
		`{"metadata":{"labels":{"istio.io/use-waypoint":"none"}}}`, `{"metadata":{"labels":{"istio.io/use-waypoint-namespace":"mine"}}}`,
		`{"metadata":{"labels":{"istio.io/use-waypoint-canary":"mine"}}}`, `{"metadata":{"labels":{"gateway.istio.io/managed":"istio.io-mesh-controller"}}}`, `{"metadata":{"annotations":{"istio.io/use-waypoint-canary-weight":"100"}}}`,
		`{"metadata":{"labels":{"networking.istio.io/enable-autoallocate-ip":"false"}}}`,
	} {
		err := c.Patch(t.Context(), in.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch)))
		require.Error(t, err, patch)
		assert.Contains(t, err.Error(), "Fix: ", patch)
	}
	require.NoError(t, c.Patch(t.Context(), in.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":null}}`))))
	assert.Equal(t, ours, waypointOf(get(t, in)), "whoever takes the labels away")
	err := c.Create(t.Context(), entry(t, "v1", namespace(t, inAmbient), "e", strings.ReplaceAll(hostSpec, "HOST", "ambient.example.com")))
	require.ErrorContains(t, err, "(waypoint-host)")

	const field = "metadata.labels[app.kubernetes.io/managed-by]"
	caught(t, c.Delete(t.Context(), policy.DeepCopy()), "exit-sets", field)
	caught(t, c.Patch(t.Context(), policy.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"app.kubernetes.io/managed-by":null}}}`))), "exit-sets", field)

	of := &corev1.Namespace{}
	require.NoError(t, shared.Client.Get(t.Context(), types.NamespacedName{Name: ns}, of))
	delete(of.Labels, "istio.io/dataplane-mode")
	require.NoError(t, shared.Client.Update(t.Context(), of))
	eventually(t, func() bool { return waypointOf(get(t, in)) == [2]string{} && len(policiesIn(t, ns)) == 0 }, "it is bound no more")
	assert.Equal(t, pciService+"."+controlplane.GatewayNamespace+".svc.cluster.local", endpoint(t, get(t, in)))
	require.NoError(t, c.Delete(t.Context(), in))
}

func endpoint(t *testing.T, entry *unstructured.Unstructured) string {
	t.Helper()
	endpoints, _, _ := unstructured.NestedSlice(entry.Object, "spec", "endpoints")
	require.Len(t, endpoints, 1)
	return endpoints[0].(map[string]any)["address"].(string)
}

// TestWithoutTheWebhookNobodyUnbinds an entry in ambient mode, nor writes one that is not bound. It is not parallel.
func TestWithoutTheWebhookNobodyUnbinds(t *testing.T) {
	guarded(t)
	waypoint(t)
	ns := namespace(t, inAmbient)
	c, _ := author(t)
	bound := entry(t, "v1", ns, "bound", strings.ReplaceAll(hostSpec, "HOST", "bound.example.com"))
	require.NoError(t, c.Create(t.Context(), bound.DeepCopy()))
	restored(t)
	for _, configuration := range configurations() {
		require.NoError(t, shared.Client.Delete(t.Context(), configuration))
	}
	const field = "metadata.labels[istio.io/use-waypoint]"
	byHand := entry(t, "v1", ns, "by-hand", strings.ReplaceAll(strings.ReplaceAll(sealedByHand, "HOST", "by-hand.example.com"), "istio-egressgateway", pciService))
	eventually(t, func() bool {
		err := c.Create(t.Context(), byHand.DeepCopy(), client.DryRunAll)
		return err != nil && strings.Contains(err.Error(), "egress-governor-entries")
	}, "the guard answers alone")
	caught(t, c.Create(t.Context(), byHand.DeepCopy()), "entries", field)
	for labels, at := range map[string]string{
		`{"istio.io/use-waypoint":"none"}`: field, `null`: field, `{"istio.io/use-waypoint-canary":"mine"}`: "metadata.labels[istio.io/use-waypoint-canary]",
		`{"gateway.istio.io/managed":"istio.io-mesh-controller"}`: "metadata.labels[gateway.istio.io/managed]",
	} {
		caught(t, c.Patch(t.Context(), bound.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":`+labels+`}}`))), "entries", at)
	}
	require.NoError(t, c.Patch(t.Context(), bound.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"team":"a"}}}`))))
	byHand.SetLabels(map[string]string{"istio.io/use-waypoint": "waypoint", "istio.io/use-waypoint-namespace": waypointNamespace})
	require.NoError(t, c.Create(t.Context(), byHand.DeepCopy(), client.DryRunAll))
	require.NoError(t, c.Delete(t.Context(), bound))
}

// TestAWaypointIsNotTakenAway by who may do all else in its namespace, while entries may be bound to it; with its namespace it goes. It is
// not parallel.
func TestAWaypointIsNotTakenAway(t *testing.T) {
	guarded(t)
	gatewayAPI(t, shared.Config)
	waypoint(t)
	c, _ := author(t)
	const manifest = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: waypoint}\nspec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE, allowedRoutes: {namespaces: {from: All}}}]}"
	of := object(t, waypointNamespace, manifest)
	require.NoError(t, c.Create(t.Context(), of.DeepCopy()))
	eventually(t, func() bool { return c.Delete(t.Context(), of.DeepCopy(), client.DryRunAll) != nil }, "the guard knows the kind")
	caught(t, c.Delete(t.Context(), of.DeepCopy()), "waypoints", "metadata.name")
	caught(t, c.DeleteAllOf(t.Context(), of.DeepCopy(), client.InNamespace(waypointNamespace)), "waypoints", "metadata.name")
	for patch, field := range map[string]string{
		`{"metadata":{"labels":{"istio.io/waypoint-for":"workload"}}}`: "metadata.labels[istio.io/waypoint-for]",
		`{"spec":{"gatewayClassName":"mine"}}`:                         "spec.gatewayClassName",
	} {
		caught(t, c.Patch(t.Context(), of.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch))), "waypoints", field)
	}
	for _, harmless := range []string{`{"metadata":{"labels":{"team":"a"}}}`, `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"none","uid":"none"}]}}`} {
		require.NoError(t, c.Patch(t.Context(), of.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(harmless))))
	}
	collector, _ := as(t, "system:serviceaccount:kube-system:generic-garbage-collector")
	caught(t, collector.Delete(t.Context(), of.DeepCopy()), "waypoints", "metadata.name")
	elsewhere := object(t, namespace(t, inAmbient), manifest)
	require.NoError(t, c.Create(t.Context(), elsewhere.DeepCopy()))
	require.NoError(t, c.Delete(t.Context(), elsewhere), "it is no gateway's waypoint")
	require.NoError(t, shared.Client.Delete(t.Context(), of), "who administers the cluster may")
}

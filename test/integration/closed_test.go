package integration

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	networkpolicyv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/test/controlplane"
)

// configured runs the webhook under further values of the chart's config, and under the shared ones again afterwards.
func configured(t *testing.T, values map[string]any) {
	t.Helper()
	restart := func(ctx context.Context, extra map[string]any) {
		require.NoError(t, shared.StopWebhook())
		given := gateways()
		for key, value := range extra {
			given["config"].(map[string]any)[key] = value
		}
		shared.Configure(given)
		require.NoError(t, shared.StartWebhook(ctx))
	}
	t.Cleanup(func() { restart(context.WithoutCancel(t.Context()), nil) })
	restart(t.Context(), values)
}

func sidecarOf(t *testing.T, namespace, name, spec string) *unstructured.Unstructured {
	t.Helper()
	return object(t, namespace, "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: "+name+"}\nspec: "+spec)
}

// there says whether an object is stored.
func there(t *testing.T, of client.Object) bool {
	t.Helper()
	out := &unstructured.Unstructured{}
	out.SetGroupVersionKind(of.GetObjectKind().GroupVersionKind())
	err := shared.Client.Get(context.WithoutCancel(t.Context()), client.ObjectKeyFromObject(of), out)
	require.NoError(t, client.IgnoreNotFound(err))
	return err == nil
}

func networkPolicy(namespace string) *networkpolicyv1.NetworkPolicy {
	out := &networkpolicyv1.NetworkPolicy{ObjectMeta: named(namespace, hop.ClosingName)}
	out.SetGroupVersionKind(networkpolicyv1.SchemeGroupVersion.WithKind("NetworkPolicy"))
	return out
}

// exempt takes a namespace out of what is governed, or puts it back.
func exempt(t *testing.T, namespace, value string) {
	t.Helper()
	of := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	patch := `{"metadata":{"labels":{"egress-governor.io/exempt":"` + value + `"}}}`
	require.NoError(t, shared.Client.Patch(t.Context(), of, client.RawPatch("application/merge-patch+json", []byte(patch))))
}

// TestGovernedNamespacesAreClosed by a Sidecar and a NetworkPolicy each, in a cluster whose mesh says nothing else. It is not
// parallel: the webhook runs under other values.
func TestGovernedNamespacesAreClosed(t *testing.T) {
	before := namespace(t, nil)
	early := sidecarOf(t, before, "early", `{egress: [{hosts: ["./*"]}]}`)
	require.NoError(t, shared.Client.Create(t.Context(), early))
	foreign := networkPolicy(namespace(t, map[string]string{"egress-governor.io/exempt": "true"}))
	require.NoError(t, shared.Client.Create(t.Context(), foreign.DeepCopy()))
	var last string
	t.Run("closed", func(t *testing.T) {
		configured(t, map[string]any{"unregistered": "Block", "networkPolicies": "Manage", "networkPolicy": map[string]any{
			"allow": []any{map[string]any{"ipBlock": map[string]any{"cidr": "10.9.0.0/16"}}},
		}})
		eventually(t, func() bool {
			return hop.SidecarMode(get(t, early)) == "REGISTRY_ONLY" && there(t, networkPolicy(before))
		}, "what was there before")
		assert.False(t, there(t, hop.Sidecar(before, nil)), "the tenant's own is for the whole namespace")
		last = namespace(t, nil)
		t.Run("kept", func(t *testing.T) { testKept(t, last) })
		t.Run("tenants", testTenants)
		t.Run("routing", testClosedShape)
		for _, never := range []string{controlplane.GatewayNamespace, controlplane.Namespace, "kube-system", foreign.Namespace} {
			assert.False(t, there(t, hop.Sidecar(never, nil)), never)
			assert.Equal(t, never == foreign.Namespace, there(t, networkPolicy(never)), never)
		}
		require.True(t, there(t, hop.Sidecar(last, nil)))
	})
	eventually(t, func() bool { return !there(t, hop.Sidecar(last, nil)) && !there(t, networkPolicy(last)) }, "what was kept goes with the switch")
	assert.True(t, there(t, foreign), "nobody else's of that name")
	assert.Equal(t, "REGISTRY_ONLY", hop.SidecarMode(get(t, early)), "until its next write")
}

// testKept: whatever is done to what is kept in a namespace, it comes back, until that is exempt.
func testKept(t *testing.T, ns string) {
	ours, fence := hop.Sidecar(ns, nil), networkPolicy(ns)
	kept := func() bool { return there(t, ours) && there(t, fence) }
	eventually(t, kept, "a namespace comes")
	stored := get(t, ours)
	assert.Equal(t, ours.Object["spec"], stored.Object["spec"])
	allowed, _, _ := unstructured.NestedSlice(get(t, fence).Object, "spec", "egress")
	require.NotEmpty(t, allowed)
	assert.Equal(t, map[string]any{"to": []any{map[string]any{"ipBlock": map[string]any{"cidr": "10.9.0.0/16"}}}}, allowed[len(allowed)-1])

	testNobodyElseCloses(t, ns, ours, fence)
	require.NoError(t, shared.Client.Delete(t.Context(), ours.DeepCopy()))
	require.NoError(t, shared.Client.Delete(t.Context(), fence.DeepCopy()))
	eventually(t, kept, "deleted by hand")
	opened := get(t, ours)
	opened.Object["spec"] = map[string]any{"outboundTrafficPolicy": map[string]any{"mode": "ALLOW_ANY"}}
	err := shared.Client.Update(t.Context(), opened)
	require.ErrorContains(t, err, "sidecar-allow-any")
	narrowed := get(t, fence)
	unstructured.RemoveNestedField(narrowed.Object, "spec", "egress")
	require.NoError(t, shared.Client.Update(t.Context(), narrowed))
	eventually(t, func() bool {
		now, _, _ := unstructured.NestedSlice(get(t, fence).Object, "spec", "egress")
		return len(now) == len(allowed)
	}, "changed by hand")
	versions := []string{get(t, ours).GetResourceVersion(), get(t, fence).GetResourceVersion()}

	exempt(t, ns, "true")
	eventually(t, func() bool { return !there(t, ours) && !there(t, fence) }, "exempt")
	exempt(t, ns, "false")
	eventually(t, kept, "governed again")
	again := []string{get(t, ours).GetResourceVersion(), get(t, fence).GetResourceVersion()}
	assert.NotEqual(t, versions, again)
	// Another namespace is closed, so the controller has gone on.
	other := namespace(t, nil)
	eventually(t, func() bool { return there(t, hop.Sidecar(other, nil)) }, "a further namespace")
	for i, kept := range []client.Object{ours, fence} {
		assert.Equal(t, again[i], get(t, kept).GetResourceVersion(), "nothing is written for ever")
	}
}

// testNobodyElseCloses: what closes a namespace is not its tenants' to change or delete, nor to write.
func testNobodyElseCloses(t *testing.T, ns string, of ...client.Object) {
	t.Helper()
	const field = "metadata.labels[app.kubernetes.io/managed-by]"
	tenant, _ := author(t)
	for _, object := range of {
		stored := get(t, object)
		for _, patch := range []string{`{"metadata":{"labels":{"app.kubernetes.io/managed-by":null}}}`, `{"spec":{"egress":[]}}`} {
			caught(t, tenant.Patch(t.Context(), stored.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch)), client.DryRunAll), "exit-sets", field)
		}
		caught(t, tenant.Delete(t.Context(), stored.DeepCopy(), client.DryRunAll), "exit-sets", field)
		theirs := sidecarOf(t, ns, "theirs", `{egress: [{hosts: ["./*"]}]}`)
		theirs.SetLabels(stored.GetLabels())
		require.NoError(t, tenant.Create(t.Context(), theirs, client.DryRunAll), "of another name")
	}
}

// testTenants: a tenant's Sidecar is completed once, and ours stands beside it at first.
func testTenants(t *testing.T) {
	ns := namespace(t, nil)
	eventually(t, func() bool { return there(t, hop.Sidecar(ns, nil)) }, "ours")
	for _, version := range []string{"v1", "v1beta1", "v1alpha3"} {
		theirs := sidecarOf(t, ns, "theirs-"+version, `{egress: [{hosts: ["./*", "istio-system/*"]}]}`)
		theirs.SetAPIVersion("networking.istio.io/" + version)
		c, heard := warned(t)
		require.NoError(t, controlplane.ClientSideApply(t.Context(), c, theirs))
		assert.Contains(t, strings.Join(heard.texts, "\n"), "REGISTRY_ONLY")
		stored := get(t, theirs)
		mode, _, _ := unstructured.NestedString(stored.Object, "spec", "outboundTrafficPolicy", "mode")
		assert.Equal(t, "REGISTRY_ONLY", mode)
		require.NoError(t, controlplane.ClientSideApply(t.Context(), shared.Client, theirs))
		assert.Equal(t, stored.GetResourceVersion(), get(t, theirs).GetResourceVersion(), "a second apply changes nothing")
		intent, err := hop.SidecarIntent(stored)
		require.NoError(t, err)
		assert.Equal(t, theirs.Object["spec"], intent.Object["spec"])
		ours := get(t, hop.Sidecar(ns, nil))
		require.NoError(t, shared.Client.Delete(t.Context(), theirs))
		assert.Equal(t, ours.GetUID(), get(t, hop.Sidecar(ns, nil)).GetUID(), "theirs came and went, and ours stood")
	}
	some := sidecarOf(t, ns, "some", `{workloadSelector: {labels: {app: a}}, outboundTrafficPolicy: {mode: ALLOW_ANY}}`)
	err := shared.Client.Create(t.Context(), some)
	require.Error(t, err)
	assert.True(t, apierrors.IsInvalid(err), err)
	assert.Contains(t, err.Error(), "spec.outboundTrafficPolicy.mode")
	unstructured.RemoveNestedField(some.Object, "spec", "outboundTrafficPolicy")
	require.NoError(t, shared.Client.Create(t.Context(), some))
	assert.Equal(t, "REGISTRY_ONLY", hop.SidecarMode(get(t, some)))
	assert.True(t, there(t, hop.Sidecar(ns, nil)), "it is not for the whole namespace")
}

// testClosedShape leaves what a client of a closed namespace goes by in .run/closed, for test/routing.
func testClosedShape(t *testing.T) {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "closed"}}
	require.NoError(t, shared.Client.Create(t.Context(), ns))
	in := entry(t, "v1", ns.Name, "api", `{hosts: [api.example.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}`)
	require.NoError(t, shared.Client.Create(t.Context(), in))
	t.Cleanup(func() { require.NoError(t, shared.Client.Delete(context.WithoutCancel(t.Context()), in)) })
	eventually(t, func() bool { return ready(get(t, in), "True") && there(t, hop.Sidecar(ns.Name, nil)) }, "closed, with an exit")
	folder, err := filepath.Abs("../../.run/closed")
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(folder, 0o755))
	text := dump(t)
	for _, sidecar := range stored(t, "Sidecar", ns.Name) {
		raw, err := sidecar.MarshalJSON()
		require.NoError(t, err)
		text = append(append(text, "---\n"...), raw...)
	}
	require.NoError(t, os.WriteFile(filepath.Join(folder, "ours.yaml"), text, 0o600))
}

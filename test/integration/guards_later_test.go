package integration

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// What a guard looks at when an object is made counts when it is changed, by whichever subresource.

// TestLabelsOfNamespacesByTheirSubresources: /status and /finalize store labels, too.
func TestLabelsOfNamespacesByTheirSubresources(t *testing.T) {
	guarded(t)
	ns := namespace(t, nil)
	in := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}
	exempts := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"egress-governor.io/exempt":"true"}}}`))
	const says = "metadata.labels: with these the namespace's egress is not governed"
	c, _ := author(t)
	labelRefused(t, c.SubResource("status").Patch(t.Context(), in.DeepCopy(), exempts, client.DryRunAll), says)
	finalizes := authorsClientset(t)
	require.NoError(t, shared.Client.Get(t.Context(), client.ObjectKeyFromObject(in), in))
	in.Labels["egress-governor.io/exempt"] = "true"
	_, err := finalizes.CoreV1().Namespaces().Finalize(t.Context(), in, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}})
	labelRefused(t, err, says)
	delete(in.Labels, "egress-governor.io/exempt")
	_, err = finalizes.CoreV1().Namespaces().Finalize(t.Context(), in, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}})
	require.NoError(t, err, "what the namespace controller does")
}

func authorsClientset(t *testing.T) *kubernetes.Clientset {
	t.Helper()
	config, _ := configAs(t, shared, "author")
	out, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	return out
}

// TestAPodThatRunsIsNotTakenRoundItsProxy: Istio's CNI goes by labels and annotations of pods that run, and by those of one
// whose sandbox is made anew. Whatever else is written to a pod that was there before is nobody's business.
func TestAPodThatRunsIsNotTakenRoundItsProxy(t *testing.T) {
	guarded(t)
	ns := namespace(t, injected)
	plain := podRow{spec: plainPod}.pod(t, ns)
	require.NoError(t, shared.Client.Create(t.Context(), plain))
	before := podRows["excludeOutboundPorts"].pod(t, ns)
	before.SetName("before")
	glass, _ := as(t, "before", "egress-governor:break-glass")
	require.NoError(t, glass.Create(t.Context(), before))

	meshed := podRow{metadata: `annotations: {sidecar.istio.io/status: "{}"}`, spec: "containers: [{name: app, image: app}, {name: istio-proxy, image: proxyv2, args: [proxy, sidecar]}]"}.pod(t, ns)
	meshed.SetName("meshed")
	require.NoError(t, shared.Client.Create(t.Context(), meshed))
	excluded, free := `{"metadata":{"annotations":{"traffic.sidecar.istio.io/excludeOutboundIPRanges":"0.0.0.0/0"}}}`, `{"metadata":{"labels":{"istio.io/dataplane-mode":"none"}}}`
	c, heard := author(t)
	for _, write := range map[string]func(pod client.Object, patch string) error{
		"itself": func(pod client.Object, patch string) error {
			return c.Patch(t.Context(), pod, client.RawPatch(types.MergePatchType, []byte(patch)), client.DryRunAll)
		},
		"status": func(pod client.Object, patch string) error {
			return c.SubResource("status").Patch(t.Context(), pod, client.RawPatch(types.MergePatchType, []byte(patch)), client.DryRunAll)
		},
	} {
		heard.texts = nil
		caught(t, write(plain.DeepCopy(), excluded), "traffic", "metadata.annotations[traffic.sidecar.istio.io/excludeOutboundIPRanges]")
		caught(t, write(meshed.DeepCopy(), `{"metadata":{"annotations":{"sidecar.istio.io/status":null}}}`), "injection", "metadata.annotations[sidecar.istio.io/status]")
		caught(t, write(plain.DeepCopy(), free), "injection", "metadata.labels[istio.io/dataplane-mode]")
		for _, harmless := range []string{`{"metadata":{"labels":{"role":"leader"}}}`, `{"metadata":{"annotations":{"ambient.istio.io/redirection":"pending"}}}`, `{"status":{"reason":"Tested"}}`} {
			require.NoError(t, write(before.DeepCopy(), harmless), harmless)
		}
		require.NoError(t, write(before.DeepCopy(), `{"metadata":{"annotations":{"traffic.sidecar.istio.io/excludeOutboundPorts":null}}}`), "mended")
		assert.Empty(t, heard.texts)
	}
}

// TestAddressesOfEntriesAreIstiods: sidecars take an entry's calls by the addresses in its status, whoever wrote them there.
func TestAddressesOfEntriesAreIstiods(t *testing.T) {
	guarded(t)
	in := entry(t, "v1", namespace(t, nil), "addressed", strings.ReplaceAll(hostSpec, "HOST", "addressed.example.com"))
	in.Object["status"] = map[string]any{"addresses": []any{map[string]any{"value": "10.96.0.1"}}}
	c, _ := author(t)
	require.NoError(t, c.Create(t.Context(), in))
	_, has, err := unstructured.NestedSlice(get(t, in).Object, "status", "addresses")
	require.NoError(t, err)
	assert.False(t, has, "at its creation an entry has none")

	patch := func(by client.Client, body string) error {
		return by.SubResource("status").Patch(context.WithoutCancel(t.Context()), in.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(body)))
	}
	const taken, own = `{"status":{"addresses":[{"value":"10.96.0.1","host":"addressed.example.com"}]}}`, `{"status":{"addresses":[{"value":"10.200.0.7","host":"addressed.example.com"}]}}`
	caught(t, patch(c, taken), "entry-addresses", "status.addresses")
	istiod, _ := as(t, "system:serviceaccount:istio-system:istiod-canary", "system:serviceaccounts:istio-system")
	require.NoError(t, patch(istiod, own))
	eventually(t, func() bool {
		claim := entry(t, "v1", namespace(t, nil), "claim", `{hosts: [claim.example.com], location: MESH_INTERNAL, resolution: STATIC, workloadSelector: {labels: {app: x}},
			exportTo: ["."], addresses: ["10.200.0.7"], ports: [{number: 80, name: http, protocol: HTTP}]}`)
		err := c.Create(t.Context(), claim, client.DryRunAll)
		return err != nil && strings.Contains(err.Error(), "istiod gave ServiceEntry "+in.GetNamespace()+"/addressed")
	}, "who names an address that an entry was given later is refused")
	caught(t, patch(c, taken), "entry-addresses", "status.addresses")
	caught(t, patch(c, `{"status":{"addresses":null}}`), "entry-addresses", "status.addresses")
	require.NoError(t, patch(c, `{"status":{"validationMessages":[]}}`), "the rest is anybody's")
	eventually(t, func() bool { return ready(get(t, in), "True") }, "ExitReady")
	require.NoError(t, patch(c, `{"spec":{"endpoints":null},"metadata":{"annotations":{"egress-governor.io/intent":null}}}`))
	assert.Equal(t, gatewayHost, endpoints(t, get(t, in))[0].(map[string]any)["address"], "/status stores nothing else")
	require.NoError(t, c.Delete(t.Context(), in))
	eventually(t, func() bool { found, _ := exits(t, "addressed.example.com"); return found == 0 }, "others begin without exits")
}

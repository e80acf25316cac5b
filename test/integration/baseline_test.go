package integration

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/policies"
	"github.com/egress-governor/egress-governor/test/controlplane"
)

// allowAny is a way round that the baseline closes.
var allowAny = refused{kind: "Sidecar", body: "spec: {outboundTrafficPolicy: {mode: ALLOW_ANY}}"}

// TestTheBaselineStays whatever anybody does to what can be seen of it.
func TestTheBaselineStays(t *testing.T) {
	e, err := policy.NewEngine(policies.Library())
	require.NoError(t, err)
	eventually(t, func() bool {
		var list v1alpha1.EgressPolicyList
		require.NoError(t, shared.Client.List(t.Context(), &list))
		seen := 0
		for _, one := range list.Items {
			if name, is := strings.CutPrefix(one.Name, policy.BaselinePrefix); is {
				assert.Contains(t, e.Standards(), name)
				seen++
			}
		}
		return seen == len(e.Standards())
	}, "kubectl get egp lists the baseline")
	sends(t, "sidecars")
	one := &v1alpha1.EgressPolicy{}
	require.NoError(t, shared.Client.Get(t.Context(), types.NamespacedName{Name: "baseline-sidecar-outbound"}, one))
	weaker := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"enforcement":"Audit"}}`))
	require.NoError(t, shared.Client.Patch(t.Context(), one.DeepCopy(), weaker))
	require.Error(t, allowAny.create(t, namespace(t, nil)), "it is in force as the values say")
	eventually(t, func() bool {
		require.NoError(t, shared.Client.Get(t.Context(), client.ObjectKeyFromObject(one), one))
		return one.Spec.Enforcement == v1alpha1.Deny
	}, "it says so again")
	require.NoError(t, shared.Client.Delete(t.Context(), one))
	require.Error(t, allowAny.create(t, namespace(t, nil)), "it is in force though nobody sees it")
	eventually(t, func() bool { return shared.Client.Get(t.Context(), client.ObjectKeyFromObject(one), one) == nil }, "it can be seen again")
}

// TestTheBaselineByValues restarts the webhook, so it is not parallel.
func TestTheBaselineByValues(t *testing.T) {
	restart := func(baseline map[string]any) {
		require.NoError(t, shared.StopWebhook())
		values := gateways()
		if baseline != nil {
			values["baseline"] = baseline
		}
		shared.Configure(values)
		require.NoError(t, shared.StartWebhook(t.Context()))
	}
	t.Cleanup(func() { shared.Configure(gateways()) })
	left := func() int {
		var list v1alpha1.EgressPolicyList
		require.NoError(t, shared.Client.List(t.Context(), &list))
		return len(list.Items)
	}

	restart(map[string]any{"enforcement": "Off"})
	eventually(t, func() bool { return left() == 0 && rules(t) == "" }, "nobody asks for anything")
	ns := namespace(t, nil)
	eventually(t, func() bool { return allowAny.create(t, ns) == nil }, "the API server does not send it")
	own := object(t, "", "apiVersion: egress-governor.io/v1alpha1\nkind: EgressPolicy\nmetadata: {name: own-sidecars}\nspec:\n  match: {kinds: [Sidecar]}\n  rego: |\n    package own\n    deny contains \"no Sidecars\"\n")
	require.NoError(t, shared.Client.Create(t.Context(), own))
	eventually(t, func() bool { return rules(t) == "networking.istio.io v1,v1beta1,v1alpha3 sidecars" }, "what is asked for and no more")
	eventually(t, func() bool {
		err := allowAny.create(t, namespace(t, nil))
		return err != nil && strings.Contains(err.Error(), "no Sidecars")
	}, "the policy is asked")
	require.NoError(t, shared.Client.Delete(t.Context(), own))
	eventually(t, func() bool { return rules(t) == "" }, "nobody asks for it any more")

	restart(map[string]any{"enforcement": "Warn", "policies": map[string]any{"envoy-extensions": map[string]any{"enforcement": "Deny"}}})
	c, heard := warned(t)
	eventually(t, func() bool {
		in := object(t, namespace(t, nil), "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: bypass}\n"+allowAny.body)
		require.NoError(t, c.Create(t.Context(), in))
		return strings.Contains(strings.Join(heard.texts, "\n"), "baseline-sidecar-outbound: spec.outboundTrafficPolicy.mode")
	}, "it is told what Deny would break")
	filter := refused{kind: "EnvoyFilter", body: "spec: {}"}
	require.Error(t, filter.create(t, namespace(t, nil)))

	restart(nil)
	sends(t, "sidecars")
}

// TestAnUpgradeKeepsTheRules: whoever applies the chart again says nothing of what the policies ask for.
func TestAnUpgradeKeepsTheRules(t *testing.T) {
	sends(t, "sidecars")
	before := rules(t)
	live := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	require.NoError(t, shared.Client.Get(t.Context(), types.NamespacedName{Name: controlplane.Release}, live))
	chart, err := filepath.Abs("../../charts/egress-governor")
	require.NoError(t, err)
	objects, err := controlplane.Render(chart, gateways())
	require.NoError(t, err)
	for _, object := range objects {
		if object.GetKind() != "ValidatingWebhookConfiguration" {
			continue
		}
		webhooks, _, _ := unstructured.NestedSlice(object.Object, "webhooks")
		require.Len(t, webhooks, len(live.Webhooks))
		for i := range webhooks {
			webhooks[i].(map[string]any)["clientConfig"] = map[string]any{"url": *live.Webhooks[i].ClientConfig.URL}
		}
		object.Object["webhooks"] = webhooks
		//nolint:staticcheck // the typed apply needs a generated configuration of each kind
		require.NoError(t, shared.Client.Patch(t.Context(), object, client.Apply, client.FieldOwner("helm"), client.ForceOwnership))
	}
	assert.Equal(t, before, rules(t))
	after := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	require.NoError(t, shared.Client.Get(t.Context(), types.NamespacedName{Name: controlplane.Release}, after))
	for i := range live.Webhooks {
		assert.NotEmpty(t, after.Webhooks[i].ClientConfig.CABundle, live.Webhooks[i].Name)
		assert.Equal(t, live.Webhooks[i], after.Webhooks[i])
	}
	require.Error(t, allowAny.create(t, namespace(t, nil)))
}

// TestAKindThatComesLaterIsGoverned: a CRD may be installed after the mesh.
func TestAKindThatComesLaterIsGoverned(t *testing.T) {
	crd := &apiextensionsv1.CustomResourceDefinition{}
	name := types.NamespacedName{Name: "proxyconfigs.networking.istio.io"}
	require.NoError(t, shared.Client.Get(t.Context(), name, crd))
	eventually(t, func() bool { return strings.Contains(rules(t), "proxyconfigs") }, "it is asked for")
	require.NoError(t, shared.Client.Delete(t.Context(), crd))
	require.Eventually(t, func() bool { return !strings.Contains(rules(t), "proxyconfigs") }, 4*within, 100*time.Millisecond, "what is not served is not asked for")
	crd.ObjectMeta = metav1.ObjectMeta{Name: crd.Name, Labels: crd.Labels, Annotations: crd.Annotations}
	crd.Status = apiextensionsv1.CustomResourceDefinitionStatus{}
	eventually(t, func() bool { return shared.Client.Create(t.Context(), crd.DeepCopy()) == nil }, "it is gone, and comes again")
	require.Eventually(t, func() bool { return strings.Contains(rules(t), "proxyconfigs") }, 4*within, 100*time.Millisecond)
	eventually(t, func() bool {
		err := refused{kind: "ProxyConfig", body: "spec: {}"}.create(t, namespace(t, nil))
		return err != nil && strings.Contains(err.Error(), "(envoy-extensions)")
	}, "the API server sends it")
}

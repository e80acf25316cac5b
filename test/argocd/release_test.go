package argocd

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

// TestArgoCD has an order: the release is there before what tenants write, and goes last.
func TestArgoCD(t *testing.T) {
	t.Run("the release is left as it is", leftAsItIs)
	t.Run("tenants", func(t *testing.T) {
		t.Run("what they write", whatTenantsWrite)
		t.Run("other settings", otherSettings)
		t.Run("what a hand changes", whatAHandChanges)
		t.Run("what is refused", whatIsRefused)
		t.Run("routes of the Gateway API", routesOfTheGatewayAPI)
		t.Run("health", healthOfEntries)
	})
	t.Run("the release goes", goes)
}

// clientOf returns a client of an object's kind, in its namespace.
func clientOf(t *testing.T, of *unstructured.Unstructured) dynamic.ResourceInterface {
	t.Helper()
	kind := strings.ToLower(of.GetKind())
	plural := kind + "s"
	if strings.HasSuffix(kind, "y") {
		plural = strings.TrimSuffix(kind, "y") + "ies"
	}
	at := schema.GroupVersionResource{Group: of.GroupVersionKind().Group, Version: of.GroupVersionKind().Version, Resource: plural}
	if of.GetNamespace() == "" {
		return shared.dynamic.Resource(at)
	}
	return shared.dynamic.Resource(at).Namespace(of.GetNamespace())
}

// stored returns an object as it is stored.
func stored(t *testing.T, of *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	out, err := clientOf(t, of).Get(t.Context(), of.GetName(), metav1.GetOptions{})
	require.NoError(t, err)
	return out
}

// patch writes as kubectl does.
func patch(t *testing.T, of *unstructured.Unstructured, kind types.PatchType, raw string) {
	t.Helper()
	_, err := clientOf(t, of).Patch(t.Context(), of.GetName(), kind, []byte(raw), metav1.PatchOptions{FieldManager: "kubectl-edit"})
	require.NoError(t, err)
}

// synced waits until the application is, as its cache learns of what is stored, and asserts that it stays so.
func synced(t *testing.T, app *application) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		out, err := app.compare()
		require.NoError(c, err)
		assert.Empty(c, out)
	}, within, 100*time.Millisecond)
}

// inChart returns an object of the release.
func inChart(t *testing.T, kind string) *unstructured.Unstructured {
	t.Helper()
	for _, object := range chart {
		if object.GetKind() == kind {
			return object
		}
	}
	require.Fail(t, "no "+kind)
	return nil
}

// recipe is the Application of the recipe, under another name, with other objects.
func recipe(t *testing.T, name, namespace string, objects []*unstructured.Unstructured) *application {
	t.Helper()
	out := shared.application(name, namespace, objects)
	require.NoError(t, shown("application.yaml", out.Application))
	out.Name, out.Spec.Destination.Namespace = name, namespace
	return out
}

// leftAsItIs: whatever the webhook, a policy or an operator in need writes into what the chart has made, Argo CD finds nothing to do,
// whether it compares by itself or by the API server, and heals none of it away.
func leftAsItIs(t *testing.T) {
	byItself := shared.application("egress-governor", "egress-governor", chart)
	byServer := recipe(t, "egress-governor", "egress-governor", chart)
	ways := []struct {
		name string
		app  *application
	}{{"by itself", byItself}, {"by the API server", byServer}}
	validating := inChart(t, "ValidatingWebhookConfiguration")
	authorities := func() (out []string) {
		webhooks, _, _ := unstructured.NestedSlice(stored(t, validating).Object, "webhooks")
		for _, webhook := range webhooks {
			authority, _, _ := unstructured.NestedString(webhook.(map[string]any), "clientConfig", "caBundle")
			out = append(out, authority)
		}
		return out
	}
	asked := func() bool {
		webhooks, _, _ := unstructured.NestedSlice(stored(t, validating).Object, "webhooks")
		return webhooks[1].(map[string]any)["rules"] != nil
	}
	served := authorities()
	assert.NotContains(t, served, "")

	policies, err := split([]byte(`
apiVersion: egress-governor.io/v1alpha1
kind: EgressPolicy
metadata: {name: asks}
spec: {match: {kinds: [EnvoyFilter], namespaces: [nobody]}, rego: "package asks\n\ndeny contains \"no\" if input.object.kind == \"None\"\n"}`))
	require.NoError(t, err)
	_, err = clientOf(t, policies[0]).Create(t.Context(), policies[0], metav1.CreateOptions{})
	require.NoError(t, err)
	require.Eventually(t, asked, within, 50*time.Millisecond, "the API server sends what the policy asks for")

	stop := `{"metadata": {"annotations": {"egress-governor.io/stopped": "a test"}}, "webhooks": [{"name": "validate.egress-governor.io", "matchConditions": [{"name": "egress-governor-stopped", "expression": "false"}]}]}`
	patch(t, validating, types.StrategicMergePatchType, stop)
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			synced(t, way.app)
			require.NoError(t, way.app.sync(t.Context()))
			synced(t, way.app)
			assert.Equal(t, served, authorities())
			assert.True(t, asked(), "the policy's kinds are sent no more")
			assert.Contains(t, conditions(t, validating), "egress-governor-stopped", "the emergency stop is over")
			assert.Contains(t, stored(t, validating).GetAnnotations(), "egress-governor.io/stopped")
		})
	}
	patch(t, validating, types.StrategicMergePatchType, `{"metadata": {"annotations": {"egress-governor.io/stopped": null}}, "webhooks": [{"name": "validate.egress-governor.io", "matchConditions": [{"name": "egress-governor-stopped", "$patch": "delete"}]}]}`)
	assert.NotContains(t, conditions(t, validating), "egress-governor-stopped")

	deployment := inChart(t, "Deployment")
	patch(t, deployment, types.MergePatchType, `{"spec": {"replicas": 0}}`)
	for _, way := range ways {
		require.Eventually(t, func() bool { out, err := way.app.compare(); return err == nil && len(out) == 1 }, within, 100*time.Millisecond, "what is scaled by hand is found")
	}
	require.NoError(t, byServer.sync(t.Context()))
	synced(t, byServer)
	replicas, _, _ := unstructured.NestedInt64(stored(t, deployment).Object, "spec", "replicas")
	assert.EqualValues(t, 2, replicas)
}

// collected does what the garbage collector does with objects that are deleted in the foreground.
func collected(t *testing.T, objects []*unstructured.Unstructured) {
	t.Helper()
	for _, object := range objects {
		live, err := clientOf(t, object).Get(t.Context(), object.GetName(), metav1.GetOptions{})
		if err == nil && live.GetDeletionTimestamp() != nil {
			patch(t, object, types.MergePatchType, `{"metadata": {"finalizers": null}}`)
		}
	}
}

// conditions are the match conditions of the first webhook.
func conditions(t *testing.T, of *unstructured.Unstructured) (out []string) {
	t.Helper()
	webhooks, _, _ := unstructured.NestedSlice(stored(t, of).Object, "webhooks")
	all, _, _ := unstructured.NestedSlice(webhooks[0].(map[string]any), "matchConditions")
	for _, condition := range all {
		out = append(out, condition.(map[string]any)["name"].(string))
	}
	return out
}

// goes: the release goes at once and asks for nothing that has gone before; policies stay, and so does what calls leave by.
func goes(t *testing.T) {
	app := tenant(t, nil, entry)
	require.NoError(t, app.sync(t.Context()))
	healthy(t, app)
	release := recipe(t, "egress-governor", "egress-governor", chart)
	began := time.Now()
	require.NoError(t, release.deleted(t.Context()))
	collected(t, chart)
	t.Logf("all was gone after %s", time.Since(began))
	for _, object := range chart {
		if object.GetKind() == "Secret" {
			continue // pods that have not ended yet may make it anew
		}
		_, err := clientOf(t, object).Get(t.Context(), object.GetName(), metav1.GetOptions{})
		assert.Equal(t, object.GetKind() == "CustomResourceDefinition", err == nil, "%s: %v", named(object), err)
	}
	assert.NotEmpty(t, exits(t, app))
	patch(t, app.objects[0], types.MergePatchType, `{"metadata": {"labels": {"a": "b"}}}`)
}

// exits are the objects by which calls to the host of an application leave.
func exits(t *testing.T, app *application) (out []*unstructured.Unstructured) {
	t.Helper()
	for _, plural := range []string{"serviceentries", "virtualservices", "destinationrules"} {
		at := schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: plural}
		list, err := shared.dynamic.Resource(at).Namespace("istio-system").List(context.WithoutCancel(t.Context()), metav1.ListOptions{LabelSelector: "app.kubernetes.io/managed-by=egress-governor"})
		require.NoError(t, err)
		for i := range list.Items {
			if list.Items[i].GetAnnotations()["egress-governor.io/host"] == host(app) {
				out = append(out, &list.Items[i])
			}
		}
	}
	return out
}

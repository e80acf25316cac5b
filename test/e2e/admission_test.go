//go:build e2e

package e2e

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// TestDryRunAnswersAsTheRealRun also shows that the same apply again changes nothing.
func TestDryRunAnswersAsTheRealRun(t *testing.T) {
	entry := shared.decoded(t, appA, entry("load", "load.partner.test", webPorts))[0]
	t.Cleanup(func() { shared.deleted(t, entry) })
	rehearsed, err := shared.stored(t.Context(), entry, client.DryRunAll)
	require.NoError(t, err)
	applied, err := shared.stored(t.Context(), entry)
	require.NoError(t, err)
	assert.Equal(t, rehearsed.Object["spec"], applied.Object["spec"])
	assert.Equal(t, rehearsed.GetAnnotations(), applied.GetAnnotations())
	assert.True(t, sealed(applied), applied.Object["spec"])
	shared.exitReady(t, entry)
	again, err := shared.stored(t.Context(), entry)
	require.NoError(t, err)
	assert.Equal(t, applied.GetGeneration(), again.GetGeneration())
}

// TestClientSideApply governs as server-side apply does, and the same apply again changes nothing.
func TestClientSideApply(t *testing.T) {
	entry := shared.decoded(t, appA, entry("load", "load.partner.test", webPorts))[0]
	t.Cleanup(func() { shared.deleted(t, entry) })
	var generations []int64
	for range 2 {
		require.NoError(t, controlplane.ClientSideApply(t.Context(), shared.Client, entry))
		shared.exitReady(t, entry)
		stored := entry.DeepCopy()
		require.NoError(t, shared.Get(t.Context(), client.ObjectKeyFromObject(entry), stored))
		assert.True(t, sealed(stored), stored.Object["spec"])
		generations = append(generations, stored.GetGeneration())
	}
	assert.Equal(t, generations[0], generations[1])
}

func sealed(entry *unstructured.Unstructured) bool {
	endpoints, _, _ := unstructured.NestedSlice(entry.Object, "spec", "endpoints")
	if len(endpoints) != 1 {
		return false
	}
	endpoint, _ := endpoints[0].(map[string]any)
	return endpoint["address"] == wayOf(entry.GetNamespace()).service()
}

// TestNothingIsLostWhileTheWebhookRolls: under constant load, rolled and one pod killed, no request fails and nothing is
// stored ungoverned.
func TestNothingIsLostWhileTheWebhookRolls(t *testing.T) {
	stop := shared.applyWithoutPause(t)
	shared.roll(t, webhook)
	shared.kill(t)
	shared.settled(t, releaseNamespace, release)
	sent, failed := stop()
	t.Logf("%d applies", sent)
	assert.Emptyf(t, failed, "%d of %d applies failed", len(failed), sent)
}

// kill deletes one pod of the webhook, with the grace it asks for.
func (c *cluster) kill(t *testing.T) {
	t.Helper()
	pods := &corev1.PodList{}
	require.NoError(t, c.List(t.Context(), pods, client.InNamespace(releaseNamespace), client.MatchingLabels{"app.kubernetes.io/name": release}))
	require.NotEmpty(t, pods.Items)
	require.NoError(t, c.Delete(t.Context(), &pods.Items[0]))
}

// TestClosedWithoutTheWebhook: with every pod gone the governed kinds are refused, everything else goes on, and it
// recovers by itself, although its certificate's Secret went meanwhile.
func TestClosedWithoutTheWebhook(t *testing.T) {
	governed := shared.decoded(t, appA, entry("load", "load.partner.test", webPorts))[0]
	t.Cleanup(func() { shared.deleted(t, governed) })
	shared.scale(t, 0)
	err := shared.apply(t.Context(), governed)
	require.ErrorContains(t, err, "failed calling webhook")
	other := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: appA, GenerateName: "other-"}}
	require.NoError(t, shared.Create(t.Context(), other), "what is not governed goes on")
	require.NoError(t, shared.Delete(t.Context(), other))
	rule := shared.decoded(t, appA, "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: other}\nspec: {selector: {matchLabels: {app: nobody}}, tracing: [{randomSamplingPercentage: 1}]}")[0]
	require.NoError(t, shared.apply(t.Context(), rule), "nor are Istio's other kinds")
	shared.deleted(t, rule)
	require.NoError(t, shared.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: releaseNamespace, Name: release + "-webhook-cert"}}))
	shared.scale(t, 2)
	shared.serves(t, governed)
}

// TestDeletedCertificateHeals: the Secret comes back with another certificate, and the webhook answers with it.
func TestDeletedCertificateHeals(t *testing.T) {
	key := client.ObjectKey{Namespace: releaseNamespace, Name: release + "-webhook-cert"}
	secret := &corev1.Secret{}
	require.NoError(t, shared.Get(t.Context(), key, secret))
	before := secret.DeepCopy()
	require.NoError(t, shared.Delete(t.Context(), secret))
	governed := shared.decoded(t, appA, entry("load", "load.partner.test", webPorts))[0]
	t.Cleanup(func() { shared.deleted(t, governed) })
	require.NoError(t, until(t.Context(), startWithin, func(ctx context.Context) (bool, error) {
		healed := &corev1.Secret{}
		err := shared.Get(ctx, key, healed)
		return err == nil && len(healed.Data["tls.crt"]) > 0 && !equality.Semantic.DeepEqual(before.Data, healed.Data), nil
	}))
	shared.serves(t, governed)
}

// TestIstiodIsContent: the objects of every shape passed istiod's own validating webhook, which is on.
func TestIstiodIsContent(t *testing.T) {
	bad := shared.decoded(t, "istio-system", "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: bad}\nspec: {servers: [{port: {number: 80, name: http, protocol: NONSENSE}, hosts: ['*']}]}")[0]
	require.Error(t, shared.apply(t.Context(), bad), "istiod's validation must be on, or our objects were never shown to it")
}

// TestMetricsAreNotEverybodys: who shows no token is not answered.
func TestMetricsAreNotEverybodys(t *testing.T) {
	pods := &corev1.PodList{}
	require.NoError(t, shared.List(t.Context(), pods, client.InNamespace(releaseNamespace), client.MatchingLabels{"app.kubernetes.io/instance": release}))
	require.NotEmpty(t, pods.Items)
	_, err := shared.kube.CoreV1().RESTClient().Get().Namespace(releaseNamespace).Resource("pods").Name("https:" + pods.Items[0].Name + ":8080").
		SubResource("proxy").Suffix("metrics").DoRaw(t.Context())
	require.True(t, apierrors.IsUnauthorized(err), "%v", err)
}

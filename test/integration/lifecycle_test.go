package integration

import (
	"crypto/tls"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/test/controlplane"
)

// TestWhileTheWebhookIsDown is not parallel: no other test could write meanwhile.
func TestWhileTheWebhookIsDown(t *testing.T) {
	ns := namespace(t, nil)
	spec := func(host string) string { return strings.ReplaceAll(hostSpec, "HOST", host) }
	goes := entry(t, "v1", ns, "goes", spec("goes.example.com"))
	stays := entry(t, "v1", ns, "stays", spec("stays.example.com"))
	for _, in := range []client.Object{goes, stays} {
		require.NoError(t, shared.Client.Create(t.Context(), in))
	}
	eventually(t, func() bool { return ready(get(t, goes), "True") && ready(get(t, stays), "True") }, "ExitReady")
	held := entry(t, "v1", ns, "held", spec("held.example.com"))
	held.SetFinalizers([]string{"tenant.example/hold", "tenant.example/another"})
	require.NoError(t, shared.Client.Create(t.Context(), held))
	require.NoError(t, shared.Client.Delete(t.Context(), held))
	require.NoError(t, shared.StopWebhook())

	err := shared.Client.Create(t.Context(), entry(t, "v1", ns, "new", spec("new.example.com")))
	require.Error(t, err, "governed kinds fail closed")
	assert.True(t, apierrors.IsInternalError(err), err)
	require.NoError(t, shared.Client.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: named(ns, "free")}), "everything else is unaffected")
	exempt := namespace(t, map[string]string{"egress-governor.io/exempt": "true"})
	require.NoError(t, shared.Client.Create(t.Context(), entry(t, "v1", exempt, "free", spec("free.example.com"))), "exempt namespaces are unaffected")
	finalized(t, held)
	require.NoError(t, shared.Client.Delete(t.Context(), goes))
	_, vs := exits(t, "stays.example.com")
	require.NoError(t, shared.Client.Delete(t.Context(), vs))

	require.NoError(t, shared.StartWebhook(t.Context()))
	eventually(t, func() bool { found, _ := exits(t, "goes.example.com"); return found == 0 }, "what went meanwhile goes")
	eventually(t, func() bool { found, _ := exits(t, "stays.example.com"); return found == 2 }, "what was deleted comes back")
	before := versions(t)
	require.NoError(t, shared.StopWebhook())
	require.NoError(t, shared.StartWebhook(t.Context()))
	marker := entry(t, "v1", ns, "marker", spec("after-restart.example.com"))
	require.NoError(t, shared.Client.Create(t.Context(), marker))
	eventually(t, func() bool { return ready(get(t, marker), "True") }, "the controller works")
	after := versions(t)
	for name, version := range before {
		assert.Equal(t, version, after[name], "a restart writes nothing: %s", name)
	}
	for _, in := range []client.Object{stays, marker} {
		require.NoError(t, shared.Client.Delete(t.Context(), in))
	}
}

// finalized: what is being deleted loses its finalizers and goes while nobody answers, and nothing else of it changes.
func finalized(t *testing.T, of client.Object) {
	t.Helper()
	patch := func(body string) error {
		return shared.Client.Patch(t.Context(), get(t, of), client.RawPatch(types.MergePatchType, []byte(body)))
	}
	for _, more := range []string{
		`"labels":{"a":"b"}`, `"annotations":{"egress-governor.io/intent":null}`, `"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"a","uid":"b"}]`,
	} {
		err := patch(`{"metadata":{"finalizers":null,` + more + `}}`)
		require.Error(t, err, more)
		assert.True(t, apierrors.IsInternalError(err), err)
	}
	require.Error(t, patch(`{"metadata":{"finalizers":null},"spec":{"endpoints":null}}`))
	require.NoError(t, patch(`{"metadata":{"finalizers":["tenant.example/hold"]}}`))
	require.NoError(t, patch(`{"metadata":{"finalizers":null}}`))
	left := of.DeepCopyObject().(client.Object)
	assert.True(t, apierrors.IsNotFound(shared.Client.Get(t.Context(), client.ObjectKeyFromObject(of), left)), "it is gone")
}

// versions returns the resourceVersion of every exit object.
func versions(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, kind := range []string{"Gateway", "ServiceEntry", "VirtualService"} {
		for _, object := range stored(t, kind, controlplane.GatewayNamespace) {
			if object.GetLabels()[hop.ManagedByLabel] == hop.Manager {
				out[kind+"/"+object.GetName()] = object.GetResourceVersion()
			}
		}
	}
	return out
}

// TestCertificateRotatesUnderLoad is not parallel: it looks at what the one webhook serves.
func TestCertificateRotatesUnderLoad(t *testing.T) {
	ns := namespace(t, nil)
	before := served(t)
	var failed atomic.Pointer[error]
	var sent atomic.Int64
	stop, done := make(chan struct{}), make(chan struct{})
	load := entry(t, "v1", ns, "load", strings.ReplaceAll(hostSpec, "HOST", "load.example.com"))
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			err := shared.Client.Create(t.Context(), load.DeepCopy(), client.DryRunAll)
			if err != nil {
				failed.CompareAndSwap(nil, &err)
			}
			sent.Add(1)
		}
	}()
	eventually(t, func() bool { return sent.Load() > 10 }, "load")
	// A serving certificate that is no longer valid is made anew under the same authority.
	secret := types.NamespacedName{Namespace: controlplane.Namespace, Name: controlplane.Release + "-webhook-cert"}
	patch := client.RawPatch(types.MergePatchType, []byte(`{"data":{"tls.crt":"bm8="}}`))
	object := &corev1.Secret{ObjectMeta: named(secret.Namespace, secret.Name)}
	require.NoError(t, shared.Client.Patch(t.Context(), object, patch))
	eventually(t, func() bool { return served(t) != before }, "another certificate is served")
	rotated := sent.Load()
	eventually(t, func() bool { return sent.Load() > rotated+10 }, "load after rotation")
	close(stop)
	<-done
	if err := failed.Load(); err != nil {
		require.NoError(t, *err, "no request fails while the certificate rotates")
	}
	rotatedTo := served(t)
	require.NoError(t, shared.Client.Delete(t.Context(), object))
	eventually(t, func() bool {
		again := entry(t, "v1", ns, "healed", strings.ReplaceAll(hostSpec, "HOST", "healed.example.com"))
		return served(t) != rotatedTo && shared.Client.Create(t.Context(), again, client.DryRunAll) == nil
	}, "a deleted Secret heals")
}

// served returns the certificate that the webhook shows.
func served(t *testing.T) string {
	t.Helper()
	configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	require.NoError(t, shared.Client.Get(t.Context(), types.NamespacedName{Name: controlplane.Release}, configuration))
	address, _, _ := strings.Cut(strings.TrimPrefix(*configuration.Webhooks[0].ClientConfig.URL, "https://"), "/")
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the test looks at the certificate alone
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	assert.Equal(t, uint16(tls.VersionTLS13), conn.ConnectionState().Version)
	return string(conn.ConnectionState().PeerCertificates[0].Raw)
}

func TestOldTLSIsRefused(t *testing.T) {
	configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	require.NoError(t, shared.Client.Get(t.Context(), types.NamespacedName{Name: controlplane.Release}, configuration))
	address, _, _ := strings.Cut(strings.TrimPrefix(*configuration.Webhooks[0].ClientConfig.URL, "https://"), "/")
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}) //nolint:gosec // an old client
	if err == nil {
		_ = conn.Close()
	}
	require.Error(t, err)
}

func TestThousandsOfRoutes(t *testing.T) {
	t.Parallel()
	ns := namespace(t, nil)
	const host, bad = "many.example.com", 3000
	se := entry(t, "v1", ns, "many", `{hosts: [`+host+`],
		resolution: DNS,
		ports: [{number: 80, name: http, protocol: HTTP}, {number: 8080, name: alt, protocol: HTTP}]}`)
	require.NoError(t, shared.Client.Create(t.Context(), se))
	eventually(t, func() bool { return ready(get(t, se), "True") }, "ExitReady")
	routes := func(port int) string {
		var out strings.Builder
		for i := range bad {
			fmt.Fprintf(&out, `{match: [{port: 80, uri: {prefix: /%d}}],
				route: [{destination: {host: %s, port: {number: %d}}}]},`, i, host, port)
		}
		return `{hosts: [` + host + `], http: [` + out.String() + `]}`
	}
	start := time.Now()
	err := shared.Client.Create(t.Context(), virtualService(t, "v1", ns, routes(8080)))
	require.Error(t, err)
	assert.Equal(t, int32(422), code(err))
	assert.Contains(t, err.Error(), fmt.Sprintf("… and %d more", bad-20))
	assert.Less(t, len(err.Error()), 10000)
	t.Logf("refused %d routes in %s", bad, time.Since(start))
	require.NoError(t, shared.Client.Create(t.Context(), virtualService(t, "v1", ns, routes(80))))
}

// TestGatewayWithoutItsServiceIsSaid is not parallel: every entry leaves through the one gateway.
func TestGatewayWithoutItsServiceIsSaid(t *testing.T) {
	ns := namespace(t, nil)
	se := entry(t, "v1", ns, "gateway", strings.ReplaceAll(hostSpec, "HOST", "gateway.example.com"))
	require.NoError(t, shared.Client.Create(t.Context(), se))
	eventually(t, func() bool { return ready(get(t, se), "True") }, "ExitReady")
	service := &corev1.Service{}
	require.NoError(t, shared.Client.Get(t.Context(), types.NamespacedName{Namespace: "istio-system", Name: "istio-egressgateway"}, service))
	require.NoError(t, shared.Client.Delete(t.Context(), service.DeepCopy()))
	eventually(t, func() bool { return ready(get(t, se), "False") }, "the entry says that nothing carries its calls")
	service.ResourceVersion, service.UID = "", ""
	require.NoError(t, shared.Client.Create(t.Context(), service))
	eventually(t, func() bool { return ready(get(t, se), "True") }, "ExitReady again")
	// Those that come after begin with no exits at all.
	require.NoError(t, shared.Client.Delete(t.Context(), se))
}

// TestPreflightIsInTheGatewaysStatus: the embedded control plane runs no pods, so the gateway has none.
func TestPreflightIsInTheGatewaysStatus(t *testing.T) {
	t.Parallel()
	ns := namespace(t, nil)
	se := entry(t, "v1", ns, "preflight", strings.ReplaceAll(hostSpec, "HOST", "preflight.example.com"))
	require.NoError(t, shared.Client.Create(t.Context(), se))
	gateway := &unstructured.Unstructured{}
	gateway.SetGroupVersionKind(schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "Gateway"})
	gateway.SetNamespace(controlplane.GatewayNamespace)
	gateway.SetName("egress-governor-default")
	require.Eventually(t, func() bool {
		if shared.Client.Get(t.Context(), client.ObjectKeyFromObject(gateway), gateway) != nil {
			return false
		}
		conditions, _, _ := unstructured.NestedSlice(gateway.Object, "status", "conditions")
		return len(conditions) == 1 && conditions[0].(map[string]any)["reason"] == "GatewayWithoutPods"
	}, 100*time.Second, 200*time.Millisecond)
}

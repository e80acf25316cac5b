package integration

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// sealedByHand is what the webhook would have stored of hostSpec.
const sealedByHand = `{hosts: [HOST], resolution: DNS, exportTo: ["."], ports: [{number: 443, name: tls, protocol: TLS}],
	endpoints: [{address: istio-egressgateway.istio-system.svc.cluster.local, ports: {tls: 443}}]}`

// ungoverned are entries that lead past the gateways, by their name in the catalogue.
var ungoverned = map[string]string{
	"no endpoints":               `{hosts: [HOST], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}`,
	"endpoints elsewhere":        `{hosts: [HOST], resolution: STATIC, endpoints: [{address: 203.0.113.7}], ports: [{number: 443, name: tls, protocol: TLS}]}`,
	"one endpoint more":          `{hosts: [HOST], resolution: DNS, endpoints: [{address: istio-egressgateway.istio-system.svc.cluster.local}, {address: evil.test}], ports: [{number: 443, name: tls, protocol: TLS}]}`,
	"no gateway of ours":         `{hosts: [HOST], resolution: DNS, endpoints: [{address: istio-egressgateway.istio-system.svc.cluster.local.evil.test}], ports: [{number: 443, name: tls, protocol: TLS}]}`,
	"resolution NONE":            `{hosts: [HOST], resolution: NONE, ports: [{number: 443, name: tls, protocol: TLS}]}`,
	"wildcard, DYNAMIC_DNS":      `{hosts: ["*.HOST"], resolution: DYNAMIC_DNS, ports: [{number: 443, name: tls, protocol: TLS}]}`,
	"MESH_INTERNAL lie":          `{hosts: [HOST], location: MESH_INTERNAL, resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}`,
	"MESH_INTERNAL, an address":  `{hosts: [HOST], location: MESH_INTERNAL, resolution: STATIC, endpoints: [{address: 203.0.113.7}], ports: [{number: 443, name: tls, protocol: TLS}]}`,
	"MESH_INTERNAL, mapped":      `{hosts: [HOST], location: MESH_INTERNAL, resolution: STATIC, endpoints: [{address: "::ffff:203.0.113.7"}], ports: [{number: 443, name: tls, protocol: TLS}]}`,
	"MESH_INTERNAL, by a name":   `{hosts: [HOST], location: MESH_INTERNAL, resolution: DNS, endpoints: [{address: evil.test}], ports: [{number: 443, name: tls, protocol: TLS}]}`,
	"workloads without STATIC":   `{hosts: [HOST], location: MESH_INTERNAL, resolution: DNS, workloadSelector: {labels: {app: a}}, ports: [{number: 443, name: tls, protocol: TLS}]}`,
	"workloads of an external":   `{hosts: [HOST], resolution: STATIC, workloadSelector: {labels: {app: a}}, ports: [{number: 443, name: tls, protocol: TLS}]}`,
	"the cluster's host, sealed": strings.ReplaceAll(sealedByHand, "HOST", "payments.HOST.svc.cluster.local"),
}

// governed are entries that need no webhook to be what they are to be.
var governed = map[string]string{
	"sealed":             sealedByHand,
	"Services":           `{hosts: [HOST], location: MESH_INTERNAL, resolution: DNS, endpoints: [{address: a.b.svc.cluster.local}, {address: C.d.svc.cluster.local.}], ports: [{number: 80, name: http, protocol: HTTP}]}`,
	"selected workloads": `{hosts: [HOST], location: MESH_INTERNAL, resolution: STATIC, workloadSelector: {labels: {app: a}}, ports: [{number: 80, name: http, protocol: HTTP}]}`,
	"a declared range":   `{hosts: [HOST], location: MESH_INTERNAL, resolution: STATIC, endpoints: [{address: 10.77.0.7}], ports: [{number: 80, name: http, protocol: HTTP}]}`,
}

// nothingUngoverned asserts what is stored by entries while the webhook does not look at them.
func nothingUngoverned(t *testing.T) {
	t.Helper()
	c, _ := author(t)
	ns := namespace(t, nil)
	host := func(spec, name string) string {
		return strings.ReplaceAll(spec, "HOST", fmt.Sprintf("h%x.example.com", sha256.Sum256([]byte(name)))[:12]+".example.com")
	}
	asked := entry(t, "v1", ns, "asked", host(ungoverned["no endpoints"], "asked"))
	eventually(t, func() bool {
		return strings.Contains(fmt.Sprint(c.Create(t.Context(), asked.DeepCopy(), client.DryRunAll)), "egress-governor-entries")
	}, "the guard answers alone")
	for name, spec := range ungoverned {
		for _, version := range []string{"v1", "v1alpha3"} {
			field := "spec.endpoints"
			if name == "the cluster's host, sealed" {
				field = "spec.hosts"
			}
			err := c.Create(t.Context(), entry(t, version, ns, "e", host(spec, name)))
			require.Error(t, err, name)
			caught(t, err, "entries", field)
		}
	}
	for name, spec := range governed {
		stored := entry(t, "v1", ns, strings.ToLower(strings.ReplaceAll(name, " ", "-")), host(spec, name))
		require.NoError(t, c.Create(t.Context(), stored), name)
		labelled := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}}}`))
		require.NoError(t, c.Patch(t.Context(), stored.DeepCopy(), labelled), name)
		for _, patch := range []string{`{"spec":{"endpoints":null,"workloadSelector":null,"resolution":"DNS"}}`, `{"spec":{"endpoints":[{"address":"evil.test"}],"workloadSelector":null,"resolution":"DNS"}}`} {
			caught(t, c.Patch(t.Context(), stored.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch))), "entries", "spec.endpoints")
		}
		require.NoError(t, c.Delete(t.Context(), stored), name)
	}
}

// restored runs the webhook and its configurations again after a test.
func restored(t *testing.T) {
	t.Helper()
	beside.unanswered(t, "the webhook's configurations are not the chart's")
	t.Cleanup(func() {
		assert.NoError(t, shared.StopWebhook())
		assert.NoError(t, shared.StartWebhook(context.WithoutCancel(t.Context())))
	})
}

// configurations are the webhook's own.
func configurations() []client.Object {
	return []client.Object{
		&admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: named("", controlplane.Release)},
		&admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: named("", controlplane.Release)},
	}
}

// TestWithTheWebhookConfigurationsDeleted, whoever deleted them, nothing ungoverned is stored. It is not parallel.
func TestWithTheWebhookConfigurationsDeleted(t *testing.T) {
	guarded(t)
	restored(t)
	for _, configuration := range configurations() {
		require.NoError(t, shared.Client.Delete(t.Context(), configuration))
	}
	nothingUngoverned(t)
	t.Run("break the glass", func(t *testing.T) { breaksTheGlass(t) })
}

// breaksTheGlass: who is in the group writes what the guard refuses, and is told and noted down.
func breaksTheGlass(t *testing.T) {
	c, heard := as(t, "firefighter", "egress-governor:break-glass")
	require.NoError(t, client.IgnoreAlreadyExists(c.Create(t.Context(), &corev1.Namespace{ObjectMeta: named("", "break-glass")})))
	in := entry(t, "v1", "break-glass", "urgent", strings.ReplaceAll(ungoverned["no endpoints"], "HOST", "urgent.example.com"))
	require.NoError(t, c.Create(t.Context(), in))
	assert.Contains(t, strings.Join(heard.texts, "\n"), "user firefighter is exempt from the guards")
	eventually(t, func() bool {
		raw, err := os.ReadFile(shared.AuditLog)
		return err == nil && strings.Contains(string(raw), `"egress-governor-break-glass/exempt-user":"firefighter"`)
	}, "the audit log")
	require.NoError(t, c.Delete(t.Context(), in))
}

// TestWithFailurePolicyIgnoreAndTheWebhookDown: the same. It is not parallel.
func TestWithFailurePolicyIgnoreAndTheWebhookDown(t *testing.T) {
	guarded(t)
	restored(t)
	for _, configuration := range configurations() {
		require.NoError(t, shared.Client.Patch(t.Context(), configuration, client.RawPatch(types.JSONPatchType, []byte(`[{"op":"replace","path":"/webhooks/0/failurePolicy","value":"Ignore"}]`))))
	}
	require.NoError(t, shared.StopWebhook())
	nothingUngoverned(t)
}

// TestAWebhookAfterOursUnseals and has the last word, since both are asked again; the guard still comes after it. It is not
// parallel: the webhook answers for all.
func TestAWebhookAfterOursUnseals(t *testing.T) {
	guarded(t)
	beside.unanswered(t, "another webhook has the last word")
	var asked atomic.Int64
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		var in admissionv1.AdmissionReview
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		patched := admissionv1.PatchTypeJSONPatch
		in.Response = &admissionv1.AdmissionResponse{
			UID: in.Request.UID, Allowed: true, PatchType: &patched, Patch: []byte(`[{"op":"add","path":"/spec/endpoints","value":[{"address":"evil.test"}]}]`),
		}
		_ = json.NewEncoder(w).Encode(in)
	}))
	t.Cleanup(server.Close)
	again, none := admissionregistrationv1.IfNeededReinvocationPolicy, admissionregistrationv1.SideEffectClassNone
	other := &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: named("", "zzz-unseals"),
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name: "unseals.example.com", AdmissionReviewVersions: []string{"v1"}, SideEffects: &none, ReinvocationPolicy: &again,
			ClientConfig: admissionregistrationv1.WebhookClientConfig{
				URL: &server.URL, CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
			},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{"CREATE"},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{"networking.istio.io"}, APIVersions: []string{"*"}, Resources: []string{"serviceentries"}},
			}},
		}},
	}
	require.NoError(t, shared.Client.Create(t.Context(), other))
	t.Cleanup(func() { assert.NoError(t, shared.Client.Delete(context.WithoutCancel(t.Context()), other)) })
	c, _ := author(t)
	in := entry(t, "v1", namespace(t, nil), "unsealed", strings.ReplaceAll(hostSpec, "HOST", "unsealed.example.com"))
	var err error
	eventually(t, func() bool {
		err = c.Create(t.Context(), in.DeepCopy(), client.DryRunAll)
		return asked.Load() > 0
	}, "the API server asks the other webhook")
	caught(t, err, "entries", "spec.endpoints")
	caught(t, c.Create(t.Context(), in), "entries", "spec.endpoints")
}

// TestTheChartPassesItsGuards: whoever upgrades it, and takes it away again, is nobody special. It is not parallel.
func TestTheChartPassesItsGuards(t *testing.T) {
	guarded(t)
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	objects, err := controlplane.Render(filepath.Join(root, "charts", "egress-governor"), gateways())
	require.NoError(t, err)
	c, _ := as(t, "helm")
	var guards []*unstructured.Unstructured
	for range 2 {
		for _, object := range objects {
			if kind := object.GetKind(); strings.HasSuffix(kind, "WebhookConfiguration") || slices.Contains([]string{"Deployment", "PodDisruptionBudget", "Service"}, kind) {
				continue // They are other ones here, or none.
			}
			//nolint:staticcheck // the typed apply needs a generated configuration of each kind
			require.NoError(t, c.Patch(t.Context(), object.DeepCopy(), client.Apply, client.FieldOwner("helm"), client.ForceOwnership), object.GetName())
		}
	}
	for _, object := range objects {
		if strings.HasPrefix(object.GetKind(), "ValidatingAdmissionPolicy") {
			guards = append(guards, object)
		}
	}
	require.NotEmpty(t, guards)
	restored(t)
	for _, object := range guards {
		require.NoError(t, client.IgnoreNotFound(c.Delete(t.Context(), object.DeepCopy())), object.GetName())
	}
	for _, configuration := range configurations() {
		require.NoError(t, c.Delete(t.Context(), configuration))
	}
	in := entry(t, "v1", namespace(t, nil), "ungoverned", strings.ReplaceAll(ungoverned["no endpoints"], "HOST", "ungoverned.example.com"))
	eventually(t, func() bool { return c.Create(t.Context(), in.DeepCopy()) == nil }, "nothing is left of it")
	require.NoError(t, c.Delete(t.Context(), in))
}

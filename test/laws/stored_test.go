package laws

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/egress-governor/egress-governor/internal/admit"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/internal/registry"
	"github.com/egress-governor/egress-governor/internal/review"
	"github.com/egress-governor/egress-governor/test/draw"
)

// apiserver stores entries as the real one does: mutate, another webhook perhaps, validate, store.
type apiserver struct {
	t       *rapid.T
	handler *admit.Handler
	hosts   *registry.Registry
	stored  map[string]*unstructured.Unstructured
	// judged has every (spec, intent) that a policy saw and let pass, seen what it saw last.
	judged map[string]bool
	seen   map[string]any
}

// Evaluate implements review.Evaluator: it lets everything pass.
func (a *apiserver) Evaluate(_ context.Context, review policy.Review) policy.Decision {
	a.seen = review.Document
	return policy.Decision{}
}

// Record implements admit.Recorder.
func (a *apiserver) Record(context.Context, review.Request, *review.Outcome) {}

// Took implements admit.Recorder.
func (a *apiserver) Took(string, string, time.Duration) {}

// Get implements client.Reader for the one namespace.
func (a *apiserver) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	object.(*corev1.Namespace).Name = key.Name
	return nil
}

// List implements client.Reader.
func (a *apiserver) List(context.Context, client.ObjectList, ...client.ListOption) error { return nil }

func newAPIServer(t *rapid.T) *apiserver {
	mesh := egresstest.Mesh()
	out := &apiserver{t: t, hosts: registry.New(mesh), stored: map[string]*unstructured.Unstructured{}, judged: map[string]bool{}}
	out.hosts.PutNamespace(egresstest.Namespace, nil)
	out.handler = admit.New(admit.Options{
		Reviewer: &review.Reviewer{Mesh: mesh, View: out.hosts, Policies: out}, Recorder: out, Namespaces: out, Live: out, Scheme: runtime.NewScheme(),
	})
	return out
}

// steers is the part of an object that steers traffic.
func steers(object *unstructured.Unstructured) string {
	raw, _ := json.Marshal([]any{object.Object["spec"], object.GetAnnotations()[hop.IntentAnnotation]})
	return string(raw)
}

// write is a request for an object; after is what another webhook makes of it.
func (a *apiserver) write(object *unstructured.Unstructured, dryRun bool, after func(*unstructured.Unstructured)) {
	old := a.stored[object.GetName()]
	request := func(object *unstructured.Unstructured) admission.Request {
		raw, err := json.Marshal(object.Object)
		require.NoError(a.t, err)
		out := admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
			UID: "1", Kind: metav1.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "ServiceEntry"},
			Namespace: egresstest.Namespace, Name: object.GetName(), Operation: admissionv1.Create, DryRun: &dryRun,
			Object: runtime.RawExtension{Raw: raw},
		}}
		if old != nil {
			out.Operation = admissionv1.Update
			out.OldObject.Raw, err = json.Marshal(old.Object)
			require.NoError(a.t, err)
		}
		return out
	}
	mutating := request(object)
	response := a.handler.Mutate(a.t.Context(), mutating)
	if !response.Allowed {
		return
	}
	rewritten := object.DeepCopy()
	if len(response.Patches) > 0 {
		raw, err := json.Marshal(response.Patches)
		require.NoError(a.t, err)
		patch, err := jsonpatch.DecodePatch(raw)
		require.NoError(a.t, err)
		patched, err := patch.Apply(mutating.Object.Raw)
		require.NoError(a.t, err)
		require.NoError(a.t, rewritten.UnmarshalJSON(patched))
	}
	if after != nil {
		after(rewritten)
	}
	a.seen = nil
	if !a.handler.Validate(a.t.Context(), request(rewritten)).Allowed {
		return
	}
	if a.seen != nil {
		a.judged[steers(rewritten)] = true
	}
	if dryRun {
		return
	}
	a.store(rewritten)
}

func (a *apiserver) store(object *unstructured.Unstructured) {
	require.True(a.t, a.judged[steers(object)], "no stored (spec, intent) was never judged: %v", object.Object)
	if object.GetDeletionTimestamp() != nil && len(object.GetFinalizers()) == 0 {
		delete(a.stored, object.GetName())
		a.hosts.DeleteEntry(egresstest.Namespace, object.GetName())
		return
	}
	a.stored[object.GetName()] = object
	kept := a.hosts.Read(object)
	a.hosts.PutEntry(kept)
	if a.seen != nil {
		a.holds(object, kept.Entry)
	}
}

// holds compares what the policy read with what Istio and the exit go by.
func (a *apiserver) holds(object *unstructured.Unstructured, entry *egress.Entry) {
	judged := &unstructured.Unstructured{Object: a.seen["object"].(map[string]any)}
	parsed, err := egress.ParseIntent(judged)
	require.NoError(a.t, err)
	require.True(a.t, parsed.Define().Equal(entry.Definition), "the exit is built from what was judged")
	named, led := map[string]bool{}, map[string]bool{}
	for _, item := range a.seen["egress"].(map[string]any)["hosts"].([]any) {
		host := item.(map[string]any)
		if host["endpoint"].(bool) {
			led[host["canonical"].(string)] = true
		} else {
			named[host["canonical"].(string)] = true
		}
	}
	for _, host := range entry.Hosts {
		require.True(a.t, named[host], "host %s was judged", host)
	}
	require.Len(a.t, named, len(entry.Hosts))
	for _, endpoint := range entry.Definition.Endpoints {
		canonical := egress.Canonical(endpoint.Address)
		require.True(a.t, !entry.External || led[canonical] || named[canonical], "endpoint %s was judged", endpoint.Address)
	}
	_, atGateway := hop.SealedTo(object, egresstest.Mesh())
	internal := a.seen["egress"].(map[string]any)["internal"].(bool)
	require.True(a.t, atGateway || internal, "it leads to the gateway, or was shown to be the mesh's own: %v", object.Object)
}

// forged are annotations that a tenant may write.
func forged(t *rapid.T) string {
	evil := `[{"address":"evil.test"}]`
	return rapid.SampledFrom([]string{
		"{", "[]", `[null]`, `[{"was":` + evil + `,"now":null,"paths":["spec.endpoints"]}]`,
		`[{"was":` + evil + `,"now":[{"address":"` + egresstest.GatewayService + `"}],"paths":["spec.endpoints","spec.hosts"]}]`,
		`[{"was":["evil.test"],"now":["h0.example.com"],"paths":["spec.hosts"]}]`,
		`{"gateway":"` + egresstest.GatewayService + `","resolution":"DNS","endpoints":` + evil + `}`,
	}).Draw(t, "forged")
}

// tampered changes an object as a tenant, or another webhook, might.
func tampered(t *rapid.T, object *unstructured.Unstructured) {
	spec, _ := object.Object["spec"].(map[string]any)
	switch rapid.IntRange(0, 6).Draw(t, "tampering") {
	case 0:
		object.SetAnnotations(map[string]string{hop.IntentAnnotation: forged(t)})
	case 1:
		spec["endpoints"] = []any{map[string]any{"address": egresstest.GatewayService}}
	case 2:
		spec["endpoints"] = []any{map[string]any{"address": "evil.test"}}
	case 3:
		spec["hosts"] = []any{"evil.test"}
	case 4:
		spec["location"] = "MESH_INTERNAL"
	case 5:
		delete(spec, "endpoints")
	case 6:
		object.SetAnnotations(nil)
	}
}

// TestNoStoredEntryWasNeverJudged, over sequences of writes: whatever property an object has, whoever changes it and in
// whichever order; and every fact that a policy read is true of what is stored.
func TestNoStoredEntryWasNeverJudged(t *testing.T) {
	t.Parallel()
	kept, finalized := 0, 0
	rapid.Check(t, noStoredEntryWasNeverJudged(&kept, &finalized))
	require.Positive(t, kept, "the generator must draw entries that are stored")
	require.Positive(t, finalized)
}

// noStoredEntryWasNeverJudged is the law; it counts the entries that were kept, and the writes that took finalizers away.
func noStoredEntryWasNeverJudged(kept, finalized *int) func(*rapid.T) {
	return func(t *rapid.T) {
		a := newAPIServer(t)
		for range rapid.IntRange(1, 30).Draw(t, "writes") {
			name := fmt.Sprintf("e%d", rapid.IntRange(0, 1).Draw(t, "name"))
			old := a.stored[name]
			next := draw.Entry(t)
			if old != nil {
				next = old.DeepCopy()
			} else if rapid.Bool().Draw(t, "held") {
				next.SetFinalizers([]string{"tenant.example/hold"})
			}
			next.SetName(name)
			switch rapid.IntRange(0, 6).Draw(t, "kind of write") {
			case 0, 1:
				tampered(t, next)
			case 2:
				next.Object["spec"] = draw.Entry(t).Object["spec"]
			case 3:
				next.SetFinalizers([]string{"tenant.example/hold"})
			case 4:
				if old != nil {
					next.SetDeletionTimestamp(&metav1.Time{Time: time.Unix(2000, 0)})
				}
			case 5:
				next.SetFinalizers(nil)
				*finalized++
			}
			// The API server takes a deletionTimestamp from a delete alone, which asks no webhook of ours.
			if next.GetDeletionTimestamp() != nil && old != nil && old.GetDeletionTimestamp() == nil {
				deleting := old.DeepCopy()
				deleting.SetDeletionTimestamp(next.GetDeletionTimestamp())
				a.seen = nil
				a.store(deleting)
				continue
			}
			var after func(*unstructured.Unstructured)
			if rapid.IntRange(0, 3).Draw(t, "another webhook") == 0 {
				after = func(object *unstructured.Unstructured) { tampered(t, object) }
			}
			a.write(next, rapid.IntRange(0, 4).Draw(t, "dry run") == 0, after)
		}
		*kept += len(a.stored)
	}
}

package integration

import (
	"context"
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/test/controlplane"
	"github.com/egress-governor/egress-governor/test/proof"
)

// TestTheCatalogue applies the manifests of every known way round an egress gateway, as a tenant with every right would, to a
// control plane with the chart as it comes; then to one whose gateway is called by mutual TLS.
func TestTheCatalogue(t *testing.T) {
	t.Parallel()
	tenant := &tenant{}
	for _, by := range []string{"Plain", "MutualTLS"} {
		tenant.configure(t, by)
		for _, row := range rows(t) {
			for _, trick := range row.Tricks {
				if object := row.manifest(t, trick.Name); object != nil {
					t.Run(row.Row+"/"+trick.Name+"/"+by, func(t *testing.T) { tenant.tries(t, trick, object, by) })
				}
			}
		}
		if by == "Plain" {
			t.Run("every other way to write", func(t *testing.T) { tenant.triesOtherwise(t, by) })
		}
	}
}

// tenant is who tries, on a control plane of his own.
type tenant struct {
	*controlplane.ControlPlane
	as    client.Client
	heard *warnings
}

func (p *tenant) configure(t *testing.T, by string) {
	t.Helper()
	if p.ControlPlane != nil {
		require.NoError(t, p.StopWebhook())
		p.Configure(oneGateway(by))
		require.NoError(t, p.StartWebhook(t.Context()))
		return
	}
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	// No values: what a default install holds is what is claimed.
	p.ControlPlane, err = controlplane.Start(context.WithoutCancel(t.Context()), controlplane.InTree(root, "catalogue"))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, p.Stop()) })
	comparing(t, p.ControlPlane)
	gatewayAPI(t, p.Config)
	var config *rest.Config
	config, p.heard = configAs(t, p.ControlPlane, "author")
	config.QPS = -1
	p.as, err = client.New(config, client.Options{Scheme: p.Client.Scheme()})
	require.NoError(t, err)
	for _, object := range append(manifests(t, "given"), manifests(t, "harmless")...) {
		require.Eventually(t, func() bool { return p.Client.Create(t.Context(), object.DeepCopy()) == nil }, within, 100*time.Millisecond, proof.NameOf(object))
	}
}

// tries requires the answer to a trick. What is given may be known a moment later, and so may a guard.
func (p *tenant) tries(t *testing.T, of trick, object *unstructured.Unstructured, by string) {
	t.Helper()
	refused := of.Refused != nil && proof.Concerns(of.By, by)
	var err error
	answered := func() bool {
		if err = p.as.Create(t.Context(), object.DeepCopy(), client.DryRunAll); refused {
			return err != nil && of.Refused.in(err.Error())
		}
		return err == nil
	}
	if assert.Eventually(t, answered, within, 50*time.Millisecond) {
		return
	}
	assert.Fail(t, "another answer", "%s: %v", proof.NameOf(object), err)
}

// harmless returns what the tenant has of the kind of an object, nil for none.
func (p *tenant) harmless(t *testing.T, like *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	for _, object := range manifests(t, "harmless") {
		if object.GroupVersionKind().GroupKind() == like.GroupVersionKind().GroupKind() {
			require.NoError(t, p.as.Get(t.Context(), client.ObjectKeyFromObject(object), object))
			return object
		}
	}
	return nil
}

// triesOtherwise has each manifest that is refused written in every other way that the API server knows.
func (p *tenant) triesOtherwise(t *testing.T, by string) {
	held := 0
	for _, row := range rows(t) {
		for _, trick := range row.Tricks {
			object := row.manifest(t, trick.Name)
			if object == nil || trick.Refused == nil || !proof.Concerns(trick.By, by) {
				continue
			}
			for name, err := range p.writes(t, object) {
				held++
				assert.True(t, err != nil && trick.Refused.in(err.Error()), "%s/%s by %s: %v", row.Row, trick.Name, name, err)
			}
		}
	}
	assert.Greater(t, held, 300)
}

// writes returns the answers to each way to write a manifest but the plain one.
func (p *tenant) writes(t *testing.T, object *unstructured.Unstructured) map[string]error {
	t.Helper()
	ctx, out := t.Context(), map[string]error{}
	generated := object.DeepCopy()
	generated.SetName("")
	generated.SetGenerateName(object.GetName() + "-")
	out["a generated name"] = p.as.Create(ctx, generated, client.DryRunAll)
	//nolint:staticcheck // the typed apply needs a generated configuration of each kind
	out["server-side apply"] = p.as.Patch(ctx, object.DeepCopy(), client.Apply, client.FieldOwner("tenant"), client.ForceOwnership, client.DryRunAll)
	if object.GroupVersionKind().Group == "networking.istio.io" && !slices.Contains([]string{"EnvoyFilter", "ProxyConfig"}, object.GetKind()) {
		for _, version := range []string{"v1beta1", "v1alpha3"} {
			older := object.DeepCopy()
			older.SetAPIVersion("networking.istio.io/" + version)
			out[version] = p.as.Create(ctx, older, client.DryRunAll)
		}
	}
	was := p.harmless(t, object)
	if was == nil {
		return out
	}
	as := func(of *unstructured.Unstructured) *unstructured.Unstructured {
		out := of.DeepCopy()
		out.Object["spec"] = object.Object["spec"]
		out.SetAnnotations(object.GetAnnotations())
		return out
	}
	out["replace"] = p.as.Update(ctx, as(was), client.DryRunAll)
	out["replace of what is being deleted"] = p.as.Update(ctx, as(p.terminating(t, was)), client.DryRunAll)
	patch, err := json.Marshal([]any{
		map[string]any{"op": "replace", "path": "/spec", "value": object.Object["spec"]},
		map[string]any{"op": "add", "path": "/metadata/annotations", "value": object.GetAnnotations()},
	})
	require.NoError(t, err)
	out["JSON patch"] = p.as.Patch(ctx, was.DeepCopy(), client.RawPatch(types.JSONPatchType, patch), client.DryRunAll)
	patch, err = json.Marshal(map[string]any{"spec": overwriting(was.Object["spec"].(map[string]any), object.Object["spec"].(map[string]any)), "metadata": map[string]any{"annotations": object.GetAnnotations()}})
	require.NoError(t, err)
	out["merge patch"] = p.as.Patch(ctx, was.DeepCopy(), client.RawPatch(types.MergePatchType, patch), client.DryRunAll)
	if by := as(was); was.GroupVersionKind().Group == "networking.istio.io" {
		require.NoError(t, p.as.SubResource("status").Update(ctx, by, client.DryRunAll), was.GetKind())
		assert.Equal(t, was.Object["spec"], by.Object["spec"], "/status stores nothing else")
	}
	return out
}

// overwriting is a merge patch that makes a map another, and leaves nothing of what was there.
func overwriting(was, by map[string]any) map[string]any {
	out := maps.Clone(by)
	for key, value := range was {
		before, _ := value.(map[string]any)
		after, is := by[key].(map[string]any)
		if _, stays := by[key]; !stays {
			out[key] = nil
		} else if is {
			out[key] = overwriting(before, after)
		}
	}
	return out
}

// terminating returns an object like another that is deleted and held by a finalizer.
func (p *tenant) terminating(t *testing.T, like *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	out := &unstructured.Unstructured{}
	out.SetGroupVersionKind(like.GroupVersionKind())
	err := p.as.Get(t.Context(), types.NamespacedName{Namespace: like.GetNamespace(), Name: "held"}, out)
	if err == nil {
		return out
	}
	require.True(t, apierrors.IsNotFound(err), err)
	for _, object := range manifests(t, "harmless") {
		if object.GetKind() == like.GetKind() {
			object.SetName("held")
			object.SetFinalizers([]string{"tenant.example/hold"})
			require.NoError(t, p.Client.Create(t.Context(), object))
			require.NoError(t, p.Client.Delete(t.Context(), object))
			return p.terminating(t, like)
		}
	}
	return nil
}

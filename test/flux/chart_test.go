package flux

import (
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/ssa"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/emergency"
	"github.com/egress-governor/egress-governor/test/controlplane"
)

// TestReconciling has an order: the release is there before what tenants write, and goes last.
func TestReconciling(t *testing.T) {
	t.Run("the release", func(t *testing.T) {
		t.Run("is left as it is", leftAsItIs)
		t.Run("is upgraded", upgraded)
	})
	t.Run("tenants", func(t *testing.T) {
		t.Run("what they write", whatTenantsWrite)
		t.Run("what Git changes", whatGitChanges)
		t.Run("what Git drops after it was unsealed", whatGitDropsAfterItWasUnsealed)
		t.Run("what a hand changes", whatAHandChanges)
		t.Run("what is refused", whatIsRefused)
		t.Run("what needs something else", whatNeedsSomethingElse)
		t.Run("health", health)
	})
	t.Run("the release goes", goes)
}

// reconcileChart returns what Flux does to the chart in another interval.
func reconcileChart(t *testing.T) map[string]ssa.Action {
	t.Helper()
	manager, err := managerOf(shared.Client)
	require.NoError(t, err)
	did, err := actions(manager.ApplyAllStaged(t.Context(), copies(chart), applyOptions()))
	require.NoError(t, err)
	return did
}

func unchanged(t *testing.T) {
	t.Helper()
	did := reconcileChart(t)
	all(t, ssa.UnchangedAction, did, nil, len(chart))
}

// of returns an object of the release as it is stored.
func of(t *testing.T, kind, name string) *unstructured.Unstructured {
	t.Helper()
	for _, object := range chart {
		if object.GetKind() == kind && object.GetName() == name {
			out := object.DeepCopy()
			require.NoError(t, shared.Client.Get(t.Context(), client.ObjectKeyFromObject(object), out))
			return out
		}
	}
	require.Fail(t, "no "+kind+" "+name)
	return nil
}

// webhooks are those of both configurations.
func webhooks(t *testing.T) (out []map[string]any) {
	t.Helper()
	for _, kind := range []string{"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"} {
		all, _, _ := unstructured.NestedSlice(of(t, kind, controlplane.Release).Object, "webhooks")
		for _, webhook := range all {
			out = append(out, webhook.(map[string]any))
		}
	}
	return out
}

// served asserts that each webhook has the authority, which the webhook itself has written there.
func served(t *testing.T) {
	t.Helper()
	for _, webhook := range webhooks(t) {
		authority, _, _ := unstructured.NestedString(webhook, "clientConfig", "caBundle")
		assert.NotEmpty(t, authority, webhook["name"])
	}
}

func asked(t *testing.T) bool {
	t.Helper()
	for _, webhook := range webhooks(t) {
		if webhook["name"] == "policies.egress-governor.io" && webhook["rules"] != nil {
			return true
		}
	}
	return false
}

// leftAsItIs: whatever the webhook, a policy or an operator in need writes into what the chart has made, Flux finds nothing to do and
// takes none of it away.
func leftAsItIs(t *testing.T) {
	unchanged(t)
	served(t)
	assert.NotEmpty(t, of(t, "Secret", controlplane.Release+"-webhook-cert").Object["data"])

	policies, err := controlplane.Decode(strings.NewReader(`
apiVersion: egress-governor.io/v1alpha1
kind: EgressPolicy
metadata: {name: asks}
spec: {match: {kinds: [EnvoyFilter], namespaces: [nobody]}, rego: "package asks\n\ndeny contains \"no\" if input.object.kind == \"None\"\n"}`))
	require.NoError(t, err)
	require.NoError(t, shared.Client.Create(t.Context(), policies[0]))
	require.Eventually(t, func() bool { return asked(t) }, within, 50*time.Millisecond, "the API server sends what the policy asks for")
	unchanged(t)
	assert.True(t, asked(t))
	require.NoError(t, shared.Client.Delete(t.Context(), policies[0]))

	switched := func(change func(*unstructured.Unstructured) bool) {
		for _, object := range chart {
			for _, kind := range emergency.Kinds() {
				if object.GetKind() == kind {
					live := of(t, kind, object.GetName())
					require.True(t, change(live), object.GetName())
					require.NoError(t, shared.Client.Update(t.Context(), live, client.FieldOwner("egressctl")))
				}
			}
		}
	}
	switched(func(of *unstructured.Unstructured) bool { return emergency.Stop(of, emergency.Note{Since: "a test"}) })
	unchanged(t)
	for _, kind := range emergency.Kinds()[:2] {
		stopped, all := emergency.State(of(t, kind, controlplane.Release))
		assert.Equal(t, all, stopped, "Flux ends an emergency stop")
	}
	switched(emergency.Start)
	unchanged(t)
	served(t)
}

// upgraded: other values are what is stored then, and the webhook's own parts stay; what is scaled by hand is scaled back.
func upgraded(t *testing.T) {
	scaled := of(t, "Deployment", controlplane.Release)
	require.NoError(t, shared.Client.Patch(t.Context(), scaled, client.RawPatch(types.MergePatchType, []byte(`{"spec": {"replicas": 0}}`)), client.FieldOwner("kubectl-scale")))
	did := reconcileChart(t)
	assert.Equal(t, ssa.ConfiguredAction, did["Deployment/"+controlplane.Namespace+"/"+controlplane.Release])
	replicas, _, _ := unstructured.NestedInt64(of(t, "Deployment", controlplane.Release).Object, "spec", "replicas")
	assert.EqualValues(t, 2, replicas)
	unchanged(t)

	other := values()
	other["webhook"] = map[string]any{"timeoutSeconds": 7}
	other["guards"] = map[string]any{"hostNetwork": map[string]any{"enforcement": "Warn"}}
	shared.Configure(other)
	require.NoError(t, shared.RollWebhook(t.Context()))
	for _, webhook := range webhooks(t) {
		assert.EqualValues(t, 7, webhook["timeoutSeconds"])
	}
	served(t)
	unchanged(t)
}

// goes: the release goes at once and asks for nothing that has gone before; policies stay, and so does what calls leave by.
func goes(t *testing.T) {
	k := tenant(t, nil)
	k.says(t, entry)
	_, err := k.reconcile(t)
	require.NoError(t, err)
	require.NoError(t, k.waits(within))
	manager, err := managerOf(shared.Client)
	require.NoError(t, err)
	began := time.Now()
	did, err := actions(manager.DeleteAll(t.Context(), copies(chart), ssa.DeleteOptions{
		PropagationPolicy: "Background", Inclusions: manager.GetOwnerLabels(controlplane.Release, "flux-system"),
		// As kustomize-controller has them.
		Exclusions: map[string]string{group + "/prune": "disabled", group + "/reconcile": "disabled"},
	}))
	require.NoError(t, err)
	crd := "CustomResourceDefinition/egresspolicies.egress-governor.io"
	for subject, action := range did {
		if subject == crd {
			assert.Equal(t, ssa.SkippedAction, action, "with it all policies would go")
			continue
		}
		assert.Equal(t, ssa.DeletedAction, action, subject)
	}
	t.Logf("%d objects were gone after %s", len(did), time.Since(began))
	for _, object := range chart {
		if object.GetKind() == "Secret" {
			continue // pods that have not ended yet may make it anew
		}
		err := shared.Client.Get(t.Context(), client.ObjectKeyFromObject(object), object.DeepCopy())
		assert.Equal(t, object.GetKind() != "CustomResourceDefinition", apierrors.IsNotFound(err), "%s %s: %v", object.GetKind(), object.GetName(), err)
	}
	assert.NotEmpty(t, k.exits(t))
	_, err = k.reconcile(t)
	require.NoError(t, err, "nothing is in the way of writes")
}

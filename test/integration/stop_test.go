package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/emergency"
)

// admission returns what an emergency stop is about, by kind and name: its rules and its annotations.
func admission(t *testing.T) map[string]any {
	t.Helper()
	out := map[string]any{}
	for _, kind := range emergency.Kinds() {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(schema.GroupVersionKind{Group: "admissionregistration.k8s.io", Version: "v1", Kind: kind + "List"})
		require.NoError(t, shared.Client.List(t.Context(), list))
		for _, object := range list.Items {
			out[kind+"/"+object.GetName()] = []any{object.GetAnnotations(), object.Object["webhooks"], object.Object["spec"]}
		}
	}
	return out
}

// TestTheEmergencyStop: whatever becomes of the webhook, one command has objects stored as they are written, an upgrade meanwhile leaves
// it so, exits go on, and another command puts everything back as it was. It is not parallel: no other test is judged meanwhile.
func TestTheEmergencyStop(t *testing.T) {
	_, err := built()
	require.NoError(t, err)
	guarded(t)
	restored(t)
	ns := namespace(t, injected)
	kept := entry(t, "v1", ns, "kept", strings.ReplaceAll(hostSpec, "HOST", "kept.stop.test"))
	require.NoError(t, shared.Client.Create(t.Context(), kept))
	eventually(t, func() bool { return ready(get(t, kept), "True") }, "ExitReady")
	before := admission(t)
	c, _ := author(t)
	outside := object(t, ns, "apiVersion: v1\nkind: Service\nmetadata: {name: outside}\nspec: {type: ExternalName, externalName: example.com}")

	hangs := func(t *testing.T) func() {
		resume, err := shared.Hang()
		require.NoError(t, err)
		return func() { require.NoError(t, resume()) }
	}
	for _, tc := range []struct {
		name     string
		breaks   func(t *testing.T) (mend func())
		answers  bool
		upgraded bool
	}{
		{name: "healthy", answers: true, upgraded: true},
		{name: "hung", breaks: hangs},
		{name: "dead", breaks: func(t *testing.T) func() {
			require.NoError(t, shared.StopWebhook())
			return func() {}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			mend := func() {}
			if tc.breaks != nil {
				mend = tc.breaks(t)
			}
			straight := entry(t, "v1", ns, "straight-"+tc.name, strings.ReplaceAll(ungoverned["no endpoints"], "HOST", tc.name+".stop.test"))
			code, out := egressctl(t, "stop", "--reason", "a test")
			require.Zero(t, code, "a webhook that it waited for would not have answered: %s", out)
			eventually(t, func() bool { return c.Create(t.Context(), outside.DeepCopy(), client.DryRunAll) == nil }, "the guards are out of the way")
			eventually(t, func() bool {
				dry := straight.DeepCopy()
				return c.Create(t.Context(), dry, client.DryRunAll) == nil && len(dry.GetAnnotations()) == 0
			}, "so is the webhook")
			if tc.upgraded {
				require.NoError(t, shared.RollWebhook(t.Context()))
				eventually(t, func() bool {
					return strings.Contains(metrics(t), `egress_governor_problem{code="admission-stopped",gateway=""} 1`)
				}, "it is told")
			}
			require.NoError(t, c.Create(t.Context(), straight))
			assert.NotContains(t, get(t, straight).Object["spec"], "endpoints", "as it was written")
			found, _ := exits(t, "kept.stop.test")
			assert.Equal(t, 2, found, "exits stay")
			code, out = egressctl(t, "stop")
			assert.Zero(t, code, out)
			assert.NotContains(t, out, "Stopped:", "nothing is left to stop")
			assert.Contains(t, admission(t)["ValidatingAdmissionPolicy/egress-governor-entries"].([]any)[0].(map[string]string)[emergency.Annotation], ": a test")

			code, out = egressctl(t, "start")
			require.Zero(t, code, out)
			if tc.upgraded { // another replica has another address
				for name, was := range before {
					if strings.HasPrefix(name, "ValidatingAdmissionPolicy/") {
						assert.Equal(t, was, admission(t)[name], name)
					}
				}
				before = admission(t)
				assert.NotContains(t, fmt.Sprint(before), emergency.Condition)
			}
			assert.Equal(t, before, admission(t))
			eventually(t, func() bool { return c.Create(t.Context(), outside.DeepCopy(), client.DryRunAll) != nil }, "the guards answer")
			if !tc.answers {
				eventually(t, func() bool {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					return c.Create(ctx, straight.DeepCopy(), client.DryRunAll) != nil
				}, "it fails closed again")
			}
			mend()
			require.NoError(t, c.Delete(t.Context(), straight))
		})
	}
	require.NoError(t, shared.StartWebhook(t.Context()))
	assert.True(t, ready(get(t, kept), "True"))
	require.NoError(t, shared.Client.Delete(t.Context(), kept))
}

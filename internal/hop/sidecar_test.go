package hop_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/hop"
)

func sidecar(t *testing.T, spec string) *unstructured.Unstructured {
	t.Helper()
	return object(t, "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: s, namespace: payments}\nspec: "+spec)
}

// closedForm is how a Sidecar is stored.
func closedForm(t *testing.T, in *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	out, err := hop.SidecarIntent(in)
	require.NoError(t, err)
	require.NoError(t, hop.CloseSidecar(out))
	return out
}

// TestASidecarIsCompleted where it leaves to the mesh what no entry names; its author's word stays, and comes back.
func TestASidecarIsCompleted(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{
		`{egress: [{hosts: ["./*"]}]}`:           `{egress: [{hosts: ["./*"]}], outboundTrafficPolicy: {mode: REGISTRY_ONLY}}`,
		`{workloadSelector: {labels: {app: a}}}`: `{workloadSelector: {labels: {app: a}}, outboundTrafficPolicy: {mode: REGISTRY_ONLY}}`,
		`{}`:                                     `{outboundTrafficPolicy: {mode: REGISTRY_ONLY}}`,
		`null`:                                   `{outboundTrafficPolicy: {mode: REGISTRY_ONLY}}`,
		`{outboundTrafficPolicy: {mode: REGISTRY_ONLY}}`:                    `{outboundTrafficPolicy: {mode: REGISTRY_ONLY}}`,
		`{outboundTrafficPolicy: {}}`:                                       `{outboundTrafficPolicy: {}}`,
		`{outboundTrafficPolicy: {mode: ALLOW_ANY}}`:                        `{outboundTrafficPolicy: {mode: ALLOW_ANY}}`,
		`{outboundTrafficPolicy: {mode: REGISTRY_ONLY, egressProxy: null}}`: `{outboundTrafficPolicy: {mode: REGISTRY_ONLY, egressProxy: null}}`,
	} {
		in := sidecar(t, spec)
		out := closedForm(t, in)
		assert.Equal(t, sidecar(t, want).Object["spec"], out.Object["spec"], spec)
		assert.Equal(t, out, closedForm(t, out), "a second time changes nothing: %s", spec)
		intent, err := hop.SidecarIntent(out)
		require.NoError(t, err)
		if spec == "null" {
			spec = "{}"
		}
		assert.Equal(t, sidecar(t, spec), intent, spec)
	}
}

// TestACorrectionOfACompletedSidecarIsItsAuthorsWord.
func TestACorrectionOfACompletedSidecarIsItsAuthorsWord(t *testing.T) {
	t.Parallel()
	stored := closedForm(t, sidecar(t, `{egress: [{hosts: ["./*"]}]}`))
	require.NoError(t, unstructured.SetNestedField(stored.Object, "ALLOW_ANY", "spec", "outboundTrafficPolicy", "mode"))
	intent, err := hop.SidecarIntent(stored)
	require.NoError(t, err)
	assert.Equal(t, "ALLOW_ANY", hop.SidecarMode(intent))
	forged := sidecar(t, `{}`)
	forged.SetAnnotations(map[string]string{hop.IntentAnnotation: `[{"now": {"mode": "REGISTRY_ONLY"}, "was": {"mode": "ALLOW_ANY"}, "paths": ["spec.outboundTrafficPolicy"]}]`})
	assert.Equal(t, "REGISTRY_ONLY", hop.SidecarMode(closedForm(t, forged)))
	forged.SetAnnotations(map[string]string{hop.IntentAnnotation: `{`})
	_, err = hop.SidecarIntent(forged)
	require.Error(t, err)
}

func TestWhatOpensANamespaceIsRefused(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{
		`{outboundTrafficPolicy: {mode: ALLOW_ANY}}`:                                                   "sidecar-allow-any",
		`{outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}, workloadSelector: {labels: {app: a}}}`: "sidecar-allow-any",
		`{}`: "not-closed",
		`{outboundTrafficPolicy: {mode: REGISTRY_ONLY}}`: "",
		`{outboundTrafficPolicy: {}}`:                    "",
	} {
		found := ""
		for _, refusal := range hop.CheckSidecar(sidecar(t, spec)) {
			found += refusal.Code
		}
		assert.Equal(t, want, found, spec)
	}
}

func TestOurSidecarIsClosedAndWide(t *testing.T) {
	t.Parallel()
	ours := hop.Sidecar("payments", nil)
	assert.Empty(t, hop.CheckSidecar(ours))
	assert.True(t, hop.SidecarIsWide(ours))
	assert.True(t, hop.IsClosing(ours))
	assert.Equal(t, sidecar(t, `{egress: [{hosts: ["*/*"]}], outboundTrafficPolicy: {mode: REGISTRY_ONLY}}`).Object["spec"], ours.Object["spec"])
	assert.False(t, hop.IsClosing(sidecar(t, `{}`)))
	assert.False(t, hop.SidecarIsWide(sidecar(t, `{workloadSelector: {}}`)), "Istio takes it for one with a selector")
	assert.True(t, hop.SidecarIsWide(sidecar(t, `{workloadSelector: null}`)))
}

package controller

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/emergency"
)

// TestAStopIsToldForAsLongAsItLasts, with since when, by whom and why.
func TestAStopIsToldForAsLongAsItLasts(t *testing.T) {
	t.Parallel()
	stored := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
		"metadata": map[string]any{"name": "egress-governor"}, "webhooks": []any{map[string]any{"name": "a"}},
	}}
	look := func() []Problem {
		p := &Preflight{Mesh: &egress.Mesh{}, Live: clusterOf(t, stored), Configuration: "egress-governor"}
		found, err := p.Look(t.Context())
		require.NoError(t, err)
		return found
	}
	assert.Empty(t, look())
	emergency.Stop(stored, emergency.Note{Since: "since today by jane", Reason: "deployments hang"})
	found := look()
	require.Equal(t, []string{"admission-stopped"}, codes(found))
	assert.Contains(t, found[0].sentence(), "since today by jane: deployments hang")
	assert.Contains(t, found[0].sentence(), "egressctl start")
	emergency.Start(stored)
	assert.Empty(t, look())
}

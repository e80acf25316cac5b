package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"

	"github.com/egress-governor/egress-governor/internal/adopt"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/manifest"
)

// TestClientRulesGoWithTheirEntry where nobody keeps them any more: ours, and nobody else's of the name; and one that does not go is named.
func TestClientRulesGoWithTheirEntry(t *testing.T) {
	t.Parallel()
	rule := func(host string, labels map[string]string) *unstructured.Unstructured {
		out := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule"}}
		out.SetNamespace("payments")
		out.SetName(hop.ClientRuleName(host))
		out.SetLabels(labels)
		out.SetAnnotations(map[string]string{hop.HostAnnotation: host})
		return out
	}
	ours, theirs := rule("api.example.com", map[string]string{hop.ManagedByLabel: hop.Manager}), rule("two.example.com", nil)
	lists := map[schema.GroupVersionResource]string{resources["DestinationRule"]: "DestinationRuleList"}
	h := &hand{client: fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), lists, ours, theirs), pace: pace{timeout: time.Nanosecond}}
	entry := &unstructured.Unstructured{Object: map[string]any{"kind": "ServiceEntry"}}
	entry.SetNamespace("payments")
	of := adopt.Return{
		Object: manifest.Object{Unstructured: entry}, Rules: []string{ours.GetName()},
		Beside: []string{ours.GetName(), theirs.GetName(), hop.ClientRuleName("gone.example.com")},
	}
	left, err := h.rulesLeft(t.Context(), []adopt.Return{of})
	require.NoError(t, err)
	assert.Contains(t, left, ours.GetName())
	require.NoError(t, h.dropRules(t.Context(), of))
	list, err := h.client.Resource(resources["DestinationRule"]).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, list.Items, 1)
	assert.Equal(t, theirs.GetName(), list.Items[0].GetName())
	left, err = h.rulesLeft(t.Context(), []adopt.Return{of})
	require.NoError(t, err)
	assert.Empty(t, left)
}

package audit

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// TestWhatAPolicyAsksForIsJudged in the version that the cluster has, and read by nobody while none does.
func TestWhatAPolicyAsksForIsJudged(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	asked := map[string]schema.GroupVersion{
		"EnvoyFilter": {Group: "networking.istio.io", Version: "v1alpha3"}, "Sidecar": {Group: "networking.istio.io", Version: "v1"}, "WasmPlugin": {Group: "extensions.istio.io", Version: "v1alpha1"},
	}
	mapper := meta.NewDefaultRESTMapper(slices.Collect(maps.Values(asked)))
	for kind, group := range asked {
		of := group.WithKind(kind)
		mapper.Add(of, meta.RESTScopeNamespace)
		if !s.cluster.Scheme().Recognizes(of) {
			s.cluster.Scheme().AddKnownTypeWithName(of, &unstructured.Unstructured{})
			s.cluster.Scheme().AddKnownTypeWithName(group.WithKind(kind+"List"), &unstructured.UnstructuredList{})
		}
		object := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte("metadata: {name: before, namespace: app, uid: "+kind+"}\nspec: {outboundTrafficPolicy: {mode: ALLOW_ANY}}"), &object.Object))
		object.SetGroupVersionKind(of)
		require.NoError(t, s.cluster.Create(t.Context(), object))
	}
	s.Kinds = mapper
	s.audited()
	assert.Empty(t, s.found, "nobody asks")
	for _, name := range []string{"sidecar-outbound", "envoy-extensions"} {
		policy := &v1alpha1.EgressPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.EgressPolicySpec{Policy: name}}
		require.NoError(t, s.engine.Set(policy))
		require.NoError(t, s.cluster.Create(t.Context(), policy))
	}
	s.audited()
	for kind, group := range asked {
		found := s.found[objectKey{kind, "app", "before"}]
		require.NotEmpty(t, found.findings, kind)
		assert.Equal(t, group.String(), found.apiVersion)
	}
	assert.EqualValues(t, 1, *s.policy("sidecar-outbound").Status.Violations)
	assert.EqualValues(t, 2, *s.policy("envoy-extensions").Status.Violations)
	s.engine.Remove("envoy-extensions")
	s.audited()
	assert.NotContains(t, s.found, objectKey{"EnvoyFilter", "app", "before"})
	assert.Contains(t, s.found, objectKey{"Sidecar", "app", "before"})
}

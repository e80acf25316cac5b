package audit

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// TestRoutesOfTheGatewayAPIAreJudged where the cluster has them, in the version that it has: an entry changed after they
// were stored.
func TestRoutesOfTheGatewayAPIAreJudged(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const apiGroup = "gateway.networking.k8s.io"
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{{Group: apiGroup, Version: "v1"}, {Group: apiGroup, Version: "v1alpha2"}, {Group: apiGroup, Version: "v9"}})
	for kind, version := range map[string]string{"HTTPRoute": "v1", "TLSRoute": "v1alpha2", "TCPRoute": "v9"} {
		of := schema.GroupVersionKind{Group: apiGroup, Version: version, Kind: kind}
		mapper.Add(of, meta.RESTScopeNamespace)
		s.cluster.Scheme().AddKnownTypeWithName(of, &unstructured.Unstructured{})
		s.cluster.Scheme().AddKnownTypeWithName(of.GroupVersion().WithKind(kind+"List"), &unstructured.UnstructuredList{})
		route := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte(`
metadata: {name: r, namespace: app, uid: `+kind+`}
spec:
  parentRefs: [{group: networking.istio.io, kind: ServiceEntry, name: e}]
  rules: [{backendRefs: [{group: networking.istio.io, kind: Hostname, name: a.test, port: 443}]}]`), &route.Object))
		route.SetGroupVersionKind(of)
		require.NoError(t, s.cluster.Create(t.Context(), route))
	}
	s.store("app", "a", "a.test")
	s.store("app", "e", "b.test")
	s.audited()
	assert.Empty(t, s.found, "the cluster does not say that it has them")
	s.Kinds = mapper
	s.audited()
	for kind, of := range map[string]struct{ version, code string }{"HTTPRoute": {"v1", "port-mapping"}, "TLSRoute": {"v1alpha2", "exported-route"}} {
		found := s.found[objectKey{kind, "app", "r"}]
		require.NotEmpty(t, found.findings, kind)
		assert.Equal(t, of.code, found.findings[0].Code)
		assert.Equal(t, apiGroup+"/"+of.version, found.apiVersion)
	}
	assert.Empty(t, s.found[objectKey{"TCPRoute", "app", "r"}], "a version that nobody here reads")
	for _, err := range []error{apierrors.NewNotFound(schema.GroupResource{}, ""), &meta.NoKindMatchError{}} {
		s.live.broken = err
		for _, kind := range []string{"HTTPRoute", "TLSRoute"} {
			at := newPlace()
			require.NoError(t, s.judgeAll(t.Context(), kind, at, nil), "the cluster has them no longer")
			assert.Empty(t, at.found)
			assert.Zero(t, at.governed)
		}
		require.Error(t, s.judgeAll(t.Context(), serviceEntry, newPlace(), nil))
	}
}

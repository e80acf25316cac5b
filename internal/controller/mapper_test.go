package controller

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// TestAKindIsAskedForOnce, and one that is not known each time, in each version.
func TestAKindIsAskedForOnce(t *testing.T) {
	t.Parallel()
	all := meta.NewDefaultRESTMapper(nil)
	counting := &countingMapper{RESTMapper: all}
	m := &mapper{RESTMapper: counting}
	route, entry := istio("VirtualService"), istio("ServiceEntry")
	all.Add(route, meta.RESTScopeNamespace)
	for range 3 {
		mapping, err := m.RESTMapping(route.GroupKind(), route.Version)
		require.NoError(t, err)
		assert.Equal(t, route, mapping.GroupVersionKind)
	}
	assert.Equal(t, 1, counting.asked)
	_, err := m.RESTMapping(route.GroupKind(), "v0")
	require.Error(t, err, "another version is another question")
	_, err = m.RESTMapping(entry.GroupKind(), entry.Version)
	require.Error(t, err)
	all.Add(entry, meta.RESTScopeNamespace)
	mapping, err := m.RESTMapping(entry.GroupKind(), entry.Version)
	require.NoError(t, err)
	assert.Equal(t, entry, mapping.GroupVersionKind)
}

type countingMapper struct {
	meta.RESTMapper
	asked int
}

func (c *countingMapper) RESTMapping(kind schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	c.asked++
	return c.RESTMapper.RESTMapping(kind, versions...)
}

package egress_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/egress"
)

func TestNamespacesAreFoundByName(t *testing.T) {
	t.Parallel()
	known := egress.NewNamespaces(map[string]map[string]string{"b": {"team": "b"}, "a": nil, "c": nil})
	require.Equal(t, 3, known.Len())
	at, found := known.Index("b")
	require.True(t, found)
	name, labels := known.At(at)
	assert.Equal(t, "b", name)
	assert.Equal(t, map[string]string{"team": "b"}, labels)
	first, _ := known.At(0)
	assert.Equal(t, "a", first, "sorted")
	_, found = known.Index("bb")
	assert.False(t, found)
	_, found = (&egress.Namespaces{}).Index("a")
	assert.False(t, found)
}

package reference

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const root = "../.."

// TestPagesAreCurrent: what stands in docs is what make generate would write, and no page is left over.
func TestPagesAreCurrent(t *testing.T) {
	t.Parallel()
	pages, err := Pages(t.Context(), filepath.Join(root, "policies"), filepath.Join("..", "codes", "examples"))
	require.NoError(t, err)
	for name, page := range pages {
		raw, err := os.ReadFile(filepath.Join(root, "docs", name))
		require.NoError(t, err, "make generate writes it")
		assert.Equal(t, page, string(raw), name)
	}
	left, err := filepath.Glob(filepath.Join(root, "docs", "codes", "*"))
	require.NoError(t, err)
	for _, file := range left {
		assert.Contains(t, pages, "codes/"+filepath.Base(file))
	}
}

// TestWhatIsNotDescribedIsAnError, so that no field of a reference is without words.
func TestWhatIsNotDescribedIsAnError(t *testing.T) {
	t.Parallel()
	_, err := Input([]byte(`{"properties": {"egress": {"description": "x", "properties": {"hosts": {"type": "array"}}}}}`))
	require.ErrorIs(t, err, errUndescribed)
	assert.ErrorContains(t, err, "input.egress.hosts")
}

package reference

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/test/codes"
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

// TestAnswersLeadToPagesThatAreThere, as the chart comes.
func TestAnswersLeadToPagesThatAreThere(t *testing.T) {
	t.Parallel()
	installed, err := config.Installed()
	require.NoError(t, err)
	place, is := strings.CutPrefix(installed.DocsURL, "https://github.com/egress-governor/egress-governor/blob/main/")
	require.True(t, is, installed.DocsURL)
	examples, err := codes.Load(filepath.Join("..", "codes", "examples"))
	require.NoError(t, err)
	for _, example := range examples {
		assert.FileExists(t, filepath.Join(root, strings.ReplaceAll(place, "{code}", example.Code)))
	}
}

// TestWhatIsNotDescribedIsAnError, so that no field of a reference is without words.
func TestWhatIsNotDescribedIsAnError(t *testing.T) {
	t.Parallel()
	_, err := Input([]byte(`{"properties": {"egress": {"description": "x", "properties": {"hosts": {"type": "array"}}}}}`))
	require.ErrorIs(t, err, errUndescribed)
	assert.ErrorContains(t, err, "input.egress.hosts")
}

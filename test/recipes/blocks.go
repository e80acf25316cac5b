// Package recipes holds what docs/recipes.md and docs/moving.md have other tools say, by those tools.
package recipes

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// Shown returns the block of a document below the line that names its file, to the tests of a folder beside this one.
func Shown(t *testing.T, document, file string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "docs", document))
	require.NoError(t, err)
	_, after, found := strings.Cut(string(raw), "\n`"+file+"`:\n\n")
	require.True(t, found, "%s has no %s", document, file)
	block := regexp.MustCompile(`\A(?:    .*\n|\n)+`).FindString(after)
	require.NotEmpty(t, block)
	return strings.ReplaceAll("\n"+block, "\n    ", "\n")
}

// Read reads the block into a value.
func Read(t *testing.T, document, file string, into any) {
	t.Helper()
	require.NoError(t, yaml.Unmarshal([]byte(Shown(t, document, file)), into))
}

package house

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Links of documents, and how GitHub names headings.
var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	dropped = regexp.MustCompile("[^a-z0-9 _-]")
)

// TestLinksOfTheDocumentsLeadSomewhere, to a file and to a heading of it.
func TestLinksOfTheDocumentsLeadSomewhere(t *testing.T) {
	t.Parallel()
	seen := 0
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (strings.HasPrefix(entry.Name(), ".") && entry.Name() != ".." && path != root || entry.Name() == "test"):
			return filepath.SkipDir
		case filepath.Ext(path) != ".md":
			return nil
		}
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, match := range link.FindAllStringSubmatch(string(raw), -1) {
			file, anchor, _ := strings.Cut(match[1], "#")
			if strings.Contains(file, "://") {
				continue
			}
			seen++
			to := path
			if file != "" {
				to = filepath.Join(filepath.Dir(path), file)
			}
			if _, err := os.Stat(to); !assert.NoError(t, err, path) || anchor == "" {
				continue
			}
			assert.Contains(t, anchors(t, to), anchor, "%s: %s", path, match[1])
		}
		return nil
	}))
	require.Greater(t, seen, 300)
}

// TestTheReadmeLeadsToEveryDocument, so that none is found by its folder alone.
func TestTheReadmeLeadsToEveryDocument(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	documents, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	require.NoError(t, err)
	require.NotEmpty(t, documents)
	for _, document := range append(documents, "SECURITY.md", "CONTRIBUTING.md") {
		name := filepath.Base(document)
		if filepath.Dir(document) != "." {
			name = "docs/" + name
		}
		assert.Contains(t, string(raw), "]("+name)
	}
}

// anchors are those that GitHub gives to the headings of a document.
func anchors(t *testing.T, file string) (out []string) {
	t.Helper()
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	for _, match := range heading.FindAllStringSubmatch(string(raw), -1) {
		out = append(out, strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(match[1]), ""), " ", "-"))
	}
	return out
}

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

// TestEveryValueOfTheChartIsDescribed: helm-docs takes a comment with two dashes in it for one about something else.
func TestEveryValueOfTheChartIsDescribed(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join(root, "charts", "egress-governor", "README.md"))
	require.NoError(t, err)
	rows := 0
	for _, row := range strings.Split(string(raw), "\n") {
		if strings.HasPrefix(row, "| ") {
			rows++
			assert.NotRegexp(t, `\|\s*\|$`, row)
		}
	}
	require.Greater(t, rows, 100)
}

// TestTheTestsThatDocumentsNameExist: a claim with a test that is not there is no better than one without.
func TestTheTestsThatDocumentsNameExist(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() && strings.HasPrefix(entry.Name(), ".run") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, "_test.go") {
			raw, err := os.ReadFile(path)
			require.NoError(t, err)
			for _, name := range regexp.MustCompile(`(?m)^func ((?:Test|Benchmark)\w+)\(`).FindAllStringSubmatch(string(raw), -1) {
				known[name[1]] = true
			}
		}
		return nil
	}))
	documents, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	require.NoError(t, err)
	named := 0
	for _, document := range append(documents, filepath.Join(root, "README.md"), filepath.Join(root, "SECURITY.md"), filepath.Join(root, "CONTRIBUTING.md")) {
		raw, err := os.ReadFile(document)
		require.NoError(t, err)
		for _, name := range regexp.MustCompile("`((?:Test|Benchmark)\\w+)").FindAllStringSubmatch(string(raw), -1) {
			named++
			assert.True(t, known[name[1]], "%s names %s", document, name[1])
		}
		for _, path := range regexp.MustCompile("`TestCases/([a-z-]+/[a-z-]+)`").FindAllStringSubmatch(string(raw), -1) {
			assert.FileExists(t, filepath.Join(root, "test", "routing", "cases", path[1], "case.yaml"), document)
		}
	}
	require.Greater(t, named, 40)
}

// Package house holds what the documents say of the tree to the tree.
package house

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

const (
	root   = "../.."
	module = "github.com/egress-governor/egress-governor/"
)

// arrows returns what each package may import of ours, by the rules of depguard.
func arrows(t *testing.T) map[string][]string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, ".golangci.yml"))
	require.NoError(t, err)
	var configuration struct {
		Linters struct {
			Settings struct {
				Depguard struct {
					Rules map[string]struct {
						Files, Allow []string
					}
				}
			}
		}
	}
	require.NoError(t, yaml.Unmarshal(raw, &configuration))
	out := map[string][]string{}
	for name, rule := range configuration.Linters.Settings.Depguard.Rules {
		require.NotEmpty(t, rule.Files, name)
		folder := strings.TrimSuffix(strings.TrimPrefix(rule.Files[0], "**/"), "/*.go")
		out[folder] = []string{}
		for _, allowed := range rule.Allow {
			if ours, is := strings.CutPrefix(allowed, module); is {
				out[folder] = append(out[folder], ours)
			}
		}
	}
	return out
}

// TestEveryPackageHasItsArrows: a package without a rule could import anything.
func TestEveryPackageHasItsArrows(t *testing.T) {
	t.Parallel()
	rules := arrows(t)
	for _, pattern := range []string{"internal/*/*.go", "internal/*/*/*.go", "certs/*.go", "charts/*.go", "policies/*.go"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		require.NoError(t, err)
		require.NotEmpty(t, files, pattern)
		for _, file := range files {
			folder, err := filepath.Rel(root, filepath.Dir(file))
			require.NoError(t, err)
			assert.Contains(t, rules, filepath.ToSlash(folder))
		}
	}
	for folder := range rules {
		assert.DirExists(t, filepath.Join(root, folder))
	}
}

// TestContributingHasTheArrows: its table says of each package what the rules allow, and nothing else.
func TestContributingHasTheArrows(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join(root, "CONTRIBUTING.md"))
	require.NoError(t, err)
	said := map[string][]string{}
	row := regexp.MustCompile("(?m)^\\| `([a-z/]+)` \\|[^|]*\\| ([^|]*) \\|$")
	quoted := regexp.MustCompile("`([a-z0-9/]+)`")
	for _, match := range row.FindAllStringSubmatch(string(raw), -1) {
		said[match[1]] = []string{}
		for _, name := range quoted.FindAllStringSubmatch(match[2], -1) {
			said[match[1]] = append(said[match[1]], name[1])
		}
	}
	rules := arrows(t)
	for folder, allowed := range rules {
		slices.Sort(said[folder])
		slices.Sort(allowed)
		assert.Equal(t, allowed, said[folder], "the row of %s in CONTRIBUTING.md", folder)
	}
	for folder := range said {
		assert.Contains(t, rules, folder, "CONTRIBUTING.md has a row of it")
	}
}

// TestDocumentsNameWhatExists: every target of make and every linked file that a document names is there.
func TestDocumentsNameWhatExists(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	require.NoError(t, err)
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		require.NoError(t, err)
		for _, file := range files {
			raw, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, target := range regexp.MustCompile("(?m)(?:`|^    |=1 )make ([a-z0-9-]+)").FindAllStringSubmatch(string(raw), -1) {
				assert.Regexp(t, "(?m)^"+target[1]+":", string(makefile), "%s: make %s", file, target[1])
			}
			for _, link := range regexp.MustCompile(`\]\(([^)#]+)\)`).FindAllStringSubmatch(string(raw), -1) {
				if strings.Contains(link[1], "://") {
					continue
				}
				_, err := os.Stat(filepath.Join(filepath.Dir(file), link[1]))
				assert.NoError(t, err, "%s: %s", file, link[1])
			}
		}
	}
}

// TestHelpListsEveryTarget that has a sentence.
func TestHelpListsEveryTarget(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	require.NoError(t, err)
	pattern := regexp.MustCompile(`grep -hE '([^']+)'`).FindSubmatch(makefile)
	require.NotNil(t, pattern)
	listed := regexp.MustCompile("(?m)" + string(pattern[1]))
	for _, line := range strings.Split(string(makefile), "\n") {
		if strings.Contains(line, ": ") && strings.Contains(line, " ## ") && !strings.HasPrefix(line, "\t") && !strings.HasPrefix(line, "#") {
			assert.Regexp(t, listed, line)
		}
	}
}

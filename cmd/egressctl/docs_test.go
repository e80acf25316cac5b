package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// shown is a command of a document, and what it shows of its output.
type shown struct{ command, output string }

// blocks returns the commands of a document: indented, after a $, and up to the next.
func blocks(text string) (out []shown) {
	open := false
	for _, line := range strings.Split(text, "\n") {
		content, indented := strings.CutPrefix(line, "    ")
		command, is := strings.CutPrefix(content, "$ ")
		switch {
		case indented && is:
			out, open = append(out, shown{command: command}), true
		case open && (indented || line == ""):
			out[len(out)-1].output += content + "\n"
		default:
			open = false
		}
	}
	return out
}

// TestDocumentsShowWhatIsPrinted, by the files of testdata.
func TestDocumentsShowWhatIsPrinted(t *testing.T) {
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	folder := t.TempDir()
	require.NoError(t, os.CopyFS(folder, os.DirFS("testdata")))
	t.Chdir(folder)
	ran := 0
	for _, document := range []string{"README.md", "docs/egressctl.md"} {
		for _, block := range blocks(content(t, filepath.Join(root, document))) {
			args, _ := commands(block.command)
			if args == nil {
				continue
			}
			code, out, errs := run(t, "", args...)
			assert.NotEqual(t, failed, code, "%s: %s\n%s", document, block.command, errs)
			if !strings.Contains(block.command, " | ") {
				assert.Equal(t, strings.TrimSpace(block.output), strings.TrimSpace(out), "%s: %s", document, block.command)
			}
			ran++
		}
	}
	assert.Equal(t, 23, ran)
	for _, file := range []string{"policies/tests/payments-hosts_test.yaml", "wrong.yaml"} {
		shown := strings.ReplaceAll("    "+strings.TrimSpace(strings.ReplaceAll(content(t, file), "\n", "\n    ")), "\n    \n", "\n\n")
		assert.Contains(t, content(t, filepath.Join(root, "docs/egressctl.md")), shown, file)
	}
	_, diff, _ := run(t, "", "render", "-f", "entry.yaml", "--diff")
	_, hunk, _ := strings.Cut(diff, " @@\n")
	hunk, _, _ = strings.Cut(hunk, "--- /dev/null\n")
	assert.Contains(t, content(t, filepath.Join(root, "README.md")), "```diff\n"+hunk+"```\n")
	_, rendered, _ := run(t, "", "render", "-f", "entry.yaml")
	assert.Equal(t, content(t, "stored.yaml"), rendered)
	_, again, _ := run(t, "", "render", "-f", "stored.yaml")
	assert.Equal(t, rendered, again)
}

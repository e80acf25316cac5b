package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// named is a line of a document that names the file which the block below it is.
var named = regexp.MustCompile("^`([a-z0-9_./-]+\\.ya?ml)`:$")

// step is a block of the tutorial: a file that is written, or a command and what it prints.
type step struct{ file, command, text string }

// steps returns those of a document, in their order.
func steps(text string) (out []step) {
	file, open := "", false
	for _, line := range strings.Split(text, "\n") {
		content, indented := strings.CutPrefix(line, "    ")
		command, is := strings.CutPrefix(content, "$ ")
		switch {
		case indented && is:
			out, file, open = append(out, step{command: command}), "", true
		case indented && !open:
			out, file, open = append(out, step{file: file, text: content + "\n"}), "", true
		case open && (indented || line == ""):
			out[len(out)-1].text += content + "\n"
		default:
			open = false
			if match := named.FindStringSubmatch(line); match != nil {
				file = match[1]
			}
		}
	}
	return out
}

// TestTheTutorialHolds: every block, one after another, in a folder that is empty before.
func TestTheTutorialHolds(t *testing.T) {
	tutorial, err := filepath.Abs("../../docs/tutorial.md")
	require.NoError(t, err)
	t.Chdir(t.TempDir())
	files, commands := 0, 0
	for _, step := range steps(content(t, tutorial)) {
		words := word.FindAllString(step.command, -1)
		switch {
		case step.command == "":
			require.NotEmpty(t, step.file, step.text)
			require.NoError(t, os.MkdirAll(filepath.Dir(step.file), 0o755))
			require.NoError(t, os.WriteFile(step.file, []byte(step.text), 0o600))
			files++
		case words[0] == "egressctl":
			code, out, errs := run(t, "", words[1:]...)
			assert.NotEqual(t, failed, code, "%s\n%s", step.command, errs)
			assert.Equal(t, strings.TrimSpace(step.text), strings.TrimSpace(out), step.command)
			commands++
		default:
			require.Equal(t, "sed", words[0])
			require.NoError(t, exec.CommandContext(t.Context(), "sh", "-c", step.command).Run(), step.command)
		}
	}
	assert.Equal(t, 5, files)
	assert.Equal(t, 8, commands)
}

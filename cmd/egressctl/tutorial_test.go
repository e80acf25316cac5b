package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/tester"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// named is a line of a document that names the file which the block below it is.
var named = regexp.MustCompile("^`([a-z0-9_./-]+\\.(?:ya?ml|rego))`:$")

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

// opaTest runs the tests of files as opa test does, and says so in its words.
func opaTest(t *testing.T, paths ...string) string {
	t.Helper()
	modules, store, err := tester.Load(paths, nil)
	require.NoError(t, err)
	results, err := tester.NewRunner().SetStore(store).SetModules(modules).RunTests(t.Context(), storage.NewTransactionOrDie(t.Context(), store))
	require.NoError(t, err)
	passed, all := 0, 0
	for result := range results {
		if all++; result.Pass() {
			passed++
		}
	}
	return fmt.Sprintf("PASS: %d/%d", passed, all)
}

// taken does what a line of yq does that takes the Rego out of an EgressPolicy.
func taken(t *testing.T, line string) {
	t.Helper()
	var from, to string
	_, err := fmt.Sscanf(line, "yq -r .spec.rego %s > %s", &from, &to)
	require.NoError(t, err, line)
	var of v1alpha1.EgressPolicy
	require.NoError(t, yaml.Unmarshal([]byte(content(t, from)), &of))
	require.NoError(t, os.WriteFile(to, []byte(of.Spec.Rego), 0o600))
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
		case words[0] == "opa":
			require.Equal(t, "test", words[1])
			assert.Equal(t, strings.TrimSpace(step.text), opaTest(t, words[2:]...), step.command)
			commands++
		case words[0] == "yq":
			taken(t, step.command)
			commands++
		default:
			require.Equal(t, "sed", words[0])
			require.NoError(t, exec.CommandContext(t.Context(), "sh", "-c", step.command).Run(), step.command)
		}
	}
	assert.Equal(t, 6, files)
	assert.Equal(t, 11, commands)
}

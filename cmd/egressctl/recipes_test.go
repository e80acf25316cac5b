package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// sections returns the parts of a document below its headings, by these.
func sections(t *testing.T, file string) map[string][]step {
	t.Helper()
	out := map[string][]step{}
	for _, part := range strings.Split(content(t, file), "\n## ")[1:] {
		heading, text, _ := strings.Cut(part, "\n")
		out[heading] = steps(text)
	}
	return out
}

// follow writes the files and runs the commands of a part, in the folder of the test.
func follow(t *testing.T, part []step) (commands int) {
	t.Helper()
	for _, step := range part {
		if step.command == "" {
			require.NotEmpty(t, step.file, step.text)
			require.NoError(t, os.MkdirAll(filepath.Dir(step.file), 0o755))
			require.NoError(t, os.WriteFile(step.file, []byte(step.text), 0o600))
			continue
		}
		words := word.FindAllString(step.command, -1)
		require.Equal(t, "egressctl", words[0])
		code, out, errs := run(t, "", words[1:]...)
		assert.NotEqual(t, failed, code, "%s\n%s", step.command, errs)
		assert.Equal(t, strings.TrimSpace(step.text), strings.TrimSpace(out), step.command)
		commands++
	}
	return commands
}

// TestTheRecipesHold, the moves from elsewhere and the page for apps: every block of each, in a folder that is empty before.
func TestTheRecipesHold(t *testing.T) {
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	for document, want := range map[string]int{"recipes.md": 8, "moving.md": 4, "apps.md": 2} {
		commands := 0
		for heading, part := range sections(t, filepath.Join(root, "docs", document)) {
			t.Run(document+"/"+heading, func(t *testing.T) {
				t.Chdir(t.TempDir())
				commands += follow(t, part)
			})
		}
		assert.Equal(t, want, commands, document)
	}
}

// TestThePipelinesOfTheRecipesRun: the command lines of both, on a manifest that is allowed, and on one that is not.
func TestThePipelinesOfTheRecipesRun(t *testing.T) {
	recipes := sections(t, filepath.Join("..", "..", "docs", "recipes.md"))
	t.Chdir(t.TempDir())
	follow(t, recipes["Pull requests"])
	follow(t, recipes["A list for each team"])
	var workflow struct {
		Jobs map[string]struct {
			Steps []struct {
				Run string `json:"run"`
			} `json:"steps"`
		} `json:"jobs"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(content(t, ".github/workflows/egress.yaml")), &workflow))
	var pipeline map[string]struct {
		Script []string `json:"script"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(content(t, ".gitlab-ci.yml")), &pipeline))
	lines := pipeline["egress"].Script
	for _, step := range workflow.Jobs["review"].Steps {
		if step.Run != "" {
			lines = append(lines, step.Run)
		}
	}
	require.Len(t, lines, 5)
	require.NoError(t, os.Mkdir("manifests", 0o755))
	for _, host := range []string{"api.stripe.com", "evil.example.net"} {
		require.NoError(t, os.WriteFile("manifests/entry.yaml", []byte(`
apiVersion: v1
kind: Namespace
metadata: {name: payments, labels: {team: payments}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: payments}
spec: {hosts: [`+host+`], exportTo: ["."], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}
`), 0o600))
		for _, line := range lines {
			command, _, _ := strings.Cut(line, " > ")
			code, out, errs := run(t, "", strings.Fields(command)[1:]...)
			bad := host == "evil.example.net" && strings.Contains(line, "review")
			assert.Equal(t, bad, code == violations, "%s\n%s%s", line, out, errs)
			assert.NotEqual(t, failed, code, line)
			if bad {
				assert.Contains(t, out, "evil.example.net", line)
			}
		}
	}
}

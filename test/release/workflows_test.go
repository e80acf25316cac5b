package release

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// workflow is what is read of a workflow.
type workflow struct {
	Permissions map[string]string
	Jobs        map[string]struct {
		Uses        string
		Needs       any
		Permissions map[string]string
		Steps       []struct{ Uses, Run string }
	}
}

var (
	pinned  = regexp.MustCompile(`(?m)^\s*(?:- )?uses: (\S+)(.*)$`)
	ofMake  = regexp.MustCompile(`\bmake ([a-z0-9-]+)`)
	commit  = regexp.MustCompile(`^[a-z-]+/[a-z-]+@[0-9a-f]{40}$`)
	version = regexp.MustCompile(`^ # v\d+\.\d+\.\d+$`)
)

// TestActionsArePinned to a commit, which says its version and is the same wherever it is used; what workflows make there is to make.
func TestActionsArePinned(t *testing.T) {
	t.Parallel()
	root := "../.."
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	require.NoError(t, err)
	files, err := filepath.Glob(filepath.Join(root, ".github", "workflows", "*.yaml"))
	require.NoError(t, err)
	require.Len(t, files, 2)
	commits := map[string]string{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, use := range pinned.FindAllStringSubmatch(string(raw), -1) {
			if local, is := strings.CutPrefix(use[1], "./"); is {
				assert.FileExists(t, filepath.Join(root, local))
				continue
			}
			assert.Regexp(t, commit, use[1], file)
			assert.Regexp(t, version, use[2], "%s: %s", file, use[1])
			action, at, _ := strings.Cut(use[1], "@")
			if last, known := commits[action]; known {
				assert.Equal(t, last, at+use[2], "%s is used in two versions", action)
			}
			commits[action] = at + use[2]
		}
		for _, target := range ofMake.FindAllStringSubmatch(string(raw), -1) {
			assert.Contains(t, string(makefile), "\n"+target[1]+":", "%s makes %s", file, target[1])
		}
		var of workflow
		require.NoError(t, yaml.Unmarshal(raw, &of))
		assert.Equal(t, map[string]string{"contents": "read"}, of.Permissions, "%s: more is given to a job, by name", file)
		for name, job := range of.Jobs {
			assert.True(t, job.Uses != "" || len(job.Steps) > 0, name)
		}
	}
	assert.Contains(t, commits, "actions/attest-build-provenance")
}

// TestNothingIsReleasedThatCIDidNotTake.
func TestNothingIsReleasedThatCIDidNotTake(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../.github/workflows/release.yaml")
	require.NoError(t, err)
	var of workflow
	require.NoError(t, yaml.Unmarshal(raw, &of))
	assert.Equal(t, "./.github/workflows/ci.yaml", of.Jobs["ci"].Uses)
	assert.Equal(t, "ci", of.Jobs["release"].Needs)
	called, err := os.ReadFile("../../.github/workflows/ci.yaml")
	require.NoError(t, err)
	assert.Contains(t, string(called), "\n  workflow_call:\n")
	var runs strings.Builder
	for _, step := range of.Jobs["release"].Steps {
		runs.WriteString(step.Run + "\n")
	}
	for _, each := range []string{"make release\n", "make release-push", "gh release create"} {
		assert.Contains(t, runs.String(), each)
	}
}

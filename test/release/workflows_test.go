package release

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

// workflow is what is read of a workflow.
type workflow struct {
	Permissions map[string]string
	Jobs        map[string]job
}

type job struct {
	Uses        string
	Needs       any
	Permissions map[string]string
	Steps       []step
}

type step struct {
	Uses, Run string
	With      map[string]any
}

var (
	ofMake  = regexp.MustCompile(`\bmake ([a-z0-9-]+)`)
	commit  = regexp.MustCompile(`^[a-z-]+/[a-z-]+@[0-9a-f]{40}$`)
	version = regexp.MustCompile(`^ # v\d+\.\d+\.\d+$`)
)

// parsed reads a workflow.
func parsed(t *testing.T, raw []byte) (out workflow) {
	t.Helper()
	require.NoError(t, yaml.Unmarshal(raw, &out))
	return out
}

// read reads a workflow of the tree.
func read(t *testing.T, name string) workflow {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(workflows, name))
	require.NoError(t, err)
	return parsed(t, raw)
}

const workflows = "../../.github/workflows"

// runs is all that a job runs.
func (j job) runs() string {
	var out strings.Builder
	for _, step := range j.Steps {
		out.WriteString(step.Run + "\n")
	}
	return out.String()
}

// uses are the actions and workflows that a workflow uses, however it is written.
func (w workflow) uses() (out []string) {
	for _, job := range w.Jobs {
		out = append(out, job.Uses)
		for _, step := range job.Steps {
			out = append(out, step.Uses)
		}
	}
	return slices.DeleteFunc(out, func(use string) bool { return use == "" })
}

// pins returns the commits of the actions that a workflow uses, with their versions, and what is wrong with them.
func pins(raw string, of workflow) (out map[string]string, wrong []string) {
	out = map[string]string{}
	for _, use := range of.uses() {
		if local, is := strings.CutPrefix(use, "./"); is {
			if info, err := os.Stat(filepath.Join("../..", local)); err != nil || info.IsDir() {
				wrong = append(wrong, use+" is no workflow of this tree")
			}
			continue
		}
		if !commit.MatchString(use) {
			wrong = append(wrong, use+" is no commit")
		}
		action, at, _ := strings.Cut(use, "@")
		for _, said := range regexp.MustCompile(regexp.QuoteMeta(use)+`(.*)`).FindAllStringSubmatch(raw, -1) {
			if !version.MatchString(said[1]) {
				wrong = append(wrong, use+" says no version")
			}
			if last, known := out[action]; known && last != at+said[1] {
				wrong = append(wrong, action+" is used in two versions")
			}
			out[action] = at + said[1]
		}
	}
	return out, wrong
}

// TestActionsArePinned to a commit, which says its version and is the same wherever it is used; what workflows make there is to make.
func TestActionsArePinned(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile("../../Makefile")
	require.NoError(t, err)
	files, err := os.ReadDir(workflows)
	require.NoError(t, err)
	require.Len(t, files, 2)
	commits := map[string]string{}
	for _, file := range files {
		raw, err := os.ReadFile(filepath.Join(workflows, file.Name()))
		require.NoError(t, err)
		of := parsed(t, raw)
		pinned, wrong := pins(string(raw), of)
		assert.Empty(t, wrong, file.Name())
		for action, at := range pinned {
			if last, known := commits[action]; known {
				assert.Equal(t, last, at, "%s is used in two versions", action)
			}
			commits[action] = at
		}
		for _, target := range ofMake.FindAllStringSubmatch(string(raw), -1) {
			assert.Contains(t, string(makefile), "\n"+target[1]+":", "%s makes %s", file.Name(), target[1])
		}
		assert.Equal(t, map[string]string{"contents": "read"}, of.Permissions, "%s: more is given to a job, by name", file.Name())
		for name, job := range of.Jobs {
			assert.True(t, job.Uses != "" || len(job.Steps) > 0, name)
		}
	}
	assert.Contains(t, commits, "actions/attest-build-provenance")
}

// TestAnActionThatIsNotPinnedIsSeen, however it is written.
func TestAnActionThatIsNotPinnedIsSeen(t *testing.T) {
	t.Parallel()
	const sound = "a/b@08c6903cd8c0fde910a37f88322edcfb5dd907a8"
	for steps, want := range map[string]int{
		"- uses: " + sound + " # v5.0.0": 0, "- name: it\n      uses: " + sound + " # v5.0.0": 0, "- uses: ./.github/workflows/ci.yaml": 0,
		"- uses: a/b@v4": 2, "- {uses: a/b@v4}": 2, "- {name: it, 'uses': \"a/b@v4\"}": 2, "- uses: " + sound: 1, "- uses: a/b@08c6903 # v5.0.0": 1,
		"- uses: docker://alpine:3": 2, "- uses: ./.github/actions/own": 1,
		"- uses: " + sound + " # v5.0.0\n    - uses: " + strings.Replace(sound, "08c", "18c", 1) + " # v5.0.0": 1,
	} {
		raw := "jobs:\n  of:\n    steps:\n    " + steps + "\n"
		_, wrong := pins(raw, parsed(t, []byte(raw)))
		assert.Len(t, wrong, want, "%s: %v", steps, wrong)
	}
}

// TestWhatLooksAtReleasesHasTheirTags: a checkout has none by itself, and neither test would miss them.
func TestWhatLooksAtReleasesHasTheirTags(t *testing.T) {
	t.Parallel()
	looked := 0
	for name, job := range read(t, "ci.yaml").Jobs {
		if runs := job.runs(); !strings.Contains(runs, "make e2e\n") && !strings.Contains(runs, "make test\n") {
			continue
		}
		looked++
		at := slices.IndexFunc(job.Steps, func(step step) bool { return strings.HasPrefix(step.Uses, "actions/checkout@") })
		require.NotEqual(t, -1, at, name)
		assert.EqualValues(t, 0, job.Steps[at].With["fetch-depth"], "the job %s", name)
	}
	assert.Equal(t, 2, looked)
}

// TestNothingIsReleasedThatCIDidNotTake, which runs the image of the other architecture, too.
func TestNothingIsReleasedThatCIDidNotTake(t *testing.T) {
	t.Parallel()
	release := read(t, "release.yaml")
	assert.Equal(t, "./.github/workflows/ci.yaml", release.Jobs["ci"].Uses)
	assert.Equal(t, "ci", release.Jobs["release"].Needs)
	called, err := os.ReadFile(filepath.Join(workflows, "ci.yaml"))
	require.NoError(t, err)
	assert.Contains(t, string(called), "\n  workflow_call:\n")
	var taken strings.Builder
	for _, job := range parsed(t, called).Jobs {
		taken.WriteString(job.runs())
	}
	for _, each := range []string{"make test", "make report-test", "make lint", "make verify", "make image-arm64-runs", "make e2e"} {
		assert.Contains(t, taken.String(), each+"\n")
	}
	runs, at := release.Jobs["release"].runs(), 0
	for _, each := range []string{"make release\n", "make image-arm64-runs\n", "make release-push", "gh release create"} {
		found := strings.Index(runs[at:], each)
		require.NotEqual(t, -1, found, "%s, after what comes before it", each)
		at += found
	}
}

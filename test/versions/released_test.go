package versions

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// git runs git in a tree, and returns what it says.
func git(t *testing.T, tree string, args ...string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "git", append([]string{"-C", tree}, args...)...).Output()
	return strings.TrimSpace(string(out)), err
}

// changed returns the files of a version that are not as they were released: none where its tag is not known, as before the release,
// or in a clone without tags.
func changed(t *testing.T, tree, folder string) []string {
	t.Helper()
	tag := "refs/tags/v" + filepath.Base(folder)
	if _, err := git(t, tree, "rev-parse", "--verify", "--quiet", tag); err != nil {
		return nil
	}
	differ, err := git(t, tree, "diff", "--name-only", "--no-renames", tag, "--", folder)
	require.NoError(t, err)
	others, err := git(t, tree, "ls-files", "--others", "--exclude-standard", "--", folder)
	require.NoError(t, err)
	return strings.Fields(differ + "\n" + others)
}

// TestWhatWasReleasedStays: what a version stored lies in clusters.
func TestWhatWasReleasedStays(t *testing.T) {
	t.Parallel()
	folders, err := os.ReadDir("testdata")
	require.NoError(t, err)
	for _, folder := range folders {
		assert.Empty(t, changed(t, ".", filepath.Join("testdata", folder.Name())), "give the chart another version")
	}
}

// TestATagIsTheVersionOfTheChart, or one before it: what it stores is kept under that name.
func TestATagIsTheVersionOfTheChart(t *testing.T) {
	t.Parallel()
	tags, _ := git(t, ".", "tag", "--points-at", "HEAD", "--list", "v*")
	for _, tag := range strings.Fields(tags) {
		version, _, _ := strings.Cut(tag, "-")
		assert.Equal(t, "v"+versionOfTheChart(t), version, "Chart.yaml")
	}
}

// TestAChangeOfWhatWasReleasedIsSeen, whatever it is, and none of what was not.
func TestAChangeOfWhatWasReleasedIsSeen(t *testing.T) {
	t.Parallel()
	tree := t.TempDir()
	write := func(file, text string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(tree, file)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(tree, file), []byte(text), 0o600))
	}
	run := func(args ...string) {
		t.Helper()
		_, err := git(t, tree, append([]string{"-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false"}, args...)...)
		require.NoError(t, err)
	}
	of := func(version string) []string { return changed(t, tree, "testdata/"+version) }
	run("init", "--quiet")
	for _, file := range []string{"1.0.0/plain.yaml", "1.0.0/other.yaml", "1.1.0/plain.yaml"} {
		write("testdata/"+file, "a")
	}
	run("add", ".")
	run("commit", "--quiet", "--message", "one")
	run("tag", "v1.0.0")
	assert.Empty(t, of("1.0.0"))

	write("testdata/1.1.0/plain.yaml", "b")
	assert.Empty(t, of("1.1.0"), "it was not released")
	write("testdata/1.0.0/plain.yaml", "b")
	write("testdata/1.0.0/new.yaml", "a")
	require.NoError(t, os.Remove(filepath.Join(tree, "testdata/1.0.0/other.yaml")))
	want := []string{"testdata/1.0.0/new.yaml", "testdata/1.0.0/other.yaml", "testdata/1.0.0/plain.yaml"}
	assert.ElementsMatch(t, want, of("1.0.0"))
	run("add", ".")
	run("commit", "--quiet", "--message", "two")
	assert.ElementsMatch(t, want, of("1.0.0"))
}

// Package release holds that what is released of egressctl can be built again, and is what it says.
package release

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

const tag = "v1.2.3"

// source copies what git knows of this tree into a folder of its own, without its history.
func source(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	list := exec.CommandContext(t.Context(), "git", "ls-files", "-z")
	list.Dir = root
	files, err := list.Output()
	require.NoError(t, err)
	out := filepath.Join(t.TempDir(), "a", "folder")
	for file := range strings.SplitSeq(strings.TrimRight(string(files), "\x00"), "\x00") {
		raw, err := os.ReadFile(filepath.Join(root, file))
		if os.IsNotExist(err) {
			continue
		}
		require.NoError(t, err)
		info, err := os.Stat(filepath.Join(root, file))
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(filepath.Join(out, filepath.Dir(file)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(out, file), raw, info.Mode()))
	}
	return out
}

// built builds this machine's platform in a tree, and returns the folder of what is released.
func built(t *testing.T, tree string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "make", "release-binaries", "VERSION="+tag, "PLATFORMS="+runtime.GOOS+"/"+runtime.GOARCH)
	cmd.Dir = tree
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Run(), out.String())
	return filepath.Join(tree, ".run", "release")
}

// TestTwoBuildsAreEqual, of two folders, to the last bit; and what krew is told of them holds.
func TestTwoBuildsAreEqual(t *testing.T) {
	t.Parallel()
	one := built(t, source(t))
	archive := "egressctl_" + runtime.GOOS + "_" + runtime.GOARCH + ".tar.gz"
	raw, err := os.ReadFile(filepath.Join(one, archive))
	require.NoError(t, err)
	other, err := os.ReadFile(filepath.Join(built(t, source(t)), archive))
	require.NoError(t, err)
	require.True(t, bytes.Equal(raw, other), "%d and %d bytes", len(raw), len(other))

	sum := sha256.Sum256(raw)
	checksums, err := os.ReadFile(filepath.Join(one, "checksums.txt"))
	require.NoError(t, err)
	assert.Equal(t, hex.EncodeToString(sum[:])+"  "+archive+"\n", string(checksums))

	into := t.TempDir()
	require.NoError(t, exec.CommandContext(t.Context(), "tar", "-xzf", filepath.Join(one, archive), "-C", into).Run())
	said, err := exec.CommandContext(t.Context(), filepath.Join(into, "egressctl"), "version").Output()
	require.NoError(t, err)
	assert.Equal(t, tag+"\n", string(said))

	filled, err := os.ReadFile(filepath.Join(one, "egress.yaml"))
	require.NoError(t, err)
	var plugin struct {
		Metadata struct{ Name string }
		Spec     struct {
			Version   string
			Platforms []struct {
				Selector         struct{ MatchLabels map[string]string }
				URI, SHA256, Bin string
			}
		}
	}
	require.NoError(t, yaml.Unmarshal(filled, &plugin))
	assert.Equal(t, "egress", plugin.Metadata.Name)
	assert.Equal(t, tag, plugin.Spec.Version)
	require.Len(t, plugin.Spec.Platforms, 6)
	for _, platform := range plugin.Spec.Platforms {
		labels := platform.Selector.MatchLabels
		assert.True(t, strings.HasSuffix(platform.URI, "/"+tag+"/egressctl_"+labels["os"]+"_"+labels["arch"]+".tar.gz"), platform.URI)
		if labels["os"] == runtime.GOOS && labels["arch"] == runtime.GOARCH {
			assert.Equal(t, hex.EncodeToString(sum[:]), platform.SHA256)
			assert.FileExists(t, filepath.Join(into, platform.Bin))
		}
	}
}

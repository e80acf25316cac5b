// Package release holds that what is released can be built again, and is what it says.
package release

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
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

// made makes targets for this machine alone in a tree.
func made(t *testing.T, tree, registry string, targets ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "make", append(targets, "VERSION="+tag, "PLATFORMS="+runtime.GOOS+"/"+runtime.GOARCH, "ARCHS="+runtime.GOARCH,
		"IMAGE=egress-governor:test", "SOURCE_DATE_EPOCH=1700000000", "REGISTRY="+registry, "HELMFLAGS=--plain-http")...)
	cmd.Dir = tree
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Run(), out.String())
}

// TestARelease is made of two folders: it is the same to the last bit, is what it says, and fits together where it was pushed.
func TestARelease(t *testing.T) {
	t.Parallel()
	images := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer images.Close()
	place := strings.TrimPrefix(images.URL, "http://") + "/acme"
	one, other := source(t), source(t)
	made(t, one, place, "release", "release-push")
	made(t, other, place, "release-binaries", "image-files")
	t.Run("egressctl", func(t *testing.T) {
		twoArchivesAreEqual(t, filepath.Join(other, ".run", "release"), filepath.Join(one, ".run", "release"))
	})
	t.Run("image", func(t *testing.T) {
		theImageIsTheSameTwice(t, filepath.Join(one, ".run", "image"), filepath.Join(other, ".run", "image"))
	})
	t.Run("bill", func(t *testing.T) {
		billed(t, filepath.Join(one, ".run", "image"), filepath.Join(other, ".run", "image"))
	})
	t.Run("checksums", func(t *testing.T) { eachFileHasItsChecksum(t, filepath.Join(one, ".run", "release")) })
	t.Run("chart", func(t *testing.T) { theChartTakesTheImageBesideIt(t, place, filepath.Join(one, ".run", "image")) })
}

// twoArchivesAreEqual, of two folders; and what krew is told of them holds.
func twoArchivesAreEqual(t *testing.T, one, second string) {
	archive := "egressctl_" + runtime.GOOS + "_" + runtime.GOARCH + ".tar.gz"
	raw, err := os.ReadFile(filepath.Join(one, archive))
	require.NoError(t, err)
	other, err := os.ReadFile(filepath.Join(second, archive))
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

package release

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
)

// eachFileHasItsChecksum, of what is published.
func eachFileHasItsChecksum(t *testing.T, folder string) {
	sums, err := os.ReadFile(filepath.Join(folder, "checksums.txt"))
	require.NoError(t, err)
	var files []string
	for line := range strings.Lines(string(sums)) {
		sum, file, found := strings.Cut(strings.TrimSpace(line), "  ")
		require.True(t, found, line)
		raw, err := os.ReadFile(filepath.Join(folder, file))
		require.NoError(t, err)
		of := sha256.Sum256(raw)
		assert.Equal(t, hex.EncodeToString(of[:]), sum, file)
		files = append(files, file)
	}
	on := runtime.GOOS + "_" + runtime.GOARCH
	assert.ElementsMatch(t, []string{"egressctl_" + on + ".tar.gz", "egressctl_" + on + ".cdx.json", "webhook_linux_" + runtime.GOARCH + ".cdx.json", "egress-governor-1.2.3.tgz"}, files)
}

// theChartTakesTheImageBesideIt, by the digest under which it was built and a registry has it.
func theChartTakesTheImageBesideIt(t *testing.T, place, built string) {
	reference, err := name.ParseReference(place + "/charts/egress-governor:1.2.3")
	require.NoError(t, err)
	pushed, err := remote.Image(reference)
	require.NoError(t, err)
	layers, err := pushed.Layers()
	require.NoError(t, err)
	content, err := layers[0].Compressed()
	require.NoError(t, err)
	defer func() { assert.NoError(t, content.Close()) }()
	chart, err := loader.LoadArchive(content)
	require.NoError(t, err)
	assert.Equal(t, "1.2.3", chart.Metadata.Version)
	assert.Equal(t, "1.2.3", chart.Metadata.AppVersion)
	assert.Equal(t, place, chart.Values["global"].(map[string]any)["imageRegistry"])
	digest, err := os.ReadFile(filepath.Join(built, "digest.txt"))
	require.NoError(t, err)
	assert.Equal(t, strings.TrimSpace(string(digest)), chart.Values["image"].(map[string]any)["digest"])
	for _, by := range []string{"@" + strings.TrimSpace(string(digest)), ":1.2.3"} {
		reference, err := name.ParseReference(place + "/egress-governor" + by)
		require.NoError(t, err)
		image, err := remote.Image(reference, remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}))
		require.NoError(t, err, by)
		is(t, image)
	}
}

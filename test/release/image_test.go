package release

import (
	"bytes"
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// theImageIsTheSameTwice, of two folders, by its digest; it has one program, which says what it is, and runs as nobody.
func theImageIsTheSameTwice(t *testing.T, one, other string) {
	digest, err := os.ReadFile(filepath.Join(one, "digest.txt"))
	require.NoError(t, err)
	again, err := os.ReadFile(filepath.Join(other, "digest.txt"))
	require.NoError(t, err)
	require.Equal(t, string(digest), string(again))

	loaded, err := tarball.ImageFromPath(filepath.Join(one, "image-"+runtime.GOARCH+".tar"), nil)
	require.NoError(t, err)
	is(t, loaded)
}

// is holds an image to what it is to be.
func is(t *testing.T, image v1.Image) {
	t.Helper()
	config, err := image.ConfigFile()
	require.NoError(t, err)
	assert.Equal(t, "65532:65532", config.Config.User)
	assert.Equal(t, []string{"/webhook"}, config.Config.Entrypoint)
	assert.Equal(t, runtime.GOARCH, config.Architecture)
	assert.Equal(t, tag, config.Config.Labels["org.opencontainers.image.version"])
	assert.Equal(t, int64(1700000000), config.Created.Unix())
	size, err := image.Size()
	require.NoError(t, err)
	layers, err := image.Layers()
	require.NoError(t, err)
	for _, layer := range layers {
		of, err := layer.Size()
		require.NoError(t, err)
		size += of
	}
	assert.Less(t, size, int64(40<<20), "it is small")
	into := t.TempDir()
	unpack := exec.CommandContext(t.Context(), "tar", "-xf", "-", "-C", into)
	content := mutate.Extract(image)
	defer func() { assert.NoError(t, content.Close()) }()
	unpack.Stdin = content
	require.NoError(t, unpack.Run())
	files, err := os.ReadDir(into)
	require.NoError(t, err)
	require.Len(t, files, 1)
	said, err := exec.CommandContext(t.Context(), filepath.Join(into, "webhook"), "--version").Output()
	require.NoError(t, err)
	assert.Equal(t, "webhook version "+tag+"\n", string(said))
	program, err := os.ReadFile(filepath.Join(into, "webhook"))
	require.NoError(t, err)
	// Its table of functions has their names.
	assert.True(t, bytes.Contains(program, []byte("encoding/json.Marshal")))
	assert.False(t, bytes.Contains(program, []byte("text/template.(*state).evalField")), "who looks methods up by their names keeps the linker from leaving out what nobody calls")
}

// billed: what the program is made of is in its bill, and the bill the same of two folders.
func billed(t *testing.T, one, other string) {
	file := "webhook_linux_" + runtime.GOARCH + ".cdx.json"
	raw, err := os.ReadFile(filepath.Join(one, file))
	require.NoError(t, err)
	again, err := os.ReadFile(filepath.Join(other, file))
	require.NoError(t, err)
	assert.True(t, bytes.Equal(raw, again))
	bill := &cdx.BOM{}
	require.NoError(t, cdx.NewBOMDecoder(bytes.NewReader(raw), cdx.BOMFileFormatJSON).Decode(bill))
	listed := map[string]bool{}
	for _, component := range *bill.Components {
		listed[component.PackageURL] = true
	}
	of, err := buildinfo.ReadFile(filepath.Join(one, "webhook-"+runtime.GOARCH))
	require.NoError(t, err)
	for _, module := range of.Deps {
		assert.True(t, listed["pkg:golang/"+module.Path+"@"+module.Version], module.Path)
	}
	assert.Len(t, listed, len(of.Deps)+1)
	assert.True(t, listed["pkg:golang/std@"+strings.TrimPrefix(of.GoVersion, "go")])
	assert.Equal(t, "pkg:golang/github.com/egress-governor/egress-governor@"+tag+"#cmd/webhook", bill.Metadata.Component.PackageURL)
}

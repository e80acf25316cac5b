package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// release is what an image is of.
type release struct {
	version string
	made    time.Time
}

// source is where all of it comes from.
const source = "https://github.com/egress-governor/egress-governor"

// annotations are those of OCI.
func (r release) annotations() map[string]string {
	return map[string]string{
		"org.opencontainers.image.title": "egress-governor", "org.opencontainers.image.source": source,
		"org.opencontainers.image.description": "Governs how traffic leaves an Istio mesh", "org.opencontainers.image.licenses": "Apache-2.0",
		"org.opencontainers.image.version": r.version, "org.opencontainers.image.created": r.made.Format(time.RFC3339),
	}
}

// index is the image of all architectures, and each of them.
func (r release) index(platforms map[string]string) (v1.ImageIndex, map[string]v1.Image, error) {
	out := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	images := map[string]v1.Image{}
	for _, arch := range slices.Sorted(maps.Keys(platforms)) {
		image, err := r.image(arch, platforms[arch])
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", arch, err)
		}
		images[arch] = image
		out = mutate.AppendManifests(out, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
	}
	annotated, is := mutate.Annotations(out, r.annotations()).(v1.ImageIndex)
	if !is {
		return nil, nil, fmt.Errorf("an index with annotations is a %T", annotated)
	}
	return annotated, images, nil
}

// image has the program and nothing else, and runs it as nobody.
func (r release) image(arch, program string) (v1.Image, error) {
	raw, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	archive, err := r.archive("webhook", raw)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive)), nil },
		tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(gzip.DefaultCompression))
	if err != nil {
		return nil, err
	}
	out := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	created := v1.Time{Time: r.made}
	if out, err = mutate.Append(out, mutate.Addendum{Layer: layer, History: v1.History{Created: created, CreatedBy: "egress-governor " + r.version}}); err != nil {
		return nil, err
	}
	config, err := out.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = "linux", arch, created
	config.Config = v1.Config{User: "65532:65532", Entrypoint: []string{"/webhook"}, Labels: r.annotations()}
	if out, err = mutate.ConfigFile(out, config); err != nil {
		return nil, err
	}
	annotated, is := mutate.Annotations(out, r.annotations()).(v1.Image)
	if !is {
		return nil, fmt.Errorf("an image with annotations is a %T", annotated)
	}
	return annotated, nil
}

// archive is a layer with one program.
func (r release) archive(name string, program []byte) ([]byte, error) {
	var out bytes.Buffer
	to := tar.NewWriter(&out)
	if err := to.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(program)), ModTime: r.made, Format: tar.FormatUSTAR}); err != nil {
		return nil, err
	}
	if _, err := to.Write(program); err != nil {
		return nil, err
	}
	err := to.Close()
	return out.Bytes(), err
}

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"
	"oras.land/oras-go/v2"
	blobs "oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/memory"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
	"oras.land/oras-go/v2/registry/remote/retry"
)

// maxPulled is how large a bundle of a registry may be, and each of its files.
const maxPulled = 64 << 20

func pushCommand() *cobra.Command {
	var flags building
	var plain bool
	out := &cobra.Command{
		Use: "push FOLDER|FILE REFERENCE", Short: "Put a bundle into an OCI registry", Args: cobra.ExactArgs(2),
		Long: `Makes a bundle of a folder, as policy build does, or takes the file that this wrote, and puts it into an OCI registry, where the
webhook finds it. Who may is known from docker login.`,
		Example: `  egressctl policy push acme/ registry.example.com/policies/acme:v1 --signing-key release.pem --signing-alg ES256 --verification-key-id release`,
		RunE: func(cmd *cobra.Command, args []string) error {
			packed, err := flags.packed(args[0])
			if err != nil {
				return err
			}
			to, err := repository(args[1], plain)
			if err != nil {
				return err
			}
			pushed, err := push(cmd.Context(), to, packed)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s@%s\n", args[1], pushed.Digest)
			return err
		},
	}
	flags.bind(out)
	out.Flags().BoolVar(&plain, "plain-http", false, "call the registry without TLS")
	return out
}

// packed returns the bundle of a folder, or that of a file.
func (b *building) packed(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return b.build(path)
	}
	if b.signingKey != "" || b.revision != "" {
		return nil, fmt.Errorf("%s is a bundle already: it is signed when it is built", path)
	}
	of, err := readBundle(path)
	if err == nil {
		_, err = checkBundle(path, of)
	}
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

func pullCommand() *cobra.Command {
	var flags verifying
	var output string
	var plain bool
	out := &cobra.Command{
		Use: "pull REFERENCE", Short: "Fetch a bundle from an OCI registry", Args: cobra.ExactArgs(1),
		Long:    `Fetches a bundle from an OCI registry, verifies its signature, and writes it: for review --bundle, or to look at.`,
		Example: `  egressctl policy pull registry.example.com/policies/acme:v1 --verification-key release.pub --signing-alg ES256 --verification-key-id release`,
		RunE: func(cmd *cobra.Command, args []string) error {
			from, err := repository(args[0], plain)
			if err != nil {
				return err
			}
			packed, err := pull(cmd.Context(), from)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			of, err := flags.verify(packed)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if err := os.WriteFile(output, packed, 0o644); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: revision %s\n", output, of.Manifest.Revision)
			return err
		},
	}
	flags.bind(out)
	out.Flags().StringVarP(&output, "output", "o", "bundle.tar.gz", "file that is written")
	_ = out.MarkFlagFilename("output", "tar.gz") // the flag is there
	out.Flags().BoolVar(&plain, "plain-http", false, "call the registry without TLS")
	return out
}

// repository is that of a reference, with whom docker login knows.
func repository(reference string, plain bool) (*remote.Repository, error) {
	out, err := remote.NewRepository(reference)
	if err != nil {
		return nil, err
	}
	if out.Reference.Reference == "" {
		return nil, fmt.Errorf("%s names no tag", reference)
	}
	store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{})
	if err != nil {
		return nil, err
	}
	out.PlainHTTP = plain
	out.Client = &auth.Client{Client: retry.DefaultClient, Cache: auth.NewCache(), Credential: credentials.Credential(store)}
	return out, nil
}

// push puts a bundle into a registry in the form that OPA asks for: an image whose one layer is the tarball.
func push(ctx context.Context, to *remote.Repository, packed []byte) (out ocispec.Descriptor, err error) {
	unzipped, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return out, err
	}
	id, err := digest.FromReader(unzipped)
	if err != nil {
		return out, err
	}
	image, err := json.Marshal(ocispec.Image{RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{id}}})
	if err != nil {
		return out, err
	}
	layer, config := blobs.NewDescriptorFromBytes(ocispec.MediaTypeImageLayerGzip, packed), blobs.NewDescriptorFromBytes(ocispec.MediaTypeImageConfig, image)
	manifest, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{layer},
	})
	if err != nil {
		return out, err
	}
	out = blobs.NewDescriptorFromBytes(ocispec.MediaTypeImageManifest, manifest)
	from := memory.New()
	for _, part := range []struct {
		ocispec.Descriptor
		content []byte
	}{{layer, packed}, {config, image}, {out, manifest}} {
		if err := from.Push(ctx, part.Descriptor, bytes.NewReader(part.content)); err != nil {
			return out, err
		}
	}
	if err := oras.CopyGraph(ctx, from, to, out, oras.DefaultCopyGraphOptions); err != nil {
		return out, err
	}
	return out, to.Tag(ctx, out, to.Reference.Reference)
}

// pull returns the tarball of a bundle in a registry.
func pull(ctx context.Context, from *remote.Repository) ([]byte, error) {
	_, raw, err := oras.FetchBytes(ctx, from, from.Reference.Reference, oras.FetchBytesOptions{})
	if err != nil {
		return nil, err
	}
	var manifest ocispec.Manifest
	if err := json.Unmarshal(raw, &manifest); err != nil {
		return nil, err
	}
	for _, layer := range manifest.Layers {
		if layer.MediaType != ocispec.MediaTypeImageLayerGzip {
			continue
		}
		if layer.Size > maxPulled {
			return nil, fmt.Errorf("the bundle is larger than %d MiB", maxPulled>>20)
		}
		return fetched(ctx, from, layer)
	}
	return nil, fmt.Errorf("it is no bundle: it has no layer of type %s", ocispec.MediaTypeImageLayerGzip)
}

func fetched(ctx context.Context, from *remote.Repository, layer ocispec.Descriptor) ([]byte, error) {
	reader, err := from.Fetch(ctx, layer)
	if err != nil {
		return nil, err
	}
	defer func() { _ = reader.Close() }() // it was read
	out, err := blobs.ReadAll(io.LimitReader(reader, maxPulled+1), layer)
	return out, err
}

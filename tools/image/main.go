// Command image makes the image of the webhook from programs that were built, without an engine of containers. Of the same programs,
// version and time it is always the same.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

const usage = `usage:
  image build --folder FOLDER --version VERSION --epoch SECONDS --tag NAME ARCH=PROGRAM...
      writes FOLDER/layout, an OCI layout of all, FOLDER/image-ARCH.tar for docker load, FOLDER/webhook_linux_ARCH.cdx.json,
      what each is made of, by CycloneDX, and FOLDER/digest.txt
  image bill --version VERSION --epoch SECONDS PROGRAM
      prints what a program is made of
  image push FOLDER NAME
      pushes what was built, as whom docker login or its like says`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 3 && args[0] == "push":
		return push(args[1], args[2])
	case len(args) < 2 || args[0] != "build" && args[0] != "bill":
		return errors.New(usage)
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	version := flags.String("version", "", "version of the release")
	epoch := flags.Int64("epoch", 0, "seconds since 1970 that all of it was made at")
	folder := flags.String("folder", "", "where it is written")
	tag := flags.String("tag", "", "name under which docker load has it")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	of := release{version: *version, made: time.Unix(*epoch, 0).UTC()}
	if args[0] == "bill" {
		return of.bill(os.Stdout, flags.Arg(0))
	}
	return of.build(*folder, *tag, flags.Args())
}

func (r release) build(folder, tag string, args []string) error {
	reference, err := name.NewTag(tag)
	if err != nil {
		return err
	}
	platforms := map[string]string{}
	for _, arg := range args {
		arch, program, is := strings.Cut(arg, "=")
		if !is {
			return errors.New(usage)
		}
		platforms[arch] = program
	}
	index, images, err := r.index(platforms)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(folder, "layout")); err != nil {
		return err
	}
	if _, err := layout.Write(filepath.Join(folder, "layout"), index); err != nil {
		return err
	}
	for arch, image := range images {
		if err := tarball.WriteToFile(filepath.Join(folder, "image-"+arch+".tar"), reference, image); err != nil {
			return err
		}
		if err := r.writeBill(filepath.Join(folder, "webhook_linux_"+arch+".cdx.json"), platforms[arch]); err != nil {
			return err
		}
	}
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	fmt.Println(digest)
	return os.WriteFile(filepath.Join(folder, "digest.txt"), []byte(digest.String()+"\n"), 0o644)
}

func push(folder, to string) error {
	reference, err := name.ParseReference(to)
	if err != nil {
		return err
	}
	index, err := layout.ImageIndexFromPath(filepath.Join(folder, "layout"))
	if err != nil {
		return err
	}
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	if err := remote.WriteIndex(reference, index, remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
		return err
	}
	fmt.Printf("%s@%s\n", reference.Context(), digest)
	return nil
}

// Package manifest reads Kubernetes objects from files, and remembers where each of their fields stands.
package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Stdin is the name of the file that stands for standard input, and how places in it are told.
const (
	Stdin = "-"
	stdin = "stdin"
)

// Object is one object of a file.
type Object struct {
	*unstructured.Unstructured
	// File is where it was read, Line where it begins.
	File string
	Line int

	node *yaml.Node
	// before is how many lines of the file come before the document of the node.
	before int
}

// Place is where something stands, as compilers write it; of what has no lines it is where it comes from.
func Place(file string, line int) string {
	if line == 0 {
		return file
	}
	return fmt.Sprintf("%s:%d", file, line)
}

// Name is how kubectl names an object: Kind, namespace and name.
func Name(object *unstructured.Unstructured) string {
	name := cmp.Or(object.GetName(), object.GetGenerateName())
	if object.GetNamespace() == "" {
		return object.GetKind() + " " + name
	}
	return object.GetKind() + " " + object.GetNamespace() + "/" + name
}

// extensions are those of the files that are read of a folder, as kubectl has them.
var extensions = []string{".json", ".yaml", ".yml"}

// Read reads files, folders and standard input (Stdin), in their order and that of the names in a folder; folders below a
// folder with recursive alone. The error names file and line of everything that cannot be read.
func Read(paths []string, in io.Reader, recursive bool) (out []Object, err error) {
	var errs []error
	for _, path := range paths {
		files, err := list(path, recursive)
		if err != nil {
			errs = append(errs, err)
		}
		for _, file := range files {
			objects, err := read(file, in)
			out, errs = append(out, objects...), append(errs, err)
		}
	}
	return out, errors.Join(errs...)
}

// list returns the files that a path stands for.
func list(path string, recursive bool) (out []string, err error) {
	if path == Stdin {
		return []string{path}, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	err = filepath.WalkDir(path, func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && file != path && !recursive:
			return fs.SkipDir
		case !entry.IsDir() && slices.Contains(extensions, filepath.Ext(file)):
			out = append(out, file)
		}
		return nil
	})
	if err == nil && len(out) == 0 {
		err = fmt.Errorf("%s: the folder has no %v; folders below it are read with --recursive", path, extensions)
	}
	return out, err
}

func read(file string, in io.Reader) ([]Object, error) {
	if file == Stdin {
		raw, err := io.ReadAll(in)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", stdin, err)
		}
		return Parse(stdin, raw)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return Parse(file, raw)
}

// Package lint holds Rego to the house's conventions, formats it, and knows where it stands: in files of its own, or in manifests of
// EgressPolicies.
package lint

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/policies"
)

// Source is a module of Rego, and where it stands.
type Source struct {
	// File is that of the module, or of the manifest.
	File string
	// Rego is its text.
	Rego string
	// Object is the EgressPolicy whose Rego it is, nothing for a file of Rego.
	Object manifest.Object

	module *ast.Module
}

// inline says whether it stands in an EgressPolicy.
func (s *Source) inline() bool { return s.Object.Unstructured != nil }

// name is how OPA names it in what it says.
func (s *Source) name() string {
	if s.inline() {
		return s.Object.GetName() + ".rego"
	}
	return s.File
}

// at returns the line of the file on which a line of the module stands.
func (s *Source) at(line int) int {
	if !s.inline() {
		return line
	}
	if at, known := s.Object.Text("spec.rego", line); known {
		return at
	}
	return s.Object.At("spec.rego")
}

// tests says whether it is a test of opa test.
func (s *Source) tests() bool { return !s.inline() && strings.HasSuffix(s.File, "_test.rego") }

// library says whether it is a file of the library as egressctl library --write writes it, wherever that was, without its tests: what is
// in it is nobody's to mend.
func (s *Source) library() bool {
	if s.inline() {
		return false
	}
	if _, err := os.Stat(strings.TrimSuffix(s.File, ".rego") + "_test.rego"); err == nil {
		return false
	}
	folder, file := filepath.Split(filepath.Clean(s.File))
	name := filepath.ToSlash(filepath.Join(filepath.Base(folder), file))
	for _, name := range []string{name, "lib/" + name} {
		if raw, err := fs.ReadFile(policies.Library(), name); err == nil && string(raw) == s.Rego {
			return true
		}
	}
	return false
}

// Find returns the Rego of files and, at any depth, of folders: what ends in .rego, and EgressPolicies that have their own in YAML and
// JSON. To find none is an error, which names file and line of everything that cannot be read.
func Find(paths []string) (out []*Source, err error) {
	var errs []error
	for _, path := range paths {
		files, err := list(path)
		errs = append(errs, err)
		for _, file := range files {
			sources, err := read(file, file == path)
			out, errs = append(out, sources...), append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("there is no Rego in %s", strings.Join(paths, ", "))
	}
	return out, nil
}

func list(path string) (out []string, err error) {
	err = filepath.WalkDir(path, func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && file != path && strings.HasPrefix(entry.Name(), "."):
			return fs.SkipDir
		case !entry.IsDir() && (file == path || slices.Contains([]string{".rego", ".yaml", ".yml", ".json"}, filepath.Ext(file))):
			out = append(out, file)
		}
		return nil
	})
	return out, err
}

// ofPolicies finds that a file may hold EgressPolicies.
var ofPolicies = regexp.MustCompile(`\bkind"?\s*:\s*"?'?EgressPolicy\b`)

// read returns what a file holds. One that is not named itself, and in which no object is an EgressPolicy, may be anything.
func read(file string, named bool) (out []*Source, err error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if filepath.Ext(file) == ".rego" {
		one := &Source{File: file, Rego: string(raw)}
		return []*Source{one}, one.parse()
	}
	if !named && !ofPolicies.Match(raw) {
		return nil, nil
	}
	objects, err := manifest.Parse(file, raw)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, object := range objects {
		rego, is, _ := unstructured.NestedString(object.Object, "spec", "rego")
		if object.GetKind() == "EgressPolicy" && is {
			one := &Source{File: file, Rego: rego, Object: object}
			out, errs = append(out, one), append(errs, one.parse())
		}
	}
	return out, errors.Join(errs...)
}

// parse reads the module. The error names file and line.
func (s *Source) parse() (err error) {
	if s.module, err = policy.Parse(s.name(), s.Rego); err != nil {
		var errs []error
		for _, problem := range problems(err) {
			errs = append(errs, fmt.Errorf("%s: %s", manifest.Place(s.File, s.at(problem.line)), problem.message))
		}
		return errors.Join(errs...)
	}
	if s.module == nil {
		return fmt.Errorf("%s: has no Rego", manifest.Place(s.File, s.at(1)))
	}
	return nil
}

// problem is one that OPA finds.
type problem struct {
	file, message string
	line          int
}

// problems takes an error of OPA apart.
func problems(err error) (out []problem) {
	var all ast.Errors
	var one *ast.Error
	switch {
	case errors.As(err, &all):
	case errors.As(err, &one):
		all = ast.Errors{one}
	default:
		return []problem{{message: err.Error(), line: 1}}
	}
	for _, each := range all {
		at := problem{message: each.Code + ": " + strings.ReplaceAll(each.Message, "\n", " "), line: 1}
		if each.Location != nil {
			at.file, at.line = each.Location.File, each.Location.Row
		}
		if each.Details != nil {
			for _, line := range each.Details.Lines() {
				at.message += "; " + strings.TrimSpace(line)
			}
		}
		out = append(out, at)
	}
	slices.SortFunc(out, func(a, b problem) int { return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.line, b.line)) })
	return out
}

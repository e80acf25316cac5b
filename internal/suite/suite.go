// Package suite tests EgressPolicies by cases that a file lists: an object, and what the webhook answers to it. Answers are those of
// package dryrun; nothing is decided here.
package suite

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Suite is a file of cases about some EgressPolicies. Wherever it takes an object, it takes a file as well, relative to its own.
type Suite struct {
	// Policies are the EgressPolicies in force, Enforcement what theirs is taken to be; as they say by default.
	Policies    []yaml.Node `yaml:"policies"`
	Enforcement text        `yaml:"enforcement"`
	// Baseline is the enforcement of the baseline, Configuration the file of the webhook's.
	Baseline      text `yaml:"baseline"`
	Configuration text `yaml:"configuration"`
	// Namespace is that of objects that name none, Namespaces are labels by the name of a namespace.
	Namespace  text                         `yaml:"namespace"`
	Namespaces map[string]map[string]string `yaml:"namespaces"`
	// Objects are applied before each case, and must be allowed; Cluster is stored already, as it is.
	Objects []yaml.Node `yaml:"objects"`
	Cluster []yaml.Node `yaml:"cluster"`
	Cases   []Case      `yaml:"cases"`

	// File is where it was read.
	File string `yaml:"-"`
}

// Case is one object and what is expected of its answer. What it says beside comes in addition to what the suite says, or in its place.
type Case struct {
	Name     text      `yaml:"name"`
	Manifest yaml.Node `yaml:"manifest"`
	// Parameters take the place of those of the suite's one EgressPolicy.
	Parameters yaml.Node                    `yaml:"parameters"`
	Namespace  text                         `yaml:"namespace"`
	Namespaces map[string]map[string]string `yaml:"namespaces"`
	Objects    []yaml.Node                  `yaml:"objects"`
	Cluster    []yaml.Node                  `yaml:"cluster"`
	User       user                         `yaml:"user"`
	Time       text                         `yaml:"time"`
	Expect     Expect                       `yaml:"expect"`

	line int
}

// user is who applies an object.
type user struct {
	Name   string   `yaml:"name"`
	Groups []string `yaml:"groups"`
}

// Expect is what must be so; what is left out may be anything.
type Expect struct {
	Decision text `yaml:"decision"`
	// Finding is one that must be among those that are found, Findings are all of them.
	Finding  `yaml:",inline"`
	Findings *[]Finding `yaml:"findings"`
	// Stored is what must be stored: a file with all of it, or the fields that must be so.
	Stored yaml.Node `yaml:"stored"`
}

// Finding is one of what policies and the webhook say.
type Finding struct {
	Policy  text `yaml:"policy"`
	Code    text `yaml:"code"`
	Field   text `yaml:"field"`
	Message text `yaml:"message"`
}

// text is a scalar, and where it stands.
type text struct {
	value string
	line  int
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (t *text) UnmarshalYAML(node *yaml.Node) error {
	t.line = node.Line
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	return node.Decode(&t.value)
}

func (t text) given() bool { return t.value != "" }

// Suffixes are those of the files that are suites in a folder.
var Suffixes = []string{"_test.yaml", "_test.yml"}

// Find returns the suites that paths stand for: files, and what folders hold of them at any depth. To find none is an error.
func Find(paths []string) (out []string, err error) {
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			out = append(out, path)
			continue
		}
		before := len(out)
		err = filepath.WalkDir(path, func(file string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && slices.ContainsFunc(Suffixes, func(suffix string) bool { return strings.HasSuffix(file, suffix) }) {
				out = append(out, file)
			}
			return err
		})
		if err == nil && len(out) == before {
			err = fmt.Errorf("%s: the folder has no suite: no file *%s", path, strings.Join(Suffixes, ", *"))
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Read reads a suite. The error names file and line of everything that is wrong with it.
func Read(file string) (*Suite, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return Parse(file, raw)
}

// Parse reads the suite of a file.
func Parse(file string, raw []byte) (*Suite, error) {
	out := &Suite{File: file}
	decoder := yaml.NewDecoder(bytes.NewReader(raw))
	decoder.KnownFields(true)
	if err := decoder.Decode(out); err != nil && !errors.Is(err, io.EOF) {
		return nil, wrong(file, raw, err)
	}
	if err := decoder.Decode(&yaml.Node{}); err == nil {
		return nil, fmt.Errorf("%s: a suite is one document", file)
	}
	out.place(raw)
	return out, out.check()
}

// place finds the lines of the cases.
func (s *Suite) place(raw []byte) {
	var lines struct {
		Cases []yaml.Node `yaml:"cases"`
	}
	if yaml.Unmarshal(raw, &lines) == nil && len(lines.Cases) == len(s.Cases) {
		for i := range lines.Cases {
			s.Cases[i].line = lines.Cases[i].Line
		}
	}
}

// Reads returns the files and folders that the suite names.
func (s *Suite) Reads() (out []string) {
	sources := slices.Concat(s.Policies, s.Objects, s.Cluster)
	for _, one := range s.Cases {
		sources = slices.Concat(sources, one.Objects, one.Cluster, []yaml.Node{one.Manifest, one.Expect.Stored})
	}
	for _, source := range sources {
		if source.Kind == yaml.ScalarNode {
			out = append(out, s.path(source.Value))
		}
	}
	if s.Configuration.given() {
		out = append(out, s.path(s.Configuration.value))
	}
	return out
}

package lint

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/policy"
)

// Formatted is a file as it is, and as its Rego is formatted.
type Formatted struct{ File, Before, After string }

// Format returns the files of sources whose Rego is not formatted as opa fmt has it. In a manifest two spaces stand for each of its
// tabs, which YAML would have kubectl print escaped. The error names file and line of Rego that cannot be formatted where it stands.
func Format(sources []*Source) (out []Formatted, err error) {
	byFile := map[string][]*Source{}
	var files []string
	for _, source := range sources {
		if byFile[source.File] == nil {
			files = append(files, source.File)
		}
		byFile[source.File] = append(byFile[source.File], source)
	}
	var errs []error
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		one := Formatted{File: file, Before: string(raw)}
		if one.After, err = formatted(one.Before, byFile[file]); err != nil {
			errs = append(errs, err)
			continue
		}
		if one.After != one.Before {
			out = append(out, one)
		}
	}
	return out, errors.Join(errs...)
}

// formatted returns the text of a file with its Rego formatted.
func formatted(text string, sources []*Source) (string, error) {
	// From the last to the first: each may have more lines then.
	slices.SortFunc(sources, func(a, b *Source) int { return cmp.Compare(b.at(1), a.at(1)) })
	for _, source := range sources {
		raw, err := format.SourceWithOpts(source.name(), []byte(source.Rego), format.Opts{
			RegoVersion: ast.RegoV1, ParserOptions: &ast.ParserOptions{RegoVersion: ast.RegoV1, Capabilities: policy.Capabilities()},
		})
		if err != nil {
			return "", fmt.Errorf("%s: %w", manifest.Place(source.File, source.at(1)), err)
		}
		rego := string(raw)
		if !source.inline() {
			return rego, nil
		}
		if text, err = source.replaced(text, spaced(source, rego)); err != nil {
			return "", err
		}
	}
	return text, nil
}

// spaced is Rego with two spaces for each tab that a line begins with, where it means the same.
func spaced(source *Source, rego string) string {
	lines := strings.Split(rego, "\n")
	for i, line := range lines {
		rest := strings.TrimLeft(line, "\t")
		lines[i] = strings.Repeat("  ", len(line)-len(rest)) + rest
	}
	out := strings.Join(lines, "\n")
	if module, err := policy.Parse(source.name(), out); err == nil && module != nil && module.Equal(source.module) {
		return out
	}
	return rego
}

// replaced returns the text of a manifest with other Rego in the place of that of a source.
func (s *Source) replaced(text, rego string) (string, error) {
	if rego == s.Rego {
		return text, nil
	}
	first, known := s.Object.Text("spec.rego", 1)
	if !known {
		return "", fmt.Errorf("%s: the Rego of EgressPolicy %s is not formatted, and can be so in a block alone (rego: |)", manifest.Place(s.File, s.at(1)), s.Object.GetName())
	}
	lines := strings.SplitAfter(text, "\n")
	old := strings.Split(strings.TrimSuffix(s.Rego, "\n"), "\n")
	from, to := first-1, first-1+len(old)
	if to > len(lines) {
		return "", s.unplaced()
	}
	indent, is := strings.CutSuffix(strings.TrimRight(lines[from], "\r\n"), old[0])
	if !is || strings.Trim(indent, " ") != "" {
		return "", s.unplaced()
	}
	var block []string
	for _, line := range strings.Split(strings.TrimSuffix(rego, "\n"), "\n") {
		if line != "" {
			line = indent + line
		}
		block = append(block, line+"\n")
	}
	out := strings.Join(slices.Concat(lines[:from], block, lines[to:]), "")
	return out, s.same(out, rego)
}

func (s *Source) unplaced() error {
	return fmt.Errorf("%s: the Rego of EgressPolicy %s cannot be formatted where it stands", manifest.Place(s.File, s.at(1)), s.Object.GetName())
}

// same holds that a manifest says what it said, but for the Rego.
func (s *Source) same(text, rego string) error {
	objects, err := manifest.Parse(s.File, []byte(text))
	if err != nil {
		return err
	}
	want := s.Object.DeepCopy()
	if err := unstructured.SetNestedField(want.Object, rego, "spec", "rego"); err != nil {
		return err
	}
	for _, object := range objects {
		if object.GetKind() == want.GetKind() && object.GetName() == want.GetName() {
			got, _, _ := unstructured.NestedString(object.Object, "spec", "rego")
			if strings.TrimRight(got, "\n") != strings.TrimRight(rego, "\n") {
				continue
			}
			is := object.DeepCopy()
			if err := unstructured.SetNestedField(is.Object, rego, "spec", "rego"); err == nil && equality.Semantic.DeepEqual(is.Object, want.Object) {
				return nil
			}
		}
	}
	return s.unplaced()
}

package lint

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/util"
	"sigs.k8s.io/json"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/internal/suite"
	"github.com/egress-governor/egress-governor/policies"
)

// Finding is something in Rego that goes against a rule.
type Finding struct {
	Rule    string `json:"rule"`
	File    string `json:"file"`
	Line    int    `json:"line"`
	Message string `json:"message"`
}

// The rules of the house; those of regal have its names.
const (
	// RuleStrict: it compiles as opa check --strict --schema has it, and the whole EgressPolicy fits.
	RuleStrict = "strict"
	// RulePure: it calls no built-in whose answer depends on more than its arguments, or whose work they do not bound.
	RulePure = "pure"
	// RulePackage: the package has the name of its place.
	RulePackage = "package"
	// RuleMetadata: METADATA says what a policy and its rules are for, and results have a code and a fix.
	RuleMetadata = "metadata"
	// RuleTested: a suite, or a test, stands beside it.
	RuleTested = "tested"
)

// Lint returns what in sources goes against the rules of the house, by file and line.
func Lint(sources []*Source) ([]Finding, error) {
	engine, err := policy.NewEngine(policies.Library())
	if err != nil {
		return nil, err
	}
	raw, err := fs.ReadFile(policies.Library(), "schemas/input.json")
	if err != nil {
		return nil, err
	}
	var schema any
	if err := util.Unmarshal(raw, &schema); err != nil {
		return nil, err
	}
	of := &linter{engine: engine, schema: schema}
	of.strict(sources)
	for _, source := range sources {
		if source.tests() || source.library() {
			continue
		}
		of.pure(source)
		of.pkg(source)
		of.metadata(source)
		of.flaws(source)
		of.tested(source)
	}
	return sorted(of.found), nil
}

// sorted returns findings by file and line.
func sorted(of []Finding) []Finding {
	slices.SortStableFunc(of, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Rule, b.Rule))
	})
	return slices.Compact(of)
}

type linter struct {
	engine *policy.Engine
	schema any
	found  []Finding
}

func (l *linter) find(rule string, source *Source, line int, format string, args ...any) {
	l.found = append(l.found, Finding{rule, source.File, source.at(line), fmt.Sprintf(format, args...)})
}

// strict compiles each EgressPolicy as it is in force, and files of Rego together.
func (l *linter) strict(sources []*Source) {
	files := map[string]*ast.Module{}
	byFile := map[string]*Source{}
	for _, source := range sources {
		switch {
		case source.inline():
			l.compile(map[string]*ast.Module{source.name(): source.module}, map[string]*Source{source.name(): source})
			l.fits(source)
		case !source.tests():
			files[source.name()], byFile[source.name()] = source.module, source
		}
	}
	if len(files) > 0 {
		l.compile(files, byFile)
	}
}

func (l *linter) compile(modules map[string]*ast.Module, by map[string]*Source) {
	copies := map[string]*ast.Module{}
	for name, module := range modules {
		copies[name] = module.Copy()
	}
	err := l.engine.Strict(copies, l.schema)
	if err == nil {
		return
	}
	for _, problem := range problems(err) {
		source := by[problem.file]
		if source == nil {
			source = by[slices.Sorted(maps.Keys(by))[0]]
		}
		l.find(RuleStrict, source, problem.line, "%s", problem.message)
	}
}

// fits holds the rest of an EgressPolicy to its Rego.
func (l *linter) fits(source *Source) {
	if slices.ContainsFunc(l.found, func(finding Finding) bool { return finding.File == source.File && finding.Rule == RuleStrict }) {
		return
	}
	raw, err := source.Object.MarshalJSON()
	of := &v1alpha1.EgressPolicy{}
	var unknown []error
	if err == nil {
		unknown, err = json.UnmarshalStrict(raw, of)
	}
	if err = errors.Join(append(unknown, err)...); err == nil {
		err = l.engine.Check(of)
	}
	if err != nil {
		l.found = append(l.found, Finding{RuleStrict, source.File, source.Object.Line, strings.ReplaceAll(err.Error(), "\n", "; ")})
		return
	}
	for _, unread := range l.engine.Unread(of) {
		l.found = append(l.found, Finding{RuleStrict, source.File, source.Object.Line, unread})
	}
}

func (l *linter) pure(source *Source) {
	for _, call := range policy.Impure(source.module) {
		l.find(RulePure, source, call.Location.Row, "policies may not call %s: what it answers depends on more than its arguments, or takes what they do not bound", call)
	}
}

// pkg holds the package of an EgressPolicy to its name, and that of a file to its folders.
func (l *linter) pkg(source *Source) {
	var path []string
	for _, term := range source.module.Package.Path[1:] {
		part, _ := term.Value.(ast.String)
		path = append(path, string(part))
	}
	line := source.module.Package.Location.Row
	if source.inline() {
		if want := strings.ReplaceAll(source.Object.GetName(), "-", "_"); path[len(path)-1] != want {
			l.find(RulePackage, source, line, "package %s is that of EgressPolicy %s: name it %s", strings.Join(path, "."), source.Object.GetName(), want)
		}
		return
	}
	folder, err := filepath.Abs(filepath.Dir(source.File))
	folders := strings.Split(filepath.ToSlash(folder), "/")
	if err != nil || len(folders) < len(path) || !slices.Equal(folders[len(folders)-len(path):], path) {
		l.find(RulePackage, source, line, "package %s stands in folder %s: keep it in %s", strings.Join(path, "."), filepath.Base(folder), strings.Join(path, "/"))
	}
}

func (l *linter) metadata(source *Source) {
	asking := policy.Asking(source.module)
	if len(asking) == 0 {
		// Others ask what is shared.
		return
	}
	line := source.module.Package.Location.Row
	about := of(source.module.Annotations, "package")
	if about == nil || about.Title == "" || about.Description == "" {
		l.find(RuleMetadata, source, line, "the METADATA of the package has no title, or no description")
	}
	fix := policy.Custom(source.module, "fix") != nil
	for _, rule := range asking {
		l.rule(source, rule, fix)
	}
}

// flaws are of files alone: an EgressPolicy's are among what does not fit it.
func (l *linter) flaws(source *Source) {
	if source.inline() {
		return
	}
	for _, flaw := range policy.Flaws(source.module) {
		l.find(RuleMetadata, source, flaw.Location.Row, "%s", flaw.Message)
	}
}

// of returns the annotations of a scope, nil for none.
func of(all []*ast.Annotations, scope string) *ast.Annotations {
	for _, each := range all {
		if each.Scope == scope {
			return each
		}
	}
	return nil
}

// rule holds a rule that a policy is asked by to what its results need.
func (l *linter) rule(source *Source, rule *ast.Rule, fix bool) {
	name, line := rule.Head.Ref()[0].String(), rule.Location.Row
	about := of(rule.Annotations, "rule")
	if about == nil {
		about = of(rule.Annotations, "document")
	}
	if about == nil {
		l.find(RuleMetadata, source, line, "%s has no METADATA: give it a title, a description and a fix", name)
		return
	}
	if about.Title == "" || about.Description == "" {
		l.find(RuleMetadata, source, line, "the METADATA of %s has no title, or no description", name)
	}
	made, written := policy.ReadsMetadata(rule), keys(rule)
	if made && about.Custom["msg"] == nil {
		l.find(RuleMetadata, source, line, "the METADATA of %s has no custom.msg, of which its results are made", name)
	}
	if !made && !written["code"] && about.Custom["code"] == nil {
		l.find(RuleMetadata, source, line, "the results of %s have no code: have them made of METADATA (data.policies.lib.result), or give them one", name)
	}
	if !fix && !written["fix"] && about.Custom["fix"] == nil {
		l.find(RuleMetadata, source, line, "neither the METADATA of %s nor that of the package has custom.fix", name)
	}
}

// keys are those of objects that a rule writes.
func keys(rule *ast.Rule) map[string]bool {
	out := map[string]bool{}
	ast.WalkTerms(rule, func(term *ast.Term) bool {
		if object, is := term.Value.(ast.Object); is {
			object.Foreach(func(key, _ *ast.Term) {
				if text, is := key.Value.(ast.String); is {
					out[string(text)] = true
				}
			})
		}
		return false
	})
	return out
}

// tested looks for a suite of an EgressPolicy, or for a test of a file.
func (l *linter) tested(source *Source) {
	folder := filepath.Dir(source.File)
	if !source.inline() {
		test := strings.TrimSuffix(source.File, ".rego") + "_test.rego"
		if _, err := os.Stat(test); err != nil {
			l.find(RuleTested, source, source.module.Package.Location.Row, "no test stands beside it: %s", filepath.Base(test))
		}
		return
	}
	for _, beside := range []string{folder, filepath.Join(folder, "tests")} {
		for _, suffix := range suite.Suffixes {
			files, _ := filepath.Glob(filepath.Join(beside, "*"+suffix)) // the pattern is well-formed
			for _, file := range files {
				if names(file, source.File) {
					return
				}
			}
		}
	}
	l.found = append(l.found, Finding{RuleTested, source.File, source.Object.Line, "no suite beside it, or in tests/, is about it (egressctl test)"})
}

// names says whether a suite is about the policies of a file.
func names(of, file string) bool {
	one, err := suite.Read(of)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(one.Reads(), func(path string) bool {
		return filepath.Clean(path) == filepath.Clean(file) || filepath.Clean(path) == filepath.Dir(file)
	})
}

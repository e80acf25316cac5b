package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// What a policy reads that is never there, and what it is given and never reads. Both are told to authors: what is stored already
// goes on as it is.

// schemaFile is that of the input in the library's files.
const schemaFile = "schemas/input.json"

// loadSchema reads the schema of the input, nil where the files have none.
func loadSchema(files fs.FS) (*ast.SchemaSet, error) {
	raw, err := fs.ReadFile(files, schemaFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var schema any
	if err == nil {
		err = json.Unmarshal(raw, &schema)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", schemaFile, err)
	}
	out := ast.NewSchemaSet()
	out.Put(ast.SchemaRootRef, schema)
	return out, nil
}

// readsInput returns an error for Rego that reads fields of the input that it never has, with file and line and with those that it
// has.
func (l *library) readsInput(modules map[string]*ast.Module) error {
	if l.schema == nil {
		return nil
	}
	_, err := l.compilerOf(modules, nil, func(of *ast.Compiler) *ast.Compiler { return of.WithSchemas(l.schema) })
	return err
}

// CheckBundle says what is wrong with a bundle for its author: what SetBundle says, and fields of the input that it never has. The
// digest tells it from others.
func (e *Engine) CheckBundle(name string, of *bundle.Bundle) (digest string, err error) {
	library := e.library.Load()
	unpacked, err := library.unpack(name, of)
	if err != nil {
		return "", err
	}
	// A mask's input is a decision.
	masks, modules := map[string]string{}, maps.Clone(unpacked.modules)
	for _, module := range of.Modules {
		if parsed := unpacked.modules[name+"/"+strings.TrimPrefix(module.Path, "/")]; parsed != nil && parsed.Package.Path.Equal(MaskPackage) {
			file := parsed.Package.Location.File
			masks[file] = string(module.Raw)
			delete(modules, file)
		}
	}
	if _, err := CompileMask(masks); err != nil {
		return "", err
	}
	for _, file := range slices.Sorted(maps.Keys(modules)) {
		if err := errors.Join(speaks(modules[file]), says(modules[file], nil), described(modules[file])); err != nil {
			return "", err
		}
	}
	return unpacked.digest, library.readsInput(modules)
}

// maxUnread is how many parameters are told of that are not read.
const maxUnread = 10

// Unread returns what the author of an EgressPolicy may not have meant: kinds that its policy is not for, a client that it decides by and is not
// asked for, and parameters that it never reads.
func (e *Engine) Unread(of *v1alpha1.EgressPolicy) (warnings []string) {
	library := e.library.Load()
	module, from, err := library.module(of)
	if err != nil {
		return nil
	}
	modules := []*ast.Module{module}
	if from != nil {
		modules = slices.Collect(maps.Values(from.modules))
	}
	warnings = append(unjudged(of.Spec.Match.Kinds, module), unasked(of.Spec.Match, modules)...)
	if of.Spec.Parameters == nil {
		return warnings
	}
	read, all := map[string]bool{}, false
	for _, module := range append(modules, slices.Collect(maps.Values(library.shared))...) {
		all = parametersRead(module, read) || all
	}
	var given map[string]json.RawMessage
	if all || json.Unmarshal(of.Spec.Parameters.Raw, &given) != nil {
		return warnings
	}
	maps.DeleteFunc(given, func(name string, _ json.RawMessage) bool { return read[name] })
	for i, name := range slices.Sorted(maps.Keys(given)) {
		if i == maxUnread {
			return append(warnings, fmt.Sprintf("spec.parameters: it never reads %d others", len(given)-maxUnread))
		}
		warnings = append(warnings, fmt.Sprintf("spec.parameters.%.100s: %s never reads it; it reads %s", name, module.Package.Location.File, listed(read)))
	}
	return warnings
}

// unjudged tells of kinds that a policy is asked about and, by its METADATA, is not for.
func unjudged(kinds []v1alpha1.Kind, module *ast.Module) (warnings []string) {
	if custom(module, "kinds") == nil {
		return nil // nobody knows
	}
	judged, err := kindsOf(module)
	if err != nil {
		return nil
	}
	for i, kind := range kinds {
		if !slices.Contains(judged, kind) {
			warnings = append(warnings, fmt.Sprintf("spec.match.kinds[%d]: %s is not for %s, and says nothing of it; by its METADATA it is for %s", i, module.Package.Location.File, kind, joined(judged)))
		}
	}
	return warnings
}

var (
	clientRef       = ast.MustParseRef("input.client")
	clientLabelsRef = ast.MustParseRef("input.client.labels")
)

// unasked tells of Rego that goes by labels of the client where match selects every namespace: then it is asked for the object's own alone,
// and not for those that the object is exported to.
func unasked(match v1alpha1.Match, modules []*ast.Module) []string {
	if match.NamespaceSelector != nil || len(match.Namespaces) > 0 {
		return nil
	}
	var first *ast.Location
	for _, module := range modules {
		ast.WalkTerms(module, func(term *ast.Term) bool {
			ref, is := term.Value.(ast.Ref)
			reads := is && (ref.Equal(clientRef) || ref.HasPrefix(clientLabelsRef) || len(ref) > len(clientRef) && ref.HasPrefix(clientRef) && !isString(ref[len(clientRef)]))
			if reads && (first == nil || term.Location.Compare(first) < 0) {
				first = term.Location
			}
			return false
		})
	}
	if first == nil {
		return nil
	}
	return []string{fmt.Sprintf("spec.match: %s:%d decides by input.client, and is asked for the object's own namespace alone, since spec.match selects every one: what that exports to others passes; "+
		"name by namespaceSelector the labels that it is for", first.File, first.Row)}
}

func joined(kinds []v1alpha1.Kind) string {
	out := make([]string, len(kinds))
	for i, kind := range kinds {
		out[i] = string(kind)
	}
	return strings.Join(out, ", ")
}

func listed(names map[string]bool) string {
	if len(names) == 0 {
		return "none"
	}
	out := slices.Sorted(maps.Keys(names))
	return strings.Join(out[:min(len(out), 2*maxUnread)], ", ")
}

var parametersRef = ast.MustParseRef("input.parameters")

// parametersRead notes the parameters that a module reads by name, and returns whether it may read any other, too.
func parametersRead(module *ast.Module, into map[string]bool) (all bool) {
	var visitor *ast.GenericVisitor
	visitor = ast.NewGenericVisitor(func(x any) bool {
		switch x := x.(type) {
		case ast.Var:
			all = all || x.Equal(ast.InputRootDocument.Value)
		case *ast.Expr:
			if terms, is := x.Terms.([]*ast.Term); is {
				return gets(terms, into)
			}
		case ast.Call:
			return gets(x, into)
		case ast.Ref:
			switch {
			case !x.HasPrefix(ast.InputRootRef):
			case len(x) == 1 || !isString(x[1]):
				all = true
			case !x.HasPrefix(parametersRef):
			case len(x) == 2 || !isString(x[2]):
				all = true
			default:
				name, _ := x[2].Value.(ast.String)
				into[string(name)] = true
			}
			for _, part := range x[1:] {
				visitor.Walk(part)
			}
			return true
		}
		return false
	})
	for _, rule := range module.Rules {
		visitor.Walk(rule)
	}
	return all
}

// gets notes object.get of a parameter by its name, and returns whether it was that.
func gets(call []*ast.Term, into map[string]bool) bool {
	if len(call) < 4 || call[0].Value.String() != "object.get" || !isParameters(call[1]) {
		return false
	}
	name, is := call[2].Value.(ast.String)
	if is {
		into[string(name)] = true
	}
	return is
}

func isParameters(term *ast.Term) bool {
	ref, is := term.Value.(ast.Ref)
	return is && ref.Equal(parametersRef)
}

package policy

import (
	"fmt"
	"maps"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Parse reads a module of Rego as policies are read.
func Parse(name, source string) (*ast.Module, error) { return parse(name, source) }

// Strict compiles modules together with what all policies of the library share, as opa check --strict --schema does, with the
// built-ins that policies may call. The error is ast.Errors.
func (e *Engine) Strict(modules map[string]*ast.Module, schema any) error {
	all := maps.Clone(modules)
	for name, shared := range e.library.Load().shared {
		own := func(module *ast.Module) bool { return module.Package.Path.Equal(shared.Package.Path) }
		if !slices.ContainsFunc(slices.Collect(maps.Values(modules)), own) {
			all[name] = shared.Copy()
		}
	}
	schemas := ast.NewSchemaSet()
	schemas.Put(ast.SchemaRootRef, schema)
	compiler := ast.NewCompiler().WithCapabilities(Capabilities()).WithStrict(true).WithSchemas(schemas)
	if compiler.Compile(all); compiler.Failed() {
		return compiler.Errors
	}
	return nil
}

// Impure returns the calls of a module of built-ins that OPA has and policies may not call.
func Impure(module *ast.Module) (out []*ast.Term) {
	known, allowed := map[string]bool{}, map[string]bool{}
	for _, builtin := range ast.CapabilitiesForThisVersion().Builtins {
		known[builtin.Name] = true
	}
	for _, builtin := range Capabilities().Builtins {
		allowed[builtin.Name] = true
	}
	operator := func(term *ast.Term) {
		if name := term.String(); known[name] && !allowed[name] {
			out = append(out, term)
		}
	}
	ast.WalkExprs(module, func(expr *ast.Expr) bool {
		if terms, is := expr.Terms.([]*ast.Term); is {
			operator(terms[0])
		}
		return false
	})
	ast.WalkTerms(module, func(term *ast.Term) bool {
		if call, is := term.Value.(ast.Call); is {
			operator(call[0])
		}
		return false
	})
	return out
}

// Asking returns the rules that a policy is asked by, deny and warn, in their order.
func Asking(module *ast.Module) (out []*ast.Rule) {
	for _, rule := range module.Rules {
		if name := rule.Head.Ref()[0].String(); name == "deny" || name == "warn" {
			out = append(out, rule)
		}
	}
	return out
}

// ReadsMetadata says whether a rule has its results made of its own METADATA, as data.policies.lib.result makes them.
func ReadsMetadata(rule *ast.Rule) bool { return readsMetadata(rule) }

// Custom returns a custom field of the package's METADATA, nil for none.
func Custom(module *ast.Module, key string) any { return custom(module, key) }

// Only returns an engine in which no other policy is in force. The error is that of one that is not.
func (e *Engine) Only(name string) (*Engine, error) {
	policy := e.snapshot.Load().named(name)
	if policy == nil {
		return nil, fmt.Errorf("no EgressPolicy %q is in force", name)
	}
	out := e.Clone()
	out.snapshot.Store(newSnapshot([]*compiled{policy}))
	return out, nil
}

package policy

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
)

// inputTime is what an answer changes with though nothing else does.
var inputTime = ast.MustParseRef("input.time")

// Timed returns the policies in force whose answers may change with the time, by name.
func (e *Engine) Timed() (out []string) {
	for _, policy := range e.snapshot.Load().policies {
		if policy.timed {
			out = append(out, policy.name)
		}
	}
	slices.Sort(out)
	return out
}

// timed says whether the rules of a package, or any that these go by, read the time.
func timed(compiler *ast.Compiler, of *ast.Module) bool {
	seen := map[*ast.Rule]bool{}
	var visit func(rule *ast.Rule) bool
	visit = func(rule *ast.Rule) bool {
		if seen[rule] {
			return false
		}
		seen[rule] = true
		if readsTime(rule) {
			return true
		}
		for other := range compiler.Graph.Dependencies(rule) {
			if next, is := other.(*ast.Rule); is && visit(next) {
				return true
			}
		}
		return false
	}
	for _, rule := range compiler.Modules[of.Package.Location.File].Rules {
		if visit(rule) {
			return true
		}
	}
	return false
}

// readsTime says whether a rule refers to the time, or to some part of the input that may be it.
func readsTime(rule *ast.Rule) (out bool) {
	ast.WalkRefs(rule, func(ref ast.Ref) bool {
		if !ref.HasPrefix(ast.InputRootRef) {
			return out
		}
		out = out || len(ref) == 1 || ref.HasPrefix(inputTime) || !isString(ref[1])
		return out
	})
	return out
}

func isString(term *ast.Term) bool {
	_, is := term.Value.(ast.String)
	return is
}

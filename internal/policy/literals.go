package policy

import (
	"errors"
	"fmt"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/types"
)

// partsOfResult are the texts that a result may have.
var partsOfResult = []string{"msg", "code", "field", "fix"}

// says returns an error for deny and warn of which it is known that whatever they say is no result, as it stands there or, where there is a
// compiler, by its type: the policy would fail for it.
func says(module *ast.Module, compiler *ast.Compiler) error {
	var errs []error
	for _, rule := range Asking(module) {
		why := unfitResult(rule.Head.Key)
		if why == "" && compiler != nil {
			if set, is := compiler.TypeEnv.GetByRef(rule.Ref()).(*types.Set); is && !mayBeResult(set.Of()) {
				why = "this is " + article(types.Sprint(set.Of()))
			}
		}
		if why != "" {
			errs = append(errs, fmt.Errorf("rego: %s: a result of %s is a text, or an object with msg: %s", rule.Location, rule.Head.Name, why))
		}
	}
	return errors.Join(errs...)
}

// unfitResult says why a term can be no result, empty where it may be one.
func unfitResult(term *ast.Term) string {
	if term == nil {
		return ""
	}
	switch value := term.Value.(type) {
	case *ast.ArrayComprehension:
		return "this is an array"
	case *ast.SetComprehension:
		return "this is a set"
	case ast.Null, ast.Boolean, ast.Number, *ast.Array, ast.Set:
		return "this is " + article(ast.ValueName(term.Value))
	case ast.Object:
		return unfitObject(value)
	}
	return ""
}

func unfitObject(of ast.Object) string {
	known := !slices.ContainsFunc(of.Keys(), func(key *ast.Term) bool {
		_, text := key.Value.(ast.String)
		return !text
	})
	for _, part := range partsOfResult {
		value := of.Get(ast.InternedTerm(part))
		switch {
		case value == nil && part == "msg" && known:
			return "this has none"
		case value == nil:
			continue
		}
		switch value.Value.(type) {
		case ast.String, ast.Var, ast.Ref, ast.Call, *ast.TemplateString:
		default:
			return fmt.Sprintf("its %s is %s", part, article(ast.ValueName(value.Value)))
		}
	}
	return ""
}

// mayBeResult says whether a value of a type may be a result.
func mayBeResult(of types.Type) bool {
	switch of := of.(type) {
	case types.Null, types.Boolean, types.Number, *types.Array, *types.Set:
		return false
	case types.Any:
		return len(of) == 0 || slices.ContainsFunc(of, mayBeResult)
	}
	return true
}

func article(name string) string {
	switch name[0] {
	case 'a', 'e', 'i', 'o', 'u':
		return "an " + name
	}
	return "a " + name
}

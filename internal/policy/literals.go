package policy

import (
	"errors"
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/types"
)

// partsOfResult are the texts that a result may have.
var partsOfResult = []string{"msg", "code", "field", "fix"}

// says returns an error for rules whose results, as they stand there, are none: the policy would fail for whatever they say.
func says(module *ast.Module) error {
	var errs []error
	for _, rule := range Asking(module) {
		if why := unfitResult(rule.Head.Key); why != "" {
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
	known := true
	_ = of.Iter(func(key, _ *ast.Term) error { // never fails
		_, text := key.Value.(ast.String)
		known = known && text
		return nil
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

// mayResult returns an error for deny and warn of which the compiler knows that whatever they say is no result.
func mayResult(compiler *ast.Compiler, module *ast.Module) error {
	var errs []error
	for _, rule := range Asking(module) {
		set, is := compiler.TypeEnv.GetByRef(rule.Ref()).(*types.Set)
		if is && !mayBeResult(set.Of()) {
			errs = append(errs, fmt.Errorf("rego: %s: a result of %s is a text, or an object with msg: this is %s", rule.Location, rule.Head.Name, article(types.Sprint(set.Of()))))
		}
	}
	return errors.Join(errs...)
}

// mayBeResult says whether a value of a type may be a result.
func mayBeResult(of types.Type) bool {
	switch of := of.(type) {
	case types.Null, types.Boolean, types.Number, *types.Array, *types.Set:
		return false
	case types.Any:
		if len(of) == 0 {
			return true
		}
		for _, one := range of {
			if mayBeResult(one) {
				return true
			}
		}
		return false
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

package policy

import (
	"maps"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// Description is what a policy of the library says of itself in its METADATA.
type Description struct {
	Name        string          `json:"name"`
	Title       string          `json:"title"`
	Description string          `json:"description"`
	Fix         string          `json:"fix,omitempty"`
	Kinds       []v1alpha1.Kind `json:"kinds"`
	// Codes are those of its results.
	Codes []string `json:"codes"`
	// Rules are what its rules say of themselves, as they stand.
	Rules []Rule `json:"rules,omitempty"`
	// Baseline is what violations do at most where the policy is in force without being asked for; empty for one that is not.
	Baseline v1alpha1.Enforcement `json:"baseline,omitempty"`
	// Parameters are their JSON Schema, nil for none.
	Parameters map[string]any `json:"parameters,omitempty"`
}

// Rule is what a rule says of itself, and so of its results.
type Rule struct {
	Code        string `json:"code"`
	Title       string `json:"title"`
	Description string `json:"description"`
}

// Describe returns what the policies of the library say of themselves, by name. The error is that of METADATA of another form.
func (e *Engine) Describe() (out []Description, err error) {
	for _, name := range slices.Sorted(maps.Keys(e.library.Load().policies)) {
		module := e.library.Load().policies[name]
		of := Description{Name: name}
		for _, annotations := range module.Annotations {
			if annotations.Scope == "package" {
				of.Title, of.Description = annotations.Title, annotations.Description
			}
		}
		of.Fix, _ = custom(module, "fix").(string)
		of.Codes, _ = codes(module)
		of.Rules = rulesOf(module)
		if of.Kinds, err = kindsOf(module); err != nil {
			return nil, err
		}
		if of.Parameters, err = parameterSchema(module); err != nil {
			return nil, err
		}
		if custom(module, "baseline") != nil {
			said := standard{Enforcement: v1alpha1.Deny}
			if err := customInto(module, "baseline", &said); err != nil {
				return nil, err
			}
			of.Baseline = said.Enforcement
		}
		out = append(out, of)
	}
	return out, nil
}

// rulesOf returns the rules of a module whose results come from their METADATA.
func rulesOf(module *ast.Module) (out []Rule) {
	for _, rule := range module.Rules {
		for _, annotations := range rule.Annotations {
			if code := codeOf(annotations.Title); code != "" && readsMetadata(rule) {
				out = append(out, Rule{code, annotations.Title, annotations.Description})
			}
		}
	}
	return out
}

package policy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// resultPackage has the helper that makes results of a rule's METADATA.
var resultPackage = ast.MustParseRef("data.policies.lib.result")

// speaks returns an error for rules that have their results made of METADATA which does not have them: it would come out only once
// a rule had something to say, and fail the policy then.
func speaks(module *ast.Module) error {
	helper := calledIn(module, resultPackage)
	if helper == nil {
		return nil
	}
	var errs []error
	for _, rule := range module.Rules {
		if !readsMetadata(rule) || !calls(rule, helper) {
			continue
		}
		for _, missing := range missingMetadata(rule) {
			errs = append(errs, fmt.Errorf("rego: %s: the METADATA of this rule has no %s, and its results are made of that", rule.Location, missing))
		}
	}
	return errors.Join(errs...)
}

func missingMetadata(rule *ast.Rule) []string {
	missing := []string{"title", "custom.msg"}
	for _, annotations := range rule.Annotations {
		if annotations.Scope != "rule" {
			continue
		}
		missing = nil
		if strings.TrimSpace(annotations.Title) == "" {
			missing = append(missing, "title")
		}
		if said, is := annotations.Custom["msg"].(string); !is || said == "" {
			missing = append(missing, "custom.msg")
		}
	}
	return missing
}

// calledIn returns the name under which a module calls the function of of a package, nil where it does not import that.
func calledIn(module *ast.Module, of ast.Ref) ast.Ref {
	for _, imported := range module.Imports {
		if path, is := imported.Path.Value.(ast.Ref); is && path.Equal(of) {
			return ast.Ref{ast.VarTerm(string(imported.Name())), ast.InternedTerm("of")}
		}
	}
	return nil
}

func calls(rule *ast.Rule, function ast.Ref) (out bool) {
	ast.WalkRefs(rule, func(ref ast.Ref) bool {
		out = out || ref.Equal(function)
		return out
	})
	return out
}

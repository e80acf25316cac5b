package policy

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// wording is what an EgressPolicy says in the place of its policy, and beside it.
type wording struct {
	docs     string
	messages map[string]v1alpha1.Message
}

var secure = regexp.MustCompile(`^https://[^\s/?#]+\S*$`)

// newWording reads what needs no compiler. On error it says nothing.
func newWording(of v1alpha1.EgressPolicySpec) (wording, error) {
	var errs []error
	if of.Docs != "" && !secure.MatchString(of.Docs) {
		errs = append(errs, fmt.Errorf("spec.docs: must be an https URL, is %q", of.Docs))
	}
	for _, code := range slices.Sorted(maps.Keys(of.Messages)) {
		if message := of.Messages[code]; message == "" || strings.ContainsAny(string(message), "%\n") {
			errs = append(errs, fmt.Errorf("spec.messages.%s: a message is a sentence on one line, without %%", code))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return wording{}, err
	}
	return wording{of.Docs, of.Messages}, nil
}

// say puts the words into a violation.
func (w *wording) say(violation *Violation) {
	violation.Docs = w.docs
	if message := w.messages[violation.Code]; message != "" {
		violation.Message = string(message)
	}
}

// fit returns an error for messages of codes that no rule of the policy has.
func (w *wording) fit(module *ast.Module) error {
	known, open := codes(module)
	if open {
		return nil
	}
	for _, code := range slices.Sorted(maps.Keys(w.messages)) {
		if slices.Contains(known, code) {
			continue
		}
		if len(known) == 0 {
			return fmt.Errorf("spec.messages: no rule of the policy has a code, and none %q", code)
		}
		return fmt.Errorf("spec.messages: no rule of the policy has the code %q; it has %s", code, strings.Join(known, ", "))
	}
	return nil
}

var (
	ruleMetadata = ast.MustParseRef("rego.metadata.rule")
	notInCode    = regexp.MustCompile(`[^a-z0-9]+`)
)

// codes returns those of a policy's results, sorted: the titles of rules that have their results made of their METADATA, as
// data.policies.lib.result makes them, and those that are written out. Where some are made otherwise, they are open.
func codes(module *ast.Module) (out []string, open bool) {
	for _, rule := range rulesOf(module) {
		out = append(out, rule.Code)
	}
	ast.WalkTerms(module, func(term *ast.Term) bool {
		if object, is := term.Value.(ast.Object); is {
			if code := object.Get(ast.InternedTerm("code")); code != nil {
				text, written := code.Value.(ast.String)
				out, open = append(out, string(text)), open || !written
			}
		}
		return false
	})
	out = slices.DeleteFunc(out, func(code string) bool { return code == "" })
	slices.Sort(out)
	return slices.Compact(out), open
}

// codeOf is a title as data.policies.lib.result makes a code of it.
func codeOf(title string) string {
	return strings.Trim(notInCode.ReplaceAllString(strings.ToLower(title), "-"), "-")
}

func readsMetadata(node any) (out bool) {
	ast.WalkRefs(node, func(ref ast.Ref) bool {
		out = out || ref.HasPrefix(ruleMetadata)
		return out
	})
	return out
}

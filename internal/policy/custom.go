package policy

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// The fields of custom that count, in the METADATA of a package and of a rule. Others are their author's own.
var (
	ofPackage = []string{"baseline", "fix", "kinds", "parameters"}
	ofRule    = []string{"code", "fix", "msg"}
)

// described returns an error for METADATA by which something is meant that nobody reads: a field whose name is nearly one that
// counts, one that counts elsewhere, and templates that another number of values is given to.
func described(module *ast.Module) error {
	var errs []error
	for _, flaw := range Flaws(module) {
		errs = append(errs, fmt.Errorf("rego: %s: %s", flaw.Location, flaw.Message))
	}
	return errors.Join(errs...)
}

// Flaw is something in a module that its author did not mean.
type Flaw struct {
	Location *ast.Location
	Message  string
}

// Flaws returns what of a module's METADATA nobody reads, and which templates do not fit their values.
func Flaws(module *ast.Module) (out []Flaw) {
	for _, annotations := range module.Annotations {
		known, elsewhere, where := ofRule, ofPackage, "the package"
		switch annotations.Scope {
		case "package":
			known, elsewhere, where = ofPackage, ofRule, "a rule"
		case "rule", "document":
		default:
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(annotations.Custom)) {
			switch {
			case slices.Contains(known, key):
			case slices.Contains(elsewhere, key):
				out = append(out, Flaw{annotations.Location, fmt.Sprintf("custom.%s stands in the METADATA of %s", key, where)})
			default:
				if near := nearest(key, known); near != "" {
					out = append(out, Flaw{annotations.Location, fmt.Sprintf("custom.%s is read by nobody: write custom.%s, or call what is your own otherwise", key, near)})
				}
			}
		}
	}
	if helper := calledIn(module, resultPackage); helper != nil {
		for _, rule := range module.Rules {
			out = append(out, unfilled(rule, helper)...)
		}
	}
	return out
}

// unfilled returns the templates of a rule whose verbs and values are not as many. Values that are no list in the call are known
// only when the rule says something.
func unfilled(rule *ast.Rule, helper ast.Ref) (out []Flaw) {
	about := annotationsOf(rule)
	if about == nil {
		return nil
	}
	each := func(terms []*ast.Term) {
		name, is := terms[0].Value.(ast.Ref)
		if !is || !name.Equal(helper) || len(terms) < 5 || !readsMetadata(terms[1]) {
			return
		}
		for i, key := range []string{"msg", "fix"} {
			template, _ := about.Custom[key].(string)
			values, listed := terms[3+i].Value.(*ast.Array)
			if template == "" || !listed {
				continue
			}
			switch verbs, known := verbsOf(template); {
			case !known:
				out = append(out, Flaw{terms[0].Location, fmt.Sprintf("custom.%s is no template of sprintf: %q; write %%%% for a per cent sign", key, template)})
			case verbs != values.Len():
				out = append(out, Flaw{terms[0].Location, fmt.Sprintf("custom.%s takes %d values and is given %d: %q", key, verbs, values.Len(), template)})
			}
		}
	}
	ast.WalkExprs(rule, func(expr *ast.Expr) bool {
		if terms, is := expr.Terms.([]*ast.Term); is {
			each(terms)
		}
		return false
	})
	ast.WalkTerms(rule, func(term *ast.Term) bool {
		if call, is := term.Value.(ast.Call); is {
			each(call)
		}
		return false
	})
	return out
}

func annotationsOf(rule *ast.Rule) *ast.Annotations {
	for _, annotations := range rule.Annotations {
		if annotations.Scope == "rule" {
			return annotations
		}
	}
	return nil
}

// mostVerbs is how many a template has at most whose verbs are counted.
const mostVerbs = 32

var misfit = regexp.MustCompile(`%!(.?\(MISSING\)|\(EXTRA |\(BADINDEX\)|\(NOVERB\)|.\(BADINDEX\))`)

// silent is a value that every verb takes.
type silent struct{}

// Format implements fmt.Formatter.
func (silent) Format(fmt.State, rune) {}

// verbsOf returns how many values a template takes, by the rules of sprintf itself; false where no number fits.
func verbsOf(template string) (verbs int, known bool) {
	for verbs := range mostVerbs + 1 {
		if !misfit.MatchString(fmt.Sprintf(template, slices.Repeat([]any{silent{}}, verbs)...)) {
			return verbs, true
		}
	}
	return 0, false
}

// nearest returns the known name that a name was meant to be, "" for none.
func nearest(name string, known []string) string {
	if name == "message" && slices.Contains(known, "msg") {
		return "msg"
	}
	for _, is := range known {
		plain := strings.ToLower(strings.Trim(name, "-_"))
		if edits(plain, is) <= max(1, len(is)/4) || len(plain) >= 3 && len(plain) < len(is) && shortens(plain, is) {
			return is
		}
	}
	return ""
}

// shortens says whether the letters of a name stand in a longer one, from its first on, in their order.
func shortens(name, longer string) bool {
	if name[0] != longer[0] {
		return false
	}
	for _, letter := range longer {
		if name != "" && rune(name[0]) == letter {
			name = name[1:]
		}
	}
	return name == ""
}

// edits is how many letters must be changed, left out or put in to make one name of another.
func edits(from, to string) int {
	row := make([]int, len(to)+1)
	for i := range row {
		row[i] = i
	}
	for i := range len(from) {
		last := row[0]
		row[0]++
		for j := range len(to) {
			above := row[j+1]
			changed := last
			if from[i] != to[j] {
				changed++
			}
			row[j+1] = min(changed, above+1, row[j]+1)
			last = above
		}
	}
	return row[len(to)]
}

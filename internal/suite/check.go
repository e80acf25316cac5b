package suite

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/egress-governor/egress-governor/internal/manifest"
)

var (
	lined   = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?`)
	unknown = regexp.MustCompile(`^field (\S+) not found in type suite\.(\w+)$`)
)

// nouns are what the parts of a suite are called.
var nouns = map[string]string{"Suite": "suite", "Case": "case", "Expect": "case's expect", "Finding": "finding", "user": "user"}

// fieldsOf returns the fields of a part of a suite.
func fieldsOf(part string) (out []string) {
	of := map[string]reflect.Type{
		"Suite": reflect.TypeFor[Suite](), "Case": reflect.TypeFor[Case](), "Expect": reflect.TypeFor[Expect](),
		"Finding": reflect.TypeFor[Finding](), "user": reflect.TypeFor[user](),
	}[part]
	for _, field := range reflect.VisibleFields(of) {
		if tag := field.Tag.Get("yaml"); tag != "-" && tag != ",inline" && tag != "" {
			out = append(out, tag)
		}
	}
	return out
}

// wrong says errors of the reader of YAML as compilers do, and of fields of another kind what they must be.
func wrong(file string, raw []byte, err error) error {
	said := []string{err.Error()}
	var typed *yaml.TypeError
	if errors.As(err, &typed) {
		said = typed.Errors
	}
	errs := misshapen(file, raw)
	told := len(errs) > 0
	for _, each := range said {
		match := lined.FindStringSubmatch(each)
		place := file
		if match[1] != "" {
			place += ":" + match[1]
		}
		if told && strings.HasPrefix(each[len(match[0]):], "cannot unmarshal ") {
			continue
		}
		each = unknown.ReplaceAllStringFunc(each[len(match[0]):], func(of string) string {
			parts := unknown.FindStringSubmatch(of)
			return fmt.Sprintf("unknown field %q; a %s has %s", parts[1], nouns[parts[2]], strings.Join(fieldsOf(parts[2]), ", "))
		})
		errs = append(errs, fmt.Errorf("%s: %s", place, each))
	}
	return errors.Join(errs...)
}

// check finds what could not fail, and what cannot be.
func (s *Suite) check() error {
	var errs []error
	add := func(line int, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", manifest.Place(s.File, line), fmt.Sprintf(format, args...)))
	}
	if len(s.Cases) == 0 {
		add(1, "the suite has no cases")
	}
	oneOf(add, "enforcement", s.Enforcement, "Deny", "Warn", "Audit")
	oneOf(add, "baseline", s.Baseline, "Deny", "Warn", "Audit", "Off")
	names := map[string]bool{}
	for i := range s.Cases {
		one := &s.Cases[i]
		line := one.line
		switch {
		case !one.Name.given():
			add(line, "case %d has no name", i+1)
		case names[one.Name.value]:
			add(line, "case %q: another has this name", one.Name.value)
		case absent(one.Manifest):
			add(line, "case %q has no manifest", one.Name.value)
		case one.Expect.empty():
			add(line, "case %q expects nothing, so it cannot fail: give expect.decision", one.Name.value)
		case !absent(one.Parameters) && len(s.Policies) != 1:
			add(one.Parameters.Line, "parameters are those of the suite's EgressPolicy, of which it has %d", len(s.Policies))
		}
		names[one.Name.value] = true
		oneOf(add, "decision", one.Expect.Decision, decisions...)
		for j, finding := range one.Expect.listed() {
			if !finding.given() {
				add(line, "case %q: findings[%d] is empty", one.Name.value, j)
			}
		}
		if _, err := time.Parse(time.RFC3339, one.Time.value); one.Time.given() && err != nil {
			add(one.Time.line, "time must be such as 2027-01-31T00:00:00Z, is %q", one.Time.value)
		}
	}
	return errors.Join(errs...)
}

func oneOf(add func(line int, format string, args ...any), field string, of text, allowed ...string) {
	if of.given() && !slices.Contains(allowed, of.value) {
		add(of.line, "%s must be %s, is %q", field, strings.Join(allowed, " or "), of.value)
	}
}

// absent says whether nothing is given, or nothing by name.
func absent(node yaml.Node) bool {
	return node.IsZero() || node.Kind == yaml.ScalarNode && (node.Value == "" || node.Tag == "!!null")
}

// empty says whether nothing can come that is not expected.
func (e *Expect) empty() bool {
	stored := absent(e.Stored) || e.Stored.Kind != yaml.AliasNode && e.Stored.Value == "" && len(e.Stored.Content) == 0
	return !e.Decision.given() && !e.given() && e.Findings == nil && stored
}

func (e *Expect) listed() []Finding {
	if e.Findings == nil {
		return nil
	}
	return *e.Findings
}

func (f Finding) given() bool {
	return f.Policy.given() || f.Code.given() || f.Field.given() || f.Message.given()
}

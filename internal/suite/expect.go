package suite

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/review"
)

// ungoverned is the decision where the webhook is not asked.
const ungoverned = "ungoverned"

// decisions are what can be decided. Warned and audited objects are stored, and a policy says something of them.
var decisions = []string{
	string(review.Allowed), string(review.Warned), string(review.Audited), string(review.Denied), string(review.Refused), string(review.Failed), ungoverned,
}

func decision(of dryrun.Answer) string {
	switch of.Verdict {
	case "":
		return ungoverned
	case review.Allowed:
		for _, effect := range []review.Effect{review.Warned, review.Audited} {
			if slices.ContainsFunc(of.Findings, func(finding review.Finding) bool { return finding.Effect == effect }) {
				return string(effect)
			}
		}
	}
	return string(of.Verdict)
}

// hold holds an answer to what is expected of it.
func (r *running) hold(session *dryrun.Session, answer dryrun.Answer) error {
	expect := &r.of.Expect
	if got := decision(answer); expect.Decision.given() && got != expect.Decision.value {
		r.fail(expect.Decision.line, "expected decision %s, got %s%s", expect.Decision.value, got, found(answer))
	}
	if expect.given() && !expect.among(answer) {
		r.fail(expect.line(), "expected %s, got%s", expect.Finding, cmp.Or(found(answer), " no finding"))
	}
	r.findings(answer)
	if absent(expect.Stored) {
		return nil
	}
	at := &expect.Stored
	if at.Kind == yaml.AliasNode {
		at = at.Alias
	}
	stored, err := session.Stored(answer.Object)
	if err != nil {
		return err
	}
	if !answer.Allowed() {
		stored = nil
	}
	if at.Kind == yaml.ScalarNode {
		return r.golden(at, stored)
	}
	return r.fields(at, stored)
}

// findings holds all that was found to a list of it.
func (r *running) findings(answer dryrun.Answer) {
	expect := r.of.Expect
	if expect.Findings == nil {
		return
	}
	left := slices.Clone(answer.Findings)
	for _, want := range *expect.Findings {
		i := slices.IndexFunc(left, want.is)
		if i < 0 {
			r.fail(want.line(), "expected %s, got%s", want, cmp.Or(found(answer), " no finding"))
			continue
		}
		left = slices.Delete(left, i, i+1)
	}
	for _, finding := range left {
		r.fail(r.out.Line, "expected no other finding than findings has, got:\n%s", sentence(finding))
	}
}

// among says whether a finding is among those of an answer; a message alone may be anything that the author reads.
func (f Finding) among(answer dryrun.Answer) bool {
	if slices.ContainsFunc(answer.Findings, f.is) {
		return true
	}
	if f.Policy.given() || f.Code.given() || f.Field.given() {
		return false
	}
	texts := append([]string{answer.Message}, answer.Warnings...)
	return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(text, f.Message.value) })
}

// is says whether a finding is what is expected.
func (f Finding) is(finding review.Finding) bool {
	same := func(want text, got string) bool { return !want.given() || want.value == got }
	return same(f.Policy, finding.Policy) && same(f.Code, finding.Code) && same(f.Field, finding.Field) &&
		strings.Contains(finding.Sentence(), f.Message.value)
}

// line is where a finding is expected.
func (f Finding) line() int {
	for _, each := range []text{f.Code, f.Message, f.Field, f.Policy} {
		if each.given() {
			return each.line
		}
	}
	return 0
}

// String says what is expected.
func (f Finding) String() string {
	var parts []string
	for _, each := range []struct {
		name string
		of   text
	}{{"policy", f.Policy}, {"code", f.Code}, {"field", f.Field}, {"message", f.Message}} {
		if each.of.given() {
			parts = append(parts, fmt.Sprintf("%s %q", each.name, each.of.value))
		}
	}
	return "a finding with " + strings.Join(parts, ", ")
}

// found says what was found, on lines of its own; empty for nothing.
func found(answer dryrun.Answer) string {
	var out strings.Builder
	for _, finding := range answer.Findings {
		out.WriteString("\n" + sentence(finding))
	}
	for _, warning := range answer.Warnings {
		if !slices.ContainsFunc(answer.Findings, func(finding review.Finding) bool { return strings.Contains(finding.Sentence(), warning) }) {
			out.WriteString("\nWarning: " + warning)
		}
	}
	if out.Len() > 0 {
		return ":" + out.String()
	}
	return ""
}

func sentence(finding review.Finding) string {
	first, _, _ := strings.Cut(finding.Sentence(), "\n")
	return fmt.Sprintf("%s %s: %s", finding.Effect, cmp.Or(finding.Code, "(no code)"), first)
}

// golden holds what is stored to all of a file, or writes it.
func (r *running) golden(at *yaml.Node, stored *unstructured.Unstructured) error {
	if stored == nil {
		r.fail(at.Line, "expected that it is stored, and nothing is")
		return nil
	}
	file := r.suite.path(at.Value)
	got, err := sigsyaml.Marshal(stored.Object)
	if err != nil {
		return err
	}
	want, err := os.ReadFile(file)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case err == nil && bytes.Equal(want, got):
		return nil
	case r.options.Update:
		r.out.Updated = append(r.out.Updated, file)
		return os.WriteFile(file, got, 0o644)
	case err != nil:
		r.fail(at.Line, "%s is not there; --update writes it", file)
		return nil
	}
	diff, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: lines(want), B: lines(got), FromFile: at.Value, ToFile: "stored", Context: 3,
	})
	r.fail(at.Line, "what is stored differs from %s; --update writes it:\n%s", file, strings.TrimSuffix(diff, "\n"))
	return err
}

func lines(text []byte) []string {
	return strings.SplitAfter(strings.TrimSuffix(string(text), "\n")+"\n", "\n")
}

// fields holds some fields to what is stored of them.
func (r *running) fields(at *yaml.Node, stored *unstructured.Unstructured) error {
	if stored == nil {
		r.fail(at.Line, "expected that it is stored, and nothing is")
		return nil
	}
	raw, err := manifest.JSON(r.suite.File, at)
	if err != nil {
		return err
	}
	is, err := stored.MarshalJSON()
	if err != nil {
		return err
	}
	var want, got any
	if err := errors.Join(json.Unmarshal(raw, &want), json.Unmarshal(is, &got)); err != nil {
		return err
	}
	for _, each := range differ("", want, got) {
		r.fail(at.Line, "stored %s", each)
	}
	return nil
}

// differ says where something is not what is wanted. Of an object the fields count that are wanted, of a list all items.
func differ(path string, want, got any) (out []string) {
	switch wanted := want.(type) {
	case map[string]any:
		of, is := got.(map[string]any)
		if !is {
			break
		}
		for _, key := range slices.Sorted(maps.Keys(wanted)) {
			out = append(out, differ(strings.TrimPrefix(path+"."+key, "."), wanted[key], of[key])...)
		}
		return out
	case []any:
		of, is := got.([]any)
		if !is || len(of) != len(wanted) {
			break
		}
		for i := range wanted {
			out = append(out, differ(fmt.Sprintf("%s[%d]", path, i), wanted[i], of[i])...)
		}
		return out
	}
	if reflect.DeepEqual(want, got) {
		return nil
	}
	expected, _ := json.Marshal(want) // it was JSON
	came, _ := json.Marshal(got)
	return []string{fmt.Sprintf("%s: expected %s, got %s", cmp.Or(path, "object"), expected, came)}
}

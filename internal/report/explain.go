package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/manifest"
)

// Explanation is how an answer came about.
type Explanation struct {
	Object Object `json:"object"`
	// Facts are the input of the policies, without the object; nil where none was asked.
	Facts    map[string]any `json:"facts,omitempty"`
	Policies []Explained    `json:"policies,omitempty"`
}

// Explained is what one EgressPolicy in force did.
type Explained struct {
	Policy      string `json:"policy"`
	Library     string `json:"library,omitempty"`
	Enforcement string `json:"enforcement"`
	// Asked says whether it was asked, Why why or why not.
	Asked bool   `json:"asked"`
	Why   string `json:"why"`
	// Error is why it could not be evaluated.
	Error   string    `json:"error,omitempty"`
	Said    []Saying  `json:"said,omitempty"`
	Printed []Printed `json:"printed,omitempty"`
	Trace   string    `json:"trace,omitempty"`
}

// Saying is a sentence of a policy, and where the rule stands that says it.
type Saying struct {
	// Effect is what it does, empty where the answer leaves it out.
	Effect  string `json:"effect,omitempty"`
	Rule    string `json:"rule"`
	At      string `json:"at"`
	Code    string `json:"code,omitempty"`
	Field   string `json:"field,omitempty"`
	Message string `json:"message"`
}

// Printed is what a print statement of Rego printed, and where it stands.
type Printed struct {
	At   string `json:"at"`
	Text string `json:"text"`
}

// Explain says how an answer came about, by its facts and by what the EgressPolicies in force did.
func Explain(answer dryrun.Answer, facts map[string]any, observed []dryrun.Observed) Explanation {
	out := Explanation{Object: objectOf(answer)}
	if facts != nil {
		out.Facts = map[string]any{}
		for key, value := range facts {
			if !slices.Contains([]string{"object", "oldObject", "parameters"}, key) {
				out.Facts[key] = value
			}
		}
	}
	for _, of := range observed {
		out.Policies = append(out.Policies, explained(answer, of))
	}
	return out
}

func explained(answer dryrun.Answer, of dryrun.Observed) Explained {
	out := Explained{
		Policy: of.Policy.Name, Library: of.Policy.Spec.Policy, Enforcement: string(of.Policy.Spec.Enforcement), Asked: of.Asked, Why: of.Why, Trace: of.Trace,
	}
	if of.Err != nil {
		out.Error = of.Err.Error()
	}
	for _, said := range of.Said {
		one := Saying{Rule: said.Rule, At: of.Policy.At(said.File, said.Line), Code: said.Code, Field: said.Field, Message: said.Message}
		if finding, told := answer.Told(said); told {
			one.Effect = string(finding.Effect)
		}
		out.Said = append(out.Said, one)
	}
	for _, printed := range of.Printed {
		out.Printed = append(out.Printed, Printed{of.Policy.At(printed.File, printed.Line), printed.Text})
	}
	return out
}

// ExplanationFormats are the forms of explanations.
var ExplanationFormats = []string{"json", "text"}

// WriteExplanations writes explanations in one of ExplanationFormats.
func WriteExplanations(w io.Writer, all []Explanation, format string) error {
	if format == "json" {
		return writeJSON(w, all)
	}
	var out strings.Builder
	for i, one := range all {
		if i > 0 {
			out.WriteString("\n")
		}
		one.text(&out)
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// text writes an explanation as people read it.
func (e Explanation) text(out *strings.Builder) {
	say := func(indent int, text string) {
		for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
			fmt.Fprintf(out, "%*s%s\n", indent, "", printable(line))
		}
	}
	say(0, fmt.Sprintf("%s: %s: %s", manifest.Place(e.Object.File, e.Object.Line), e.Object.title, e.Object.Verdict))
	for _, line := range e.Object.lines() {
		say(2, line)
	}
	if e.Facts == nil {
		say(2, "No policy is asked about it.")
		return
	}
	say(0, "Facts")
	for _, line := range facts(e.Facts) {
		say(2, line)
	}
	say(0, "Policies")
	for _, of := range e.Policies {
		say(2, of.line())
		for _, said := range of.Said {
			say(4, said.line())
		}
		for _, printed := range of.Printed {
			say(4, "print at "+printed.At+": "+printed.Text)
		}
		if of.Trace != "" {
			say(4, of.Trace)
		}
	}
}

func (e Explained) line() string {
	by := e.Enforcement
	if e.Library != "" {
		by += ", " + e.Library
	}
	out := fmt.Sprintf("%s (%s) is asked: %s", e.Policy, by, e.Why)
	switch {
	case e.Error != "":
		return fmt.Sprintf("%s (%s) cannot be evaluated: %s", e.Policy, by, e.Error)
	case !e.Asked:
		return fmt.Sprintf("%s (%s) is not asked: %s", e.Policy, by, e.Why)
	case len(e.Said) == 0:
		return out + "; it says nothing"
	}
	return out
}

func (s Saying) line() string {
	effect := s.Effect
	if effect == "" {
		effect = "left out of the answer"
	}
	out := effect + " by " + s.Rule + " at " + s.At + ": "
	for _, part := range []string{s.Code, s.Field} {
		if part != "" {
			out += part + ": "
		}
	}
	return out + s.Message
}

package codes

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/internal/review"
	"github.com/egress-governor/egress-governor/policies"
)

// note stands at the end of what is generated.
const note = "<!-- Generated from test/codes/examples by make generate. -->\n"

// index is the name of the page that lists the others.
const index = "README.md"

// Pages returns the pages of examples, and their list, by the names of their files.
func Pages(ctx context.Context, examples []*Example) (map[string]string, error) {
	engine, err := policy.NewEngine(policies.Library())
	if err != nil {
		return nil, err
	}
	library, err := Library(engine)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	var refusals, warnings, told, denials strings.Builder
	for _, example := range examples {
		section, said, err := example.section(ctx, library)
		if err != nil {
			return nil, err
		}
		file := example.Code + ".md"
		if out[file] == "" {
			out[file] = fmt.Sprintf("# %s\n", example.Code)
		} else {
			out[file] += fmt.Sprintf("\n## Of policy `%s`\n", example.Policy)
		}
		out[file] += "\n" + section
		for _, further := range example.Further {
			section, _, err := further.section(ctx, library)
			if err != nil {
				return nil, err
			}
			out[file] += fmt.Sprintf("\n## %s\n\n%s", further.When, section)
		}
		switch {
		case example.Policy != "":
			fmt.Fprintf(&denials, "| [`%s`](%s) | `%s` | %s |\n", example.Code, file, example.Policy, cell(example.rule(library).Description))
		case example.Audited:
			fmt.Fprintf(&told, "| [`%s`](%s) | %s |\n", example.Code, file, cell(said.Message))
		case said.Effect == review.Warned:
			fmt.Fprintf(&warnings, "| [`%s`](%s) | %s |\n", example.Code, file, cell(said.Message))
		default:
			fmt.Fprintf(&refusals, "| [`%s`](%s) | %s |\n", example.Code, file, cell(said.Message))
		}
	}
	for file := range out {
		out[file] += "\n[All codes](" + index + ")\n\n" + note
	}
	out[index] = fmt.Sprintf(`# Codes

Every object that is not allowed, or of which its author is warned, is answered with a code for each thing that is wrong, by which these pages are
called. Each has an example that gets it, and the same example mended; a test holds them to what is answered.

## Refused

What a gateway hop cannot express, and what fails, by whomever it is written. By which sentence:

| code | for example |
|---|---|
%s
## Warned of

What is stored, and is hardly meant, whatever policies say.

| code | for example |
|---|---|
%s
## Told by the audit

What is stored already; nothing is denied.

| code | for example |
|---|---|
%s
## Denied

What a policy of the [library](../library.md) says. Policies of your own have codes of their own: [docs/policies.md](../policies.md#your-own).

| code | policy | says |
|---|---|---|
%s
%s`, refusals.String(), warnings.String(), told.String(), denials.String(), note)
	return out, nil
}

// cell is a text as a table takes it.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "*", `\*`, "\n", " ").Replace(text)
}

func (e *Example) rule(library map[string]policy.Description) policy.Rule {
	rules := library[e.Policy].Rules
	i := slices.IndexFunc(rules, func(rule policy.Rule) bool { return rule.Code == e.Code })
	if i < 0 {
		return policy.Rule{}
	}
	return rules[i]
}

// section is what a page has of an example; said is its finding.
func (e *Example) section(ctx context.Context, library map[string]policy.Description) (out string, said review.Finding, err error) {
	refused, err := e.Refused(ctx)
	if err != nil {
		return "", said, err
	}
	i := slices.IndexFunc(refused.Findings, func(finding review.Finding) bool { return finding.Code == e.Code })
	if i < 0 {
		return "", said, fmt.Errorf("%s: the example does not get this code", e.name())
	}
	var page strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&page, format+"\n\n", args...) }
	show := func(language, text string) { say("```%s\n%s\n```", language, strings.TrimSpace(text)) }
	if e.Policy != "" {
		say("By policy [`%s`](../library.md#%s) (%s): %s", e.Policy, e.Policy, e.rule(library).Title, e.rule(library).Description)
	}
	if means := strings.TrimSpace(e.Means); means != "" {
		say("%s", means)
	}
	before := page.Len()
	if err := e.surroundings(say, show); err != nil {
		return "", said, err
	}
	if page.Len() > before && e.Patch == nil && !e.Audited {
		say("this")
	}
	if err := e.applied(say, show); err != nil {
		return "", said, err
	}
	say("%s:", e.answered(refused.Findings[i].Effect))
	show("text", refused.Text)
	if e.Mended != "" {
		say("%s:", e.mended())
		show("yaml", e.Many.shown(e.Mended))
	}
	return strings.TrimRight(page.String(), "\n") + "\n", refused.Findings[i], nil
}

// mended says what follows.
func (e *Example) mended() string {
	if len(e.Asked) == 0 {
		return "Mended"
	}
	var asked []string
	for _, name := range slices.Sorted(maps.Keys(e.Asked)) {
		asked = append(asked, fmt.Sprintf("`%s: %v`", name, e.Asked[name]))
	}
	return "Mended, by an egress gateway with " + strings.Join(asked, " and ")
}

// applied says what is answered.
func (e *Example) applied(say func(string, ...any), show func(language, text string)) error {
	switch {
	case e.Patch != nil:
		say("This is sealed:")
	case e.Audited:
		say("This is stored, and not sealed:")
	}
	show("yaml", e.Many.shown(e.Manifest))
	if e.Patch == nil {
		return nil
	}
	patch, err := yaml.Marshal(e.Patch)
	if err != nil {
		return err
	}
	say("Then another webhook lays this over it:")
	show("yaml", string(patch))
	return nil
}

// answered says how an object is answered.
func (e *Example) answered(effect review.Effect) string {
	switch {
	case e.Patch != nil:
		return "What comes of it is refused"
	case e.Audited:
		return "The audit says"
	}
	return answers[effect]
}

// surroundings says what an example takes for granted.
func (e *Example) surroundings(say func(string, ...any), show func(language, text string)) error {
	inForce, err := e.inForce()
	if err != nil {
		return err
	}
	if inForce != "" {
		say("In force is")
		show("yaml", inForce)
	}
	for _, each := range []struct {
		what   string
		fields map[string]any
	}{{"In the configuration (`config` of the chart):", e.Configuration}, {"Of the egress gateway (`config.gateways[0]`):", e.Gateway}} {
		if len(each.fields) == 0 {
			continue
		}
		raw, err := yaml.Marshal(each.fields)
		if err != nil {
			return err
		}
		say("%s", each.what)
		show("yaml", string(raw))
	}
	if e.Before != "" {
		say("There already is")
		show("yaml", e.Before)
	}
	return nil
}

// answers are the words for effects.
var answers = map[review.Effect]string{
	review.Denied: "is denied", review.Refused: "is refused", review.Failed: "fails", review.Warned: "is stored, with a warning",
}

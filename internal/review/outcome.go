package review

import (
	"slices"
	"strings"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/policy"
)

// Verdict is the answer in a word. The three noes differ in whose word they are.
type Verdict string

// The verdicts.
const (
	Allowed Verdict = "allowed"
	// Denied: a policy said no.
	Denied Verdict = "denied"
	// Refused: it cannot be expressed as a hop.
	Refused Verdict = "refused"
	// Failed: a policy could not be evaluated.
	Failed Verdict = "failed"
)

// Effect is what a finding does: it brings about a verdict other than Allowed, or it is said and no more.
type Effect = Verdict

// The effects that let an object pass.
const (
	Warned  Effect = "warned"
	Audited Effect = "audited"
)

// Finding is something that is wrong with an object, by whomever it was found.
type Finding struct {
	egress.Finding
	// Effect is what follows from it.
	Effect Effect
	// Policy is the name of the EgressPolicy that found it, Library that of the library policy it uses; both are empty
	// where it was none.
	Policy, Library string
	// Docs is the URL of a page about that EgressPolicy, or about the code; empty for none.
	Docs string
}

// Unevaluated says that the policy could not be evaluated: it says nothing of the object, whatever follows.
func (f Finding) Unevaluated() bool {
	return f.Effect == Failed || f.Code == policy.CodeEvaluationFailed && f.Effect != Denied
}

// Sentence is how a finding reads to an author: who found it, the field, what is wrong, the rule; how to mend it on
// the next line, and on another where there is more to read.
func (f Finding) Sentence() string {
	var out strings.Builder
	rule := f.Library
	if f.Policy == "" {
		out.WriteString("egress-governor: ")
		rule = f.Code
	} else {
		out.WriteString(f.Policy + ": ")
	}
	if f.Field != "" {
		out.WriteString(f.Field + ": ")
	}
	out.WriteString(f.Message)
	if f.Effect != Failed {
		if rule != "" {
			out.WriteString(" (" + rule + ")")
		}
		if rule != "" || !strings.HasSuffix(f.Message, ".") {
			out.WriteString(".")
		}
	}
	if f.Fix != "" {
		out.WriteString("\nFix: " + f.Fix)
	}
	if f.Docs != "" {
		out.WriteString("\nDocs: " + f.Docs)
	}
	return out.String()
}

// OneLine is the sentence on one line, as conditions and Events take it.
func (f Finding) OneLine() string { return oneLine(f.Sentence()) }

// Line is a finding on one line, its code first, for logs.
func (f Finding) Line() string {
	return "[" + f.Code + "] " + f.OneLine()
}

// oneLine returns lines as one, in which it is seen where each of them ends.
func oneLine(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines[:len(lines)-1] {
		if !strings.HasSuffix(line, ".") {
			lines[i] += ";"
		}
	}
	return strings.Join(lines, " ")
}

// Outcome is everything that was decided about an object.
type Outcome struct {
	Verdict Verdict
	// Findings are sorted: failures, denials, refusals, warnings and what is only recorded, and within these as the
	// policies are named and the fields stand.
	Findings []Finding
	// Facts are what the object does to egress.
	Facts egress.Facts
	// Changes tell the author of an allowed object what was rewritten. An object that stays as it was has none.
	Changes []string
	// Asked are the names of the policies that were asked.
	Asked []string
	// Input is the document that policies were asked about, nil where none was.
	Input map[string]any
	// Exempt is who was not held to policies that would have been asked.
	Exempt Exemption
}

// Exemption is a user to whom policies do not apply, and their names, none for nobody.
type Exemption struct {
	User     string
	Policies []string
}

// From names the policies.
func (e Exemption) From() string { return "EgressPolicy " + strings.Join(bounded(e.Policies), ", ") }

// awaited are the codes of what another object may still make good.
var awaited = []string{hop.CodeGatewayRoute, hop.CodeUnknownEntry, hop.CodeUnknownHost}

// Waits says whether the object was refused for want of another that commonly comes in one apply with it, and that the
// view of the cluster may know a moment later.
func (o *Outcome) Waits() bool {
	return o.Verdict == Refused && slices.ContainsFunc(o.Of(Refused), func(finding Finding) bool { return slices.Contains(awaited, finding.Code) })
}

// Of returns the findings with an effect.
func (o *Outcome) Of(effect Effect) (out []Finding) {
	for _, finding := range o.Findings {
		if finding.Effect == effect {
			out = append(out, finding)
		}
	}
	return out
}

// add takes in what the policies said and what cannot be expressed; exported is the kind's own.
func (o *Outcome) add(decision policy.Decision, refusals hop.Refusals, exported string) {
	for _, failure := range decision.Failed {
		o.Findings = append(o.Findings, Finding{
			Finding: egress.Finding{
				Code: policy.CodeEvaluationFailed, Message: forClient("policy could not be evaluated: "+failure.Err.Error(), failure.Client, exported),
				Fix: "this is not your object's fault; ask the platform team",
			},
			Effect: Failed, Policy: failure.Policy, Docs: failure.Docs,
		})
	}
	o.violations(Denied, decision.Denied, exported)
	for _, refusal := range refusals {
		o.Findings = append(o.Findings, Finding{Finding: refusal, Effect: Refused})
	}
	o.Verdict = Allowed
	if len(o.Findings) > 0 {
		o.Verdict = o.Findings[0].Effect
	}
	o.violations(Warned, decision.Warned, exported)
	o.violations(Audited, decision.Audited, exported)
}

// warn takes in what no policy says and the author is told, before what is only recorded.
func (o *Outcome) warn(found []egress.Finding) {
	at := slices.IndexFunc(o.Findings, func(finding Finding) bool { return finding.Effect == Audited })
	if at < 0 {
		at = len(o.Findings)
	}
	for i, finding := range found {
		o.Findings = slices.Insert(o.Findings, at+i, Finding{Finding: finding, Effect: Warned})
	}
}

func (o *Outcome) violations(effect Effect, violations []policy.Violation, exported string) {
	for _, v := range violations {
		o.Findings = append(o.Findings, Finding{
			Finding: egress.Finding{Code: v.Code, Field: v.Field, Message: forClient(v.Message, v.Client, exported), Fix: unexported(v)},
			Effect:  effect, Policy: v.Policy, Library: v.Library, Docs: v.Docs,
		})
	}
}

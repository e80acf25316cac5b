package review

import (
	"fmt"
	"strings"
)

// MaxReasons bounds the reasons of one answer: an object of a thousand routes must not answer with a thousand lines.
const MaxReasons = 20

// Reasons returns the findings for which an object is not allowed.
func (o *Outcome) Reasons() (out []Finding) {
	for _, finding := range o.Findings {
		switch finding.Effect {
		case Denied, Refused, Failed:
			out = append(out, finding)
		}
	}
	return out
}

// Message is what the author of an object that is not allowed reads: everything that speaks against it. It is empty for one
// that is allowed.
func (o *Outcome) Message() string {
	return strings.Join(bounded(sentences(o.Reasons())), "\n")
}

// PolicyMessage is what the author of an EgressPolicy reads that cannot be put in force.
func PolicyMessage(name string, err error) string {
	return fmt.Sprintf("EgressPolicy %q: %v", name, err)
}

// Warnings are what the author reads besides, whether or not the object is allowed: what was changed, and what they are warned of.
func (o *Outcome) Warnings() []string {
	var out []string
	if exempt := o.Exempt; len(exempt.Policies) > 0 {
		out = append(out, "user "+exempt.User+" is excluded from "+exempt.From()+", which did not look at this. Fix: write as another user where that is not meant (spec.match.excludeUsers, excludeGroups)")
	}
	out = append(out, bounded(o.Changes)...)
	for _, sentence := range sentences(o.Of(Warned)) {
		out = append(out, oneLine(sentence))
	}
	return bounded(out)
}

// Audited is what is recorded and told to nobody, a line each; empty for nothing.
func (o *Outcome) Audited() string {
	var out []string
	for _, finding := range o.Of(Audited) {
		out = append(out, finding.Line())
	}
	return strings.Join(bounded(out), "\n")
}

// bounded returns as many of the items of an answer as it may have, and says how many are left out.
func bounded(items []string) []string {
	if len(items) <= MaxReasons {
		return items
	}
	return append(items[:MaxReasons:MaxReasons], fmt.Sprintf("… and %d more", len(items)-MaxReasons))
}

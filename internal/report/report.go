// Package report says answers to manifests as people and other tools read them.
package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/review"
)

// Report is what was answered to manifests.
type Report struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Summary    Summary  `json:"summary"`
	Objects    []Object `json:"objects"`
}

// Summary counts answers, and the findings that authors are warned of.
type Summary struct {
	Objects  int `json:"objects"`
	Allowed  int `json:"allowed"`
	Denied   int `json:"denied"`
	Refused  int `json:"refused"`
	Failed   int `json:"failed"`
	Passed   int `json:"ungoverned"`
	Warnings int `json:"warnings"`
}

// Object is one of them, where it stands, and its answer.
type Object struct {
	File       string `json:"file"`
	Line       int    `json:"line"`
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
	// Verdict is allowed, denied, refused or failed; ungoverned where the webhook is not asked.
	Verdict string `json:"verdict"`
	// Message is what the author reads of an object that is not allowed, Warnings what besides.
	Message  string    `json:"message,omitempty"`
	Warnings []string  `json:"warnings,omitempty"`
	Findings []Finding `json:"findings,omitempty"`

	title string
}

// Finding is something that is wrong, with the line of the field that it names.
type Finding struct {
	Code    string `json:"code,omitempty"`
	Effect  string `json:"effect"`
	Policy  string `json:"policy,omitempty"`
	Library string `json:"library,omitempty"`
	Field   string `json:"field,omitempty"`
	Line    int    `json:"line"`
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"`
	Docs    string `json:"docs,omitempty"`

	sentence string
}

const ungoverned = "ungoverned"

// New returns the report of answers, in their order.
func New(answers []dryrun.Answer) *Report {
	out := &Report{APIVersion: "report.egress-governor.io/v1alpha1", Kind: "Report", Objects: []Object{}}
	out.Summary.Objects = len(answers)
	for _, answer := range answers {
		object := objectOf(answer)
		switch object.Verdict {
		case string(review.Allowed):
			out.Summary.Allowed++
		case string(review.Denied):
			out.Summary.Denied++
		case string(review.Refused):
			out.Summary.Refused++
		case string(review.Failed):
			out.Summary.Failed++
		default:
			out.Summary.Passed++
		}
		for _, finding := range object.Findings {
			if finding.Effect == string(review.Warned) {
				out.Summary.Warnings++
			}
		}
		out.Objects = append(out.Objects, object)
	}
	return out
}

func objectOf(answer dryrun.Answer) Object {
	out := Object{
		File: answer.File, Line: answer.Line, APIVersion: answer.GetAPIVersion(), Kind: answer.GetKind(),
		Namespace: answer.GetNamespace(), Name: answer.GetName(), Verdict: string(answer.Verdict),
		Message: answer.Message, Warnings: answer.Warnings, title: manifest.Name(answer.Unstructured),
	}
	if out.Verdict == "" {
		out.Verdict = ungoverned
	}
	for _, finding := range answer.Findings {
		out.Findings = append(out.Findings, findingOf(answer.Object, finding))
	}
	return out
}

func findingOf(object manifest.Object, finding review.Finding) Finding {
	return Finding{
		Code: finding.Code, Effect: string(finding.Effect), Policy: finding.Policy, Library: finding.Library, Field: finding.Field,
		Line: object.At(finding.Field), Message: finding.Message, Fix: finding.Fix, Docs: finding.Docs, sentence: finding.Sentence(),
	}
}

// rule is what a finding is an instance of: its code, or of a policy that gives none its name.
func (f Finding) rule() string {
	if f.Code != "" {
		return f.Code
	}
	return f.Policy
}

// Options are how a report is written.
type Options struct {
	// Strict takes findings that authors are warned of for failures.
	Strict bool
	// Quiet leaves out of a table what is allowed.
	Quiet bool
	// Version is that of the program.
	Version string
}

// formats are the forms of a report.
var formats = map[string]func(w io.Writer, report *Report, options Options) error{
	"table": table, "json": asJSON, "yaml": asYAML, "sarif": sarif, "junit": junit, "github": github,
}

// Formats returns the names of the forms, sorted.
func Formats() []string { return slices.Sorted(maps.Keys(formats)) }

// Write writes a report in one of the forms. The error names those that there are.
func (r *Report) Write(w io.Writer, format string, options Options) error {
	write, known := formats[format]
	if !known {
		return fmt.Errorf("output %q is none of %s", format, strings.Join(Formats(), ", "))
	}
	return write(w, r, options)
}

package review

import (
	"strings"

	"github.com/egress-governor/egress-governor/internal/policy"
)

// link gives findings a page: url with the code in the place of {code}. A policy's own page stays, and what somebody's own
// policy says, or one of a bundle, is explained nowhere else.
func (o *Outcome) link(url string) {
	if url == "" {
		return
	}
	for i := range o.Findings {
		finding := &o.Findings[i]
		ofLibrary := finding.Library != "" && !strings.Contains(finding.Library, "/")
		known := finding.Policy == "" || ofLibrary || finding.Code == policy.CodeEvaluationFailed
		if known && finding.Docs == "" && finding.Code != "" {
			finding.Docs = strings.ReplaceAll(url, "{code}", finding.Code)
		}
	}
}

// sentences are those of findings, of which each page is named once: by the first that has it.
func sentences(findings []Finding) (out []string) {
	told := map[string]bool{}
	for _, finding := range findings {
		if told[finding.Docs] {
			finding.Docs = ""
		}
		told[finding.Docs] = true
		out = append(out, finding.Sentence())
	}
	return out
}

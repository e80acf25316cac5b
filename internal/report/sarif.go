package report

import (
	"encoding/json"
	"io"
	"path/filepath"

	"github.com/egress-governor/egress-governor/internal/review"
)

// The part of SARIF 2.1.0 that findings need.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool    sarifTool     `json:"tool"`
		Results []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version,omitempty"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID      string `json:"id"`
		HelpURI string `json:"helpUri,omitempty"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		RuleIndex int             `json:"ruleIndex"`
		Level     string          `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifLocation struct {
		Physical sarifPhysical  `json:"physicalLocation"`
		Logical  []sarifLogical `json:"logicalLocations"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine int `json:"startLine"`
	}
	sarifLogical struct {
		Name string `json:"fullyQualifiedName"`
		Kind string `json:"kind"`
	}
)

// level is how much a finding matters to code scanners.
func (f Finding) level() string {
	switch review.Effect(f.Effect) {
	case review.Warned:
		return "warning"
	case review.Audited:
		return "note"
	}
	return "error"
}

func sarif(w io.Writer, report *Report, options Options) error {
	run := sarifRun{Tool: sarifTool{Driver: sarifDriver{Name: "egressctl", Version: options.Version, Rules: []sarifRule{}}}, Results: []sarifResult{}}
	known := map[string]int{}
	for _, object := range report.Objects {
		for _, finding := range object.Findings {
			id := finding.rule()
			if _, is := known[id]; !is {
				known[id] = len(run.Tool.Driver.Rules)
				run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{ID: id, HelpURI: finding.Docs})
			}
			run.Results = append(run.Results, sarifResult{
				RuleID: id, RuleIndex: known[id], Level: finding.level(), Message: sarifText{finding.sentence},
				Locations: []sarifLocation{{
					Physical: sarifPhysical{sarifArtifact{filepath.ToSlash(object.File)}, sarifRegion{finding.Line}},
					Logical:  []sarifLogical{{object.title, "resource"}},
				}},
			})
		}
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(sarifLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run}})
}

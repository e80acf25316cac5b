package report

import (
	"fmt"
	"io"
	"strings"
)

// Workflow commands of GitHub end at a line's end, and their properties at a comma.
var (
	githubMessage  = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	githubProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

// githubLevels are the commands for levels.
var githubLevels = map[string]string{"error": "error", "warning": "warning", "note": "notice"}

// github writes a workflow command for each finding, which GitHub shows at the line that it names.
func github(w io.Writer, report *Report, _ Options) error {
	for _, object := range report.Objects {
		for _, finding := range object.Findings {
			title := object.title + ": " + finding.Effect + " (" + finding.rule() + ")"
			if _, err := fmt.Fprintf(w, "::%s file=%s,line=%d,title=%s::%s\n", githubLevels[finding.level()],
				githubProperty.Replace(object.File), finding.Line, githubProperty.Replace(title), githubMessage.Replace(finding.sentence)); err != nil {
				return err
			}
		}
	}
	return nil
}

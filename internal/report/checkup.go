package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/egress-governor/egress-governor/internal/checkup"
)

// CheckupFormats are the forms in which it is said what is wrong with an installation.
var CheckupFormats = []string{"json", "table", "yaml"}

// WriteCheckup writes what is wrong with an installation in one of CheckupFormats; verbose has a table name what is sound, too.
func WriteCheckup(w io.Writer, of *checkup.Report, format string, verbose bool) error {
	return written(w, of, format, func() string { return checkupTable(of, verbose) })
}

// checkupTable has a line for each check and what it found below it, and the sum at the end.
func checkupTable(of *checkup.Report, verbose bool) string {
	var out strings.Builder
	sound, skipped := 0, 0
	for _, check := range of.Checks {
		switch check.Status {
		case checkup.Sound:
			sound++
		case checkup.Skipped:
			skipped++
		}
		checkTable(&out, check, verbose)
	}
	are := "are"
	if sound == 1 {
		are = "is"
	}
	fmt.Fprintf(&out, "%s: %s, %s, %d not looked at; %d of %d checks %s sound",
		printable(of.Cluster), counted(of.Errors, "error"), counted(of.Warnings, "warning"), of.Unknown, sound, len(of.Checks), are)
	if skipped > 0 {
		fmt.Fprintf(&out, ", %d skipped", skipped)
	}
	out.WriteString("\n")
	return out.String()
}

// mostFindings is how many a table has of one check.
const mostFindings = 20

// checkTable has a line for a check, and below it what was found.
func checkTable(out *strings.Builder, of checkup.Result, verbose bool) {
	if len(of.Findings)+len(of.NotLookedAt) == 0 {
		if verbose {
			fmt.Fprintf(out, "%-8s %s: %s\n\n", of.Status, of.Name, of.About)
		}
		return
	}
	fmt.Fprintf(out, "%-8s %s: %s\n", of.Status, of.Name, of.About)
	for i, finding := range of.Findings {
		if i == mostFindings {
			fmt.Fprintf(out, "  and %d more, which -o json has\n", len(of.Findings)-i)
			break
		}
		about := ""
		if finding.Object != "" {
			about = " " + printable(finding.Object)
		}
		fmt.Fprintf(out, "  %s%s (%s)\n    %s\n", strings.ToUpper(string(finding.Severity)), about, finding.Code, printable(finding.Message))
		if finding.Why != "" {
			fmt.Fprintf(out, "    Why: %s\n", printable(finding.Why))
		}
		fmt.Fprintf(out, "    Fix: %s\n", printable(finding.Fix))
	}
	for _, reason := range of.NotLookedAt {
		fmt.Fprintf(out, "  NOT LOOKED AT: %s\n", printable(reason))
	}
	out.WriteString("\n")
}

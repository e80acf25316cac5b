package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/egress-governor/egress-governor/internal/manifest"
)

// TestFormats are the forms of a report of suites.
var TestFormats = []string{"json", "junit", "table"}

// Write writes the report in one of TestFormats; a table has the cases that pass with verbose alone.
func (t *Tests) Write(w io.Writer, format string, verbose bool) error {
	switch format {
	case "json":
		return writeJSON(w, t)
	case "junit":
		return t.junit(w)
	}
	_, err := io.WriteString(w, t.table(verbose))
	return err
}

func (t *Tests) table(verbose bool) string {
	var out strings.Builder
	say := func(indent int, text string) {
		for _, line := range strings.Split(text, "\n") {
			fmt.Fprintf(&out, "%*s%s\n", indent, "", printable(line))
		}
	}
	for _, of := range t.Suites {
		wrong := len(of.Unasked)
		for _, one := range of.Cases {
			for _, file := range one.Updated {
				say(0, "wrote "+file)
			}
			if one.Result == passed {
				if verbose {
					say(0, fmt.Sprintf("ok     %s: %s", manifest.Place(of.File, one.Line), one.Name))
				}
				continue
			}
			wrong++
			say(0, fmt.Sprintf("%-6s %s: %s", marks[one.Result], manifest.Place(of.File, one.Line), one.Name))
			for _, line := range one.lines(of.File) {
				say(2, line)
			}
		}
		for _, unasked := range of.Unasked {
			say(0, "FAIL   "+unasked)
		}
		if wrong == 0 && !verbose && len(of.Cases) > 0 {
			say(0, fmt.Sprintf("ok     %s: %s", of.File, counted(len(of.Cases), "case")))
		}
	}
	for _, of := range t.Coverage {
		line := fmt.Sprintf("coverage of EgressPolicy %s: %.0f%% of %s", of.Policy, of.Percent, counted(of.Lines, "line"))
		if len(of.Missing) > 0 {
			line += "; not evaluated: " + strings.Join(of.Missing, ", ")
		}
		say(0, line)
	}
	say(0, t.Summary.line())
	return out.String()
}

// lines are what is said of a case that does not pass.
func (c TestCase) lines(file string) (out []string) {
	for _, failure := range c.Failures {
		out = append(out, manifest.Place(file, failure.Line)+": "+strings.ReplaceAll(failure.Message, "\n", "\n  "))
	}
	if c.Error != "" {
		out = append(out, c.Error)
	}
	for _, note := range c.Notes {
		out = append(out, "Note: "+note)
	}
	return out
}

func (s TestSummary) line() string {
	out := fmt.Sprintf("%s: %d passed", counted(s.Cases, "case"), s.Passed)
	if s.Failed > 0 {
		out += fmt.Sprintf(", %d failed", s.Failed)
	}
	if s.Errors > 0 {
		out += fmt.Sprintf(", %d with errors", s.Errors)
	}
	return out
}

// junit has a test suite for each file, and in it a test case for each case.
func (t *Tests) junit(w io.Writer) error {
	var all []junitSuite
	for _, of := range t.Suites {
		one := junitSuite{Name: of.File, Tests: len(of.Cases)}
		for _, each := range of.Cases {
			item := junitCase{Class: of.File, Name: each.Name, File: of.File, Line: each.Line}
			if lines := each.lines(of.File); each.Result != passed {
				first, _, _ := strings.Cut(lines[0], "\n")
				item.Failure = &junitFailure{Type: each.Result, Message: first, Text: strings.Join(lines, "\n")}
			}
			one.add(item, each.Result)
		}
		for _, unasked := range of.Unasked {
			one.Tests++
			one.add(junitCase{Class: of.File, Name: "every EgressPolicy is asked", File: of.File, Line: 1, Failure: &junitFailure{Type: failed, Message: unasked, Text: unasked}}, failed)
		}
		all = append(all, one)
	}
	return writeJUnit(w, all...)
}

func (s *junitSuite) add(one junitCase, result string) {
	switch result {
	case failed:
		s.Failures++
	case errored:
		s.Errors++
		one.Failure, one.Error = nil, one.Failure
	}
	s.Cases = append(s.Cases, one)
}

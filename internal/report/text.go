package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"github.com/egress-governor/egress-governor/internal/manifest"
)

func asJSON(w io.Writer, report *Report, _ Options) error {
	return writeJSON(w, report)
}

func asYAML(w io.Writer, report *Report, _ Options) error {
	return writeYAML(w, report)
}

// table has a row for each object of which there is something to say, what is said below it, and the sum at the end.
func table(w io.Writer, report *Report, options Options) error {
	rows, said := [][]string{{"FILE", "OBJECT", "VERDICT"}}, [][]string{nil}
	for _, object := range report.Objects {
		lines := object.lines()
		if len(lines) == 0 || options.Quiet && object.Message == "" {
			continue
		}
		rows = append(rows, []string{manifest.Place(object.File, object.Line), object.title, object.Verdict})
		said = append(said, lines)
	}
	var out strings.Builder
	if len(rows) > 1 {
		columns(&out, rows, said)
		out.WriteString("\n")
	}
	out.WriteString(report.Summary.line() + "\n")
	_, err := io.WriteString(w, out.String())
	return err
}

// lines are what the author of an object reads.
func (o Object) lines() (out []string) {
	if o.Message != "" {
		out = strings.Split(o.Message, "\n")
	}
	for _, warning := range o.Warnings {
		out = append(out, "Warning: "+warning)
	}
	return out
}

// line is the sum in a sentence.
func (s Summary) line() string {
	parts := []string{fmt.Sprintf("%d allowed", s.Allowed)}
	for _, of := range []struct {
		count int
		what  string
	}{{s.Denied, "denied"}, {s.Refused, "refused"}, {s.Failed, "failed"}, {s.Passed, "not governed"}} {
		if of.count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", of.count, of.what))
		}
	}
	out := counted(s.Objects, "object") + ": " + strings.Join(parts, ", ")
	if s.Warnings > 0 {
		out += "; " + counted(s.Warnings, "finding") + " warned of"
	}
	return out
}

func counted(count int, what string) string {
	if count != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", count, what)
}

// printable shows a line without what a terminal would act on: whoever writes a manifest writes names.
func printable(line string) string {
	var out strings.Builder
	for _, letter := range line {
		if unicode.IsPrint(letter) {
			out.WriteRune(letter)
			continue
		}
		out.WriteString(strings.Trim(strconv.QuoteRuneToASCII(letter), "'"))
	}
	return out.String()
}

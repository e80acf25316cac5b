package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/manifest"
)

func asJSON(w io.Writer, report *Report, _ Options) error {
	return writeJSON(w, report)
}

func asYAML(w io.Writer, report *Report, _ Options) error {
	raw, err := yaml.Marshal(report)
	if err == nil {
		_, err = w.Write(raw)
	}
	return err
}

// table has a row for each object of which there is something to say, what is said below it, and the sum at the end.
func table(w io.Writer, report *Report, options Options) error {
	var rows [][3]string
	var said [][]string
	for _, object := range report.Objects {
		lines := object.lines()
		if len(lines) == 0 || options.Quiet && object.Message == "" {
			continue
		}
		rows = append(rows, [3]string{printable(manifest.Place(object.File, object.Line)), printable(object.title), object.Verdict})
		said = append(said, lines)
	}
	var out strings.Builder
	if len(rows) > 0 {
		rows, said = append([][3]string{{"FILE", "OBJECT", "VERDICT"}}, rows...), append([][]string{nil}, said...)
	}
	width := [2]int{}
	for _, row := range rows {
		for i := range width {
			width[i] = max(width[i], len([]rune(row[i])))
		}
	}
	for i, row := range rows {
		fmt.Fprintf(&out, "%-*s   %-*s   %s\n", width[0], row[0], width[1], row[1], row[2])
		for _, line := range said[i] {
			fmt.Fprintf(&out, "  %s\n", printable(line))
		}
	}
	if len(rows) > 0 {
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
		out += "; " + counted(s.Warnings, "warning") + " of policies"
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

package report

import (
	"fmt"
	"io"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/trace"
)

// TraceFormats are the forms in which it is said what becomes of a call.
var TraceFormats = []string{"json", "table", "yaml"}

// WriteTrace writes what becomes of a call in one of TraceFormats.
func WriteTrace(w io.Writer, outcome trace.Outcome, format string) error {
	switch format {
	case "json":
		return writeJSON(w, outcome)
	case "yaml":
		raw, err := yaml.Marshal(outcome)
		if err == nil {
			_, err = w.Write(raw)
		}
		return err
	}
	var out strings.Builder
	traceTable(&out, outcome)
	_, err := io.WriteString(w, out.String())
	return err
}

// traceTable has a row for each way of a call, and below it how it comes to that.
func traceTable(out *strings.Builder, of trace.Outcome) {
	fmt.Fprintf(out, "%s from %s: %s\n\n", printable(of.Call.String()), printable(of.Call.Caller()), ending(of))
	rows := [][4]string{{"ENDS", "CALLS", "BY", "TO"}}
	for _, way := range of.Ways {
		rows = append(rows, [4]string{string(way.Ends), calls(way), way.Gateway, strings.Join(way.To, ", ")})
	}
	width := [3]int{}
	for r := range rows {
		for i := range rows[r] {
			rows[r][i] = printable(rows[r][i])
			if i < len(width) {
				width[i] = max(width[i], len([]rune(rows[r][i])))
			}
		}
	}
	for r, row := range rows {
		fmt.Fprintln(out, strings.TrimRight(fmt.Sprintf("%-*s   %-*s   %-*s   %s", width[0], row[0], width[1], row[1], width[2], row[2], row[3]), " "))
		if r > 0 {
			for _, line := range wayLines(of.Ways[r-1]) {
				fmt.Fprintf(out, "  %s\n", printable(line))
			}
		}
	}
	if len(of.Notes) > 0 {
		out.WriteString("\n")
	}
	for _, note := range of.Notes {
		fmt.Fprintf(out, "Note: %s\n", printable(note))
	}
}

// ending is what becomes of a call in a few words.
func ending(of trace.Outcome) string {
	if of.Leaves() {
		return "leaves by an egress gateway"
	}
	ends := map[trace.Ends]string{trace.Blocked: "leads nowhere", trace.InMesh: "stays in the mesh", trace.Straight: "leaves past every egress gateway"}
	said := ""
	for _, way := range of.Ways {
		switch {
		case way.Copy:
		case said == "" && ends[way.Ends] != "":
			said = ends[way.Ends]
		case said != ends[way.Ends]:
			return "some of the calls do not leave by an egress gateway"
		}
	}
	return said
}

func calls(of trace.Way) string {
	out := strings.Join(of.When, ", ")
	switch {
	case of.Copy && out == "":
		return "a copy of all"
	case of.Copy:
		return "a copy of " + out
	case out == "":
		return "all"
	}
	return out
}

func wayLines(of trace.Way) (out []string) {
	say := func(what, text string) {
		if text != "" {
			out = append(out, what+": "+text)
		}
	}
	say("Why", of.Why)
	say("Entry", named(of.Entry))
	say("Route", named(of.Route))
	say("Exit", named(of.Exit))
	say("Admits", of.Admits)
	if of.Ready != nil {
		say("ExitReady", strings.TrimSuffix(strings.TrimSpace(of.Ready.Status+" "+of.Ready.Reason)+": "+of.Ready.Message, ": "))
	}
	if of.Encrypted {
		say("TLS", "the last proxy encrypts the calls")
	}
	say("Change", of.Change)
	return out
}

func named(of *trace.Object) string {
	if of == nil {
		return ""
	}
	out := of.Kind + " " + of.Namespace + "/" + of.Name
	if of.Field != "" {
		out += ", " + of.Field
	}
	return out
}

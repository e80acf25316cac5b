package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/egress-governor/egress-governor/internal/trace"
)

// TraceFormats are the forms in which it is said what becomes of a call.
var TraceFormats = []string{"json", "table", "yaml"}

// WriteTrace writes what becomes of a call in one of TraceFormats.
func WriteTrace(w io.Writer, outcome trace.Outcome, format string) error {
	return written(w, outcome, format, func() string { return traceTable(outcome) })
}

// traceTable has a row for each way of a call, and below it how it comes to that.
func traceTable(of trace.Outcome) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s from %s: %s\n\n", printable(of.Call.String()), printable(of.Call.Caller()), ending(of))
	rows, said := [][]string{{"ENDS", "CALLS", "BY", "TO"}}, [][]string{nil}
	for _, way := range of.Ways {
		rows = append(rows, []string{string(way.Ends), calls(way), way.Gateway, strings.Join(way.To, ", ")})
		said = append(said, wayLines(way))
	}
	columns(&out, rows, said)
	if len(of.Notes) > 0 {
		out.WriteString("\n")
	}
	for _, note := range of.Notes {
		fmt.Fprintf(&out, "Note: %s\n", printable(note))
	}
	return out.String()
}

// ending is what becomes of a call in a few words.
func ending(of trace.Outcome) string {
	if of.Leaves() {
		return "leaves by an egress gateway"
	}
	ends := map[trace.Ends]string{trace.Blocked: "leads nowhere", trace.InMesh: "stays in the mesh", trace.Straight: "leaves past every egress gateway"}
	waited := slices.DeleteFunc(slices.Clone(of.Ways), func(way trace.Way) bool { return way.Copy })
	if slices.ContainsFunc(waited, func(way trace.Way) bool { return way.Ends != waited[0].Ends }) {
		return "some of the calls do not leave by an egress gateway"
	}
	if len(waited) == 0 {
		return ""
	}
	return ends[waited[0].Ends]
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

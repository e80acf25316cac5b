package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/egress-governor/egress-governor/internal/overview"
)

// GraphFormats are the forms of a picture.
var GraphFormats = []string{"dot", "json", "mermaid", "svg"}

// WriteGraph writes a picture in one of GraphFormats.
func WriteGraph(w io.Writer, of *overview.Graph, format string) error {
	var text string
	switch format {
	case "json":
		return writeJSON(w, of)
	case "dot":
		text = dot(of)
	case "svg":
		text = svg(of, true)
	default:
		text = mermaid(of)
	}
	_, err := io.WriteString(w, text)
	return err
}

// title is what a node says, a line each.
func title(of overview.Node) (lines []string) {
	lines = []string{of.Name}
	if of.Note != "" {
		lines = append(lines, of.Note)
	}
	if word := stateWords[of.State]; word != "" {
		lines = append(lines, word)
	}
	return lines
}

// stateWords say of what is not in order what it is.
var stateWords = map[string]string{
	overview.StateFound: "in violation", overview.StateNotReady: "not ready", overview.StateSuspended: "suspended", overview.StateStraight: "past every gateway",
}

func mermaid(of *overview.Graph) string {
	var out strings.Builder
	out.WriteString("flowchart LR\n")
	shapes := map[string][2]string{overview.KindNamespace: {"([", "])"}, overview.KindGateway: {"{{", "}}"}, overview.KindHost: {"[", "]"}}
	for _, node := range of.Nodes {
		var lines []string
		for _, line := range title(node) {
			lines = append(lines, forMermaid(line))
		}
		shape := shapes[node.Kind]
		fmt.Fprintf(&out, "    %s%s\"%s\"%s:::%s\n", node.ID, shape[0], strings.Join(lines, "<br>"), shape[1], node.State)
	}
	for _, edge := range of.Edges {
		arrow := "-->"
		if edge.State != overview.StateOpen {
			arrow = "-.->"
		}
		if word := stateWords[edge.State]; word != "" {
			arrow += "|" + word + "|"
		}
		fmt.Fprintf(&out, "    %s %s %s\n", edge.From, arrow, edge.To)
	}
	out.WriteString("    classDef found stroke:#b7791f,stroke-width:2px\n    classDef notReady stroke:#b7791f,stroke-dasharray:4\n" +
		"    classDef suspended stroke:#c53030,stroke-dasharray:4\n    classDef straight stroke:#c53030,stroke-width:3px\n")
	return out.String()
}

// forMermaid has whatever is not plain as a number of its character: names are tenants' words.
func forMermaid(text string) string {
	var out strings.Builder
	for _, letter := range text {
		if letter < 128 && strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,-_/:*", letter) {
			out.WriteRune(letter)
			continue
		}
		fmt.Fprintf(&out, "#%d;", letter)
	}
	return out.String()
}

func dot(of *overview.Graph) string {
	var out strings.Builder
	out.WriteString("digraph egress {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n")
	shapes := map[string]string{overview.KindNamespace: "ellipse", overview.KindGateway: "hexagon", overview.KindHost: "box"}
	colors := map[string]string{overview.StateOpen: "black", overview.StateFound: "darkorange", overview.StateNotReady: "darkorange", overview.StateSuspended: "red", overview.StateStraight: "red"}
	for _, node := range of.Nodes {
		fmt.Fprintf(&out, "  %s [shape=%s, color=%s, label=%s];\n", node.ID, shapes[node.Kind], colors[node.State], forDot(strings.Join(title(node), "\n")))
	}
	for _, edge := range of.Edges {
		style := "solid"
		if edge.State != overview.StateOpen {
			style = "dashed"
		}
		fmt.Fprintf(&out, "  %s -> %s [color=%s, style=%s];\n", edge.From, edge.To, colors[edge.State], style)
	}
	out.WriteString("}\n")
	return out.String()
}

func forDot(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(printable(line))
	}
	return `"` + strings.Join(lines, `\n`) + `"`
}

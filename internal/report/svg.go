package report

import (
	"encoding/xml"
	"fmt"
	"strings"

	"github.com/egress-governor/egress-governor/internal/overview"
)

// A picture in three columns: namespaces, gateways, hosts. Nothing in it asks for anything elsewhere.

const (
	boxHeight, boxGap    = 44, 12
	columnGap, margin    = 140, 16
	letterWidth, padding = 7.4, 24
	longest              = 44
)

// svgStyle colours the picture, by day and by night.
const svgStyle = `.node rect{fill:#fff;stroke:#4a5568;stroke-width:1.5}.node text{font:13px system-ui,sans-serif;fill:#1a202c}.node .note{font-size:11px;fill:#4a5568}
.namespace rect{rx:22}.gateway rect{fill:#ebf4ff}.edge{fill:none;stroke:#718096;stroke-width:1.5}
.found rect,.notReady rect{stroke:#b7791f;stroke-width:2.5}.suspended rect,.straight rect{stroke:#c53030;stroke-width:2.5}
.notReady rect,.suspended rect{stroke-dasharray:5 3}.edge.found,.edge.notReady{stroke:#b7791f}.edge.suspended,.edge.straight{stroke:#c53030}.edge.notReady,.edge.suspended{stroke-dasharray:5 3}
@media (prefers-color-scheme:dark){.node rect{fill:#1a202c;stroke:#a0aec0}.node text{fill:#edf2f7}.node .note{fill:#cbd5e0}.gateway rect{fill:#2a4365}.edge{stroke:#a0aec0}
.found rect,.notReady rect,.edge.found,.edge.notReady{stroke:#ecc94b}.suspended rect,.straight rect,.edge.suspended,.edge.straight{stroke:#fc8181}}
`

// Picture returns the picture for a page that has a style for it.
func Picture(of *overview.Graph) string { return svg(of, false) }

// box is a node in its place.
type box struct {
	overview.Node
	x, y, width float64
	lines       []string
}

// svg returns the picture, with the style of its own where it stands alone.
func svg(of *overview.Graph, alone bool) string {
	boxes, width, height := layout(of)
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" role="img" aria-label="namespaces, egress gateways and hosts">`+"\n", width, height, width, height)
	if alone {
		fmt.Fprintf(&out, "<style>%s</style>\n", svgStyle)
	}
	for _, edge := range of.Edges {
		from, to := boxes[edge.From], boxes[edge.To]
		x1, y1, x2, y2 := from.x+from.width, from.y+boxHeight/2, to.x, to.y+boxHeight/2
		bend := (x2 - x1) / 2
		fmt.Fprintf(&out, `<path class="edge %s" data-from="%s" data-to="%s" d="M%.0f %.0fC%.0f %.0f %.0f %.0f %.0f %.0f"/>`+"\n", edge.State, edge.From, edge.To, x1, y1, x1+bend, y1, x2-bend, y2, x2, y2)
	}
	for _, node := range of.Nodes {
		at := boxes[node.ID]
		fmt.Fprintf(&out, `<g class="node %s %s" data-id="%s"><title>%s</title><rect x="%.0f" y="%.0f" width="%.0f" height="%d" rx="6"/>`, node.Kind, node.State, node.ID, escaped(strings.Join(title(node), "\n")), at.x, at.y, at.width, boxHeight)
		first := at.y + 18
		if len(at.lines) == 1 {
			first = at.y + 27
		}
		fmt.Fprintf(&out, `<text x="%.0f" y="%.0f">%s</text>`, at.x+padding/2, first, escaped(at.lines[0]))
		if len(at.lines) > 1 {
			fmt.Fprintf(&out, `<text class="note" x="%.0f" y="%.0f">%s</text>`, at.x+padding/2, at.y+35, escaped(at.lines[1]))
		}
		out.WriteString("</g>\n")
	}
	out.WriteString("</svg>\n")
	return out.String()
}

// layout puts each kind of nodes into a column, in their order, and the shorter columns in the middle.
func layout(of *overview.Graph) (boxes map[string]box, width, height float64) {
	boxes = map[string]box{}
	columns := [3][]box{}
	widths := [3]float64{}
	for _, node := range of.Nodes {
		column := map[string]int{overview.KindNamespace: 0, overview.KindGateway: 1, overview.KindHost: 2}[node.Kind]
		next := box{Node: node}
		said := title(node)
		next.lines = []string{cutShort(said[0])}
		if len(said) > 1 {
			next.lines = append(next.lines, cutShort(strings.Join(said[1:], " · ")))
		}
		for _, line := range next.lines {
			widths[column] = max(widths[column], float64(len([]rune(line)))*letterWidth+padding)
		}
		columns[column] = append(columns[column], next)
	}
	tallest := 0
	for _, column := range columns {
		tallest = max(tallest, len(column))
	}
	height = 2*margin + float64(max(tallest, 1)*(boxHeight+boxGap)-boxGap)
	x := float64(margin)
	for i, column := range columns {
		y := (height - float64(len(column)*(boxHeight+boxGap)-boxGap)) / 2
		for _, next := range column {
			next.x, next.y, next.width = x, y, widths[i]
			boxes[next.ID] = next
			y += boxHeight + boxGap
		}
		if x += widths[i]; widths[i] > 0 && i < 2 {
			x += columnGap
		}
	}
	return boxes, x + margin, height
}

func cutShort(text string) string {
	letters := []rune(printable(text))
	if len(letters) <= longest {
		return string(letters)
	}
	return string(letters[:longest-1]) + "…"
}

// escaped is text as it may stand in XML, and in HTML.
func escaped(text string) string {
	var out strings.Builder
	_ = xml.EscapeText(&out, []byte(text)) // a Builder takes everything
	return out.String()
}

package report_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/overview"
	"github.com/egress-governor/egress-governor/internal/report"
)

// hostile are names as only a tenant who means harm has them.
var hostile = []string{
	`"]; click n1 "javascript:alert(1)`, `</title><script>alert(1)</script>`, "a\nn1 --> n2", "x\\\"; evil -> y; \"", `<img src=x onerror=alert(1)>`, "]]>", "\u202egnp.exe", "#quot;", "%%{init: {}}%%",
}

func hostileGraph() *overview.Graph {
	of := &overview.Overview{Gateways: []overview.Gateway{{Name: "default", Transport: "Plain"}}}
	for _, name := range hostile {
		of.Exits = append(of.Exits, overview.Exit{
			Host: name, Namespace: name, Entry: name, Clients: []string{name}, Gateway: "default", Ends: overview.ByGateway, Transport: "Plain", Ports: []overview.Port{{Number: 443, Protocol: name}},
		})
	}
	return of.Graph(nil)
}

func drawn(t *testing.T, of *overview.Graph, format string) string {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, report.WriteGraph(&out, of, format))
	var again bytes.Buffer
	require.NoError(t, report.WriteGraph(&again, of, format))
	assert.Equal(t, out.String(), again.String())
	return out.String()
}

// TestNamesAreNoWordsOfThePicture: whoever writes them, each picture has as many nodes and edges as before.
func TestNamesAreNoWordsOfThePicture(t *testing.T) {
	t.Parallel()
	of := hostileGraph()
	require.Len(t, of.Nodes, 2*len(hostile)+1)
	require.Len(t, of.Edges, 2*len(hostile))

	text := drawn(t, of, "mermaid")
	node, edge := regexp.MustCompile(`^    n\d+(\(\[|\{\{|\[)"(?:[a-zA-Z0-9 .,_/:*-]|#\d+;|<br>)*"(\]\)|\}\}|\]):::\w+$`), regexp.MustCompile(`^    n\d+ (-->|-\.->)(\|[a-z ]+\|)? n\d+$`)
	nodes, edges := 0, 0
	for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n")[1:] {
		switch {
		case node.MatchString(line):
			nodes++
		case edge.MatchString(line):
			edges++
		default:
			assert.Regexp(t, `^    classDef \w+ [a-z0-9:,#-]+$`, line)
		}
	}
	assert.Equal(t, len(of.Nodes), nodes)
	assert.Equal(t, len(of.Edges), edges)

	node, edge = regexp.MustCompile(`^  n\d+ \[shape=\w+, color=\w+, label="(?:[^"\\]|\\["\\n])*"\];$`), regexp.MustCompile(`^  n\d+ -> n\d+ \[color=\w+, style=\w+\];$`)
	nodes, edges = 0, 0
	for _, line := range strings.Split(drawn(t, of, "dot"), "\n") {
		if node.MatchString(line) {
			nodes++
		} else if edge.MatchString(line) {
			edges++
		}
	}
	assert.Equal(t, len(of.Nodes), nodes)
	assert.Equal(t, len(of.Edges), edges)

	var back overview.Graph
	require.NoError(t, json.Unmarshal([]byte(drawn(t, of, "json")), &back))
	assert.Equal(t, of, &back)
}

// TestAPictureIsItsOwn: well-formed, of a few elements, and asks for nothing elsewhere.
func TestAPictureIsItsOwn(t *testing.T) {
	t.Parallel()
	text := drawn(t, hostileGraph(), "svg")
	decoder, count := xml.NewDecoder(strings.NewReader(text)), map[string]int{}
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if start, is := token.(xml.StartElement); is {
			count[start.Name.Local]++
			for _, attribute := range start.Attr {
				assert.NotContains(t, []string{"href", "src", "onload", "onclick"}, attribute.Name.Local)
			}
		}
	}
	assert.Equal(t, map[string]int{"svg": 1, "style": 1, "g": 19, "title": 19, "rect": 19, "path": 18, "text": 38 - 9}, count)
	assert.NotContains(t, text, "url(")
	assert.Contains(t, text, "prefers-color-scheme:dark")
}

// TestWhatIsNotInOrderIsSeen in the graph, and what stays in the mesh is not in it.
func TestWhatIsNotInOrderIsSeen(t *testing.T) {
	t.Parallel()
	exit := func(host, ends string, change func(*overview.Exit)) overview.Exit {
		out := overview.Exit{Host: host, Namespace: "shop", Entry: host, Clients: []string{"shop"}, Ends: ends, Ready: "True"}
		if ends == overview.ByGateway {
			out.Gateway = "default"
		}
		if change != nil {
			change(&out)
		}
		return out
	}
	of := &overview.Overview{Gateways: []overview.Gateway{{Name: "default", Problems: []string{"no Service"}}}, Exits: []overview.Exit{
		exit("open", overview.ByGateway, nil), exit("found", overview.ByGateway, func(e *overview.Exit) { e.Findings = 1 }),
		exit("notReady", overview.ByGateway, func(e *overview.Exit) { e.Ready, e.Findings = "False", 1 }),
		exit("suspended", overview.ByGateway, func(e *overview.Exit) { e.Ready, e.Suspended = "False", true }),
		exit("straight", overview.Straight, nil), exit("mesh", overview.InMesh, nil),
		exit("open", overview.ByGateway, func(e *overview.Exit) { e.Everybody = true }),
	}}
	got := of.Graph(nil)
	states := map[string]string{}
	for _, node := range got.Nodes {
		states[node.Name] = node.State
		if node.Kind == overview.KindHost {
			assert.Equal(t, node.Name, node.State)
		}
	}
	assert.Equal(t, "notReady", states["default"])
	assert.NotContains(t, states, "mesh")
	assert.Contains(t, states, "every namespace")
	assert.Len(t, of.Graph(func(e overview.Exit) bool { return e.Ends == overview.Straight }).Edges, 1)
}

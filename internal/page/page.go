// Package page is an overview as one HTML page: it stands alone in a file, or is served and keeps itself current. It asks for nothing
// elsewhere, and what tenants wrote is text in it and nothing more.
package page

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/egress-governor/egress-governor/internal/overview"
	"github.com/egress-governor/egress-governor/internal/report"
)

var (
	//go:embed page.html
	layout string
	//go:embed page.css
	style string
	//go:embed page.js
	script string

	page = template.Must(template.New("page").Funcs(template.FuncMap{"state": state, "join": strings.Join}).Parse(layout))
)

// drawable is how many exits a picture has at most: of more nobody sees anything.
const drawable = 150

// content is what the page is made of.
type content struct {
	*overview.Overview
	Style   template.CSS
	Script  template.JS
	Policy  string
	At      string
	Live    bool
	Picture template.HTML
	Left    int
	Counts  []count
}

// count is a figure, and the state that it counts; empty for all.
type count struct {
	Number      int
	What, State string
}

// securityPolicy lets the page do what it does itself: its own style and script, and of a server whatever that is asked from.
func securityPolicy(connect string) string {
	hash := func(of string) string {
		sum := sha256.Sum256([]byte(of))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return fmt.Sprintf("default-src 'none'; style-src %s; script-src %s; connect-src %s; base-uri 'none'; form-action 'none'", hash(style), hash(script), connect)
}

// Write writes the page of a moment, as it stands alone in a file.
func Write(w io.Writer, of *overview.Overview, at time.Time) error {
	return write(w, of, at, "'none'")
}

func write(w io.Writer, of *overview.Overview, at time.Time, connect string) error {
	return page.Execute(w, newContent(of, at, connect))
}

// writeMain writes the part of the page that changes.
func writeMain(of *overview.Overview, at time.Time) ([]byte, error) {
	var out bytes.Buffer
	err := page.ExecuteTemplate(&out, "main", newContent(of, at, "'self'"))
	return out.Bytes(), err
}

func newContent(of *overview.Overview, at time.Time, connect string) content {
	out := content{
		Overview: of, Style: template.CSS(style), Script: template.JS(script), //nolint:gosec // they are ours, embedded
		Policy: securityPolicy(connect), At: at.UTC().Format(time.RFC3339), Live: connect != "'none'",
	}
	out.draw()
	numbers := map[string]int{}
	for _, exit := range of.Exits {
		numbers[state(exit)]++
	}
	out.Counts = []count{{len(of.Exits), "exits", ""}}
	for _, each := range stateWords {
		if numbers[each] > 0 {
			out.Counts = append(out.Counts, count{numbers[each], each, each})
		}
	}
	return out
}

// draw makes the picture, of many exits of those that are not in order first.
func (c *content) draw() {
	some := *c.Overview
	some.Exits = slices.DeleteFunc(slices.Clone(c.Exits), func(exit overview.Exit) bool { return exit.Ends == overview.InMesh })
	slices.SortStableFunc(some.Exits, func(a, b overview.Exit) int { return inOrder(a) - inOrder(b) })
	if c.Left = max(0, len(some.Exits)-drawable); c.Left > 0 {
		some.Exits = some.Exits[:drawable]
	}
	c.Picture = template.HTML(report.Picture(some.Graph(nil))) //nolint:gosec // it escapes what it draws
}

func inOrder(of overview.Exit) int {
	if of.State() == overview.StateOpen {
		return 1
	}
	return 0
}

// stateWords are the states of exits, the worst first.
var stateWords = []string{"past every gateway", "suspended", "not ready", "in violation", "in order", "in the mesh"}

// state is that of an exit in words.
func state(of overview.Exit) string {
	if of.Ends == overview.InMesh {
		return "in the mesh"
	}
	return map[string]string{
		overview.StateStraight: "past every gateway", overview.StateSuspended: "suspended", overview.StateNotReady: "not ready", overview.StateFound: "in violation", overview.StateOpen: "in order",
	}[of.State()]
}

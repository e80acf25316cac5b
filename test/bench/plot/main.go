// Command plot draws the results of bench: make performance.
package main

import (
	"encoding/json"
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// row and results are what is drawn of the results of bench.
type row struct {
	Variant string
	P50     float64
}

type results struct {
	DryRun map[string][]row
	Growth []struct {
		Entries int
		DryRun  []row
	}
}

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run draws the results of a file into a folder.
func run(file, folder string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var of results
	if err := json.Unmarshal(raw, &of); err != nil {
		return err
	}
	if err := draws(filepath.Join(folder, "performance-policies.svg"), "A dry run of one client, p50", "policies that match", byPolicies(of)); err != nil || len(of.Growth) < 2 {
		return err
	}
	return draws(filepath.Join(folder, "performance-entries.svg"), "A dry run of one client, p50", "entries", byEntries(of))
}

// series is a line of a plot.
type series struct {
	name   string
	points plotter.XYs
}

// byPolicies has the policies of a variant beside its latency. Who has none is the same for every number.
func byPolicies(of results) []series {
	out := []series{{name: "no webhook"}, {name: "a pair that does nothing"}, {name: "CEL"}, {name: "ours"}}
	for _, one := range of.DryRun["1"] {
		kind, count, _ := strings.Cut(one.Variant, "-")
		policies, err := strconv.ParseFloat(count, 64)
		i := slices.Index([]string{"none", "pair", "cel", "ours"}, kind)
		switch {
		case i < 0:
		case i < 2:
			for _, x := range []float64{0, 1, 10, 100} {
				out[i].points = append(out[i].points, plotter.XY{X: x, Y: one.P50})
			}
		case err == nil:
			out[i].points = append(out[i].points, plotter.XY{X: policies, Y: one.P50})
		}
	}
	return out
}

// names are the variants that are measured again as entries come.
var names = [][2]string{{"none", "no webhook"}, {"pair", "a pair that does nothing"}, {"cel-10", "CEL, 10 policies"}, {"ours-10", "ours, 10 policies"}, {"ours-baseline-10", "ours, the baseline and 10"}}

func byEntries(of results) (out []series) {
	for _, name := range names {
		next := series{name: name[1]}
		for _, step := range of.Growth {
			for _, one := range step.DryRun {
				if one.Variant == name[0] {
					next.points = append(next.points, plotter.XY{X: float64(step.Entries), Y: one.P50})
				}
			}
		}
		out = append(out, next)
	}
	return out
}

// colours tell the lines apart, on light and dark pages.
var colours = []color.RGBA{{0x7f, 0x7f, 0x7f, 0xff}, {0x1f, 0x77, 0xb4, 0xff}, {0xff, 0x7f, 0x0e, 0xff}, {0x2c, 0xa0, 0x2c, 0xff}, {0xd6, 0x27, 0x28, 0xff}}

func draws(file, title, x string, lines []series) error {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, "milliseconds"
	p.Y.Min, p.X.Tick.Marker, p.X.Scale = 0, plot.ConstantTicks(ticks(lines)), counts{}
	p.Legend.Top, p.Legend.Left = true, true
	p.Add(plotter.NewGrid())
	most := 0.0
	for i, one := range lines {
		line, points, err := plotter.NewLinePoints(one.points)
		if err != nil {
			return fmt.Errorf("%s: %w", one.name, err)
		}
		line.Color, points.Color, points.Shape = colours[i], colours[i], draw.CircleGlyph{}
		line.Width = vg.Points(1.5)
		p.Add(line, points)
		p.Legend.Add(one.name, line, points)
		for _, point := range one.points {
			most = max(most, point.Y)
		}
	}
	// The legend has its place above the lines.
	p.Y.Min, p.Y.Max = 0, most*1.6
	p.X.Max *= 1.25 // its label has some width
	return p.Save(7*vg.Inch, 4*vg.Inch, file)
}

func ticks(lines []series) (out []plot.Tick) {
	known := map[float64]bool{}
	for _, one := range lines {
		for _, point := range one.points {
			if !known[point.X] {
				known[point.X] = true
				out = append(out, plot.Tick{Value: point.X, Label: strconv.FormatFloat(point.X, 'f', -1, 64)})
			}
		}
	}
	return out
}

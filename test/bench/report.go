package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// The part of docs/performance.md that is made of results lies between these lines.
const (
	begins = "<!-- From here on: make performance -->"
	ends   = "<!-- To here: make performance -->"
)

// documents writes the tables of the last results into docs/performance.md.
func documents(root string) error {
	raw, err := os.ReadFile(resultsFile(root))
	if err != nil {
		return err
	}
	var of results
	if err := json.Unmarshal(raw, &of); err != nil {
		return err
	}
	inProcess, err := readBenchmarks(filepath.Join(root, ".run", "bench", "go.txt"))
	if err != nil {
		return err
	}
	page := filepath.Join(root, "docs", "performance.md")
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(text), begins)
	_, after, closed := strings.Cut(rest, ends)
	if !found || !closed {
		return fmt.Errorf("%s has no lines %q and %q", page, begins, ends)
	}
	return os.WriteFile(page, []byte(before+begins+"\n\n"+tables(of, inProcess)+"\n"+ends+after), 0o600)
}

func tables(of results, inProcess map[string]benchmark) string {
	var out strings.Builder
	fmt.Fprintf(&out, "Measured on %s at commit %s: %s, shared with the API server and etcd; load average at the start %s; %s, Kubernetes %s.\n",
		of.Date, of.Commit, of.Machine, of.Load, of.Go, of.Kubernetes)
	if busy(of.Load) {
		out.WriteString("\n**The machine was busy with other work: ratios scatter, milliseconds say little, and no verdict below counts until `make performance` has run on a quiet one.**\n")
	}
	out.WriteString("\n## Targets\n\n" + table([]string{"target", "measured", ""}, targets(of, inProcess)))
	out.WriteString("\n## One dry run\n\n")
	for _, many := range []string{"1", "4", "16"} {
		fmt.Fprintf(&out, "%s:\n\n%s\n", plural(many, "client"), table(dryRunHeader, dryRunRows(of.DryRun[many], of.Peak)))
	}
	out.WriteString("![Latency by policies](performance-policies.svg)\n")
	out.WriteString("\n## Stored\n\n16 clients store entries of new hosts, until the exit of each stands:\n\n" + table(storedHeader, storedRows(of.Stored)))
	out.WriteString("\nWhat the API server is asked to write for an entry, beside its author's apply:\n\n" + table([]string{"", "at most", "writes", "which"}, writeRows(of.Writes)))
	out.WriteString("\n## Growth\n\n" + table(growthHeader, growthRows(of.Growth)))
	out.WriteString("\n![Latency by entries](performance-entries.svg)\n")
	fmt.Fprintf(&out, "\nWhile a policy changed %d times, dry runs of one client took %.1f ms at p50 and %.1f ms at p99; in turns with these and without changes %.1f and %.1f ms.\n",
		of.Reloads.Count, of.Reloads.P50Then, of.Reloads.P99Then, of.Reloads.P50, of.Reloads.P99)
	out.WriteString("\n## In the process\n\n" + table([]string{"benchmark", "processor time", "allocated", "allocations"}, benchmarkRows(inProcess)))
	return out.String()
}

// busy says whether others took the machine when a run began: the benchmarks in the process, which come before it, take one
// processor.
func busy(load string) bool {
	last, _, _ := strings.Cut(load, " ")
	average, err := strconv.ParseFloat(last, 64)
	return err == nil && average > 2
}

func table(header []string, rows [][]string) string {
	var out strings.Builder
	fmt.Fprintf(&out, "| %s |\n|%s\n", strings.Join(header, " | "), strings.Repeat("---|", len(header)))
	for _, row := range rows {
		fmt.Fprintf(&out, "| %s |\n", strings.Join(row, " | "))
	}
	return out.String()
}

func plural(count, what string) string {
	if count == "1" {
		return "One " + what
	}
	return count + " " + what + "s"
}

var (
	dryRunHeader = []string{"", "p50", "p95", "p99", "of the pair, p50", "p99", "a second", "of the pair", "processor, webhook", "pair", "API server", "memory, at most"}
	storedHeader = []string{"", "apply, p50", "p99", "entries a second", "of the pair with writes by hand", "processor, webhook", "pair", "API server", "allocated, webhook", "API server"}
	growthHeader = []string{"entries", "policies", "exits of the last ones stand after", "requests for each", "dry run, p50", "of the pair", "resident", "of it the heap and stacks", "ready after a start", "resident then"}
)

// said are the names of the variants as tables have them.
var said = map[string]string{
	"none": "no webhook", "pair": "a pair that does nothing", "patches": "a pair that patches", byHand: "the pair, and the writes by hand",
	"cel-1": "CEL, 1 policy", "cel-10": "CEL, 10 policies", "cel-100": "CEL, 100 policies",
	"ours-0": "ours, no policy", "ours-1": "ours, 1 policy", "ours-10": "ours, 10 policies", "ours-100": "ours, 100 policies", "ours-baseline-10": "ours, the baseline and 10",
}

func dryRunRows(of []row, peak map[string]float64) (out [][]string) {
	for _, one := range of {
		out = append(out, []string{
			said[one.Variant], ms(one.P50), ms(one.P95), ms(one.P99), ratio(one.P50Ratio), ratio(one.P99Ratio), fmt.Sprintf("%.0f", one.PerSecond), ratio(one.ThroughputRatio),
			ms(one.Webhook), ms(one.Pair), ms(one.APIServer), fmt.Sprintf("%.0f MiB", peak[one.Variant]),
		})
	}
	return out
}

func storedRows(of []row) (out [][]string) {
	hand := rowNamed(of, byHand)
	for _, one := range of {
		out = append(out, []string{
			said[one.Variant], ms(one.P50), ms(one.P99), fmt.Sprintf("%.0f", one.PerSecond), ratio(one.PerSecond / hand.PerSecond), ms(one.Webhook), ms(one.Pair), ms(one.APIServer),
			fmt.Sprintf("%.0f KB", one.WebhookKB), fmt.Sprintf("%.0f KB", one.APIServerKB),
		})
	}
	return out
}

func writeRows(of []asked) (out [][]string) {
	for _, one := range of {
		out = append(out, []string{one.What, number(one.Most), number(one.Each), one.Which})
	}
	return out
}

func growthRows(of []grows) (out [][]string) {
	for _, one := range of {
		at := rowNamed(one.DryRun, "ours-baseline-10")
		out = append(out, []string{
			fmt.Sprint(one.Entries), fmt.Sprint(one.Policies), fmt.Sprintf("%d: %.1f s", one.New, one.Stand), one.Requests, ms(at.P50), ratio(at.P50Ratio),
			fmt.Sprintf("%.0f MiB", one.Resident), fmt.Sprintf("%.0f MiB", one.Anonymous), fmt.Sprintf("%.1f s", one.Ready), fmt.Sprintf("%.0f MiB", one.Restarted),
		})
	}
	return out
}

func rowNamed(of []row, name string) row {
	i := slices.IndexFunc(of, func(one row) bool { return one.Variant == name })
	if i < 0 {
		// Nothing was measured of it, which meets no target.
		none := row{Variant: name}
		for into := range fields(&none) {
			*into = math.NaN()
		}
		return none
	}
	return of[i]
}

func ms(of float64) string { return fmt.Sprintf("%.2f ms", of) }

func ratio(of float64) string { return fmt.Sprintf("%.2f", of) }

// show prints rows while a run is under way.
func show(of []row) { fmt.Println(table(dryRunHeader[:11], shortened(dryRunRows(of, nil)))) }

func shortened(of [][]string) [][]string {
	for i := range of {
		of[i] = of[i][:11]
	}
	return of
}

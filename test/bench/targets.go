package main

import (
	"fmt"
	"math"
)

// targets holds what was measured to what is aimed at: a row for each.
func targets(of results, inProcess map[string]benchmark) (out [][]string) {
	most := func(name, unit string, measured, at float64) {
		out = append(out, []string{fmt.Sprintf("%s ≤ %s%s", name, number(at), unit), number(measured) + unit, verdict(measured <= at, measured)})
	}
	least := func(name string, measured, at float64) {
		out = append(out, []string{fmt.Sprintf("%s ≥ %s", name, number(at)), number(measured), verdict(measured >= at, measured)})
	}
	one := rowNamed(of.DryRun["1"], "ours-baseline-10")
	most("a dry run under the baseline and 10 policies, one client, of the pair's: p50", " times", one.P50Ratio, 1.10)
	most("the same, p99", " times", one.P99Ratio, 1.25)
	least("the same with 16 clients, throughput of the pair's", rowNamed(of.DryRun["16"], "ours-baseline-10").ThroughputRatio, 0.9)
	least("stored under the baseline and 10 policies, throughput of a pair's whose client makes the same writes", rowNamed(of.Stored, "ours-baseline-10").PerSecond/rowNamed(of.Stored, byHand).PerSecond, 0.9)
	for _, one := range of.Writes {
		most("writes for "+one.What, "", one.Each, one.Most)
	}
	cpu := func(name string) float64 {
		if known, is := inProcess[name]; is {
			return known.cpu
		}
		return math.NaN()
	}
	ten := cpu("BenchmarkPolicies/matching=10/installed=10")
	most("10 policies", " µs", ten/1e3, 150)
	most("the validate handler under 10 policies of 10,000 hosts", " µs", cpu("BenchmarkValidate/policies=10/hosts=10000")/1e3, 300)
	most("10 of 1,000 policies, of 10 that are all", " times", cpu("BenchmarkPolicies/matching=10/installed=1000")/ten, 1.1)
	most("10 policies of 10,000 hosts, of those of 10", " times", cpu("BenchmarkParameters/hosts=10000")/cpu("BenchmarkParameters/hosts=10"), 1.2)
	most("a VirtualService of 500 routes", " ms", cpu("BenchmarkRoutes/validate/routes=500")/1e6, 10)
	return append(out, ofGrowth(of)...)
}

func verdict(met bool, measured float64) string {
	switch {
	case math.IsNaN(measured):
		return "not measured"
	case met:
		return "met"
	}
	return "**missed**"
}

func number(of float64) string {
	if of >= 100 {
		return fmt.Sprintf("%.0f", of)
	}
	return fmt.Sprintf("%.3g", of)
}

// ofGrowth are the targets of many entries, as far as they were grown to.
func ofGrowth(of results) (out [][]string) {
	for _, target := range []struct {
		entries  int
		resident float64
	}{{1000, 64}, {10000, 160}} {
		for i, at := range of.Growth {
			if at.Entries != target.entries {
				continue
			}
			out = append(out, []string{fmt.Sprintf("resident with %d entries and %d policies ≤ %.0f MiB", at.Entries, at.Policies, target.resident), number(at.Resident) + " MiB", verdict(at.Resident <= target.resident, at.Resident)})
			if at.Entries == 1000 {
				out = append(out, []string{fmt.Sprintf("exits of %d new hosts stand within 15 s", at.New), number(at.Stand) + " s", verdict(at.Stand <= 15, at.Stand)})
			}
			if i > 0 {
				share := rowNamed(at.DryRun, "ours-baseline-10").P50Ratio / rowNamed(of.Growth[0].DryRun, "ours-baseline-10").P50Ratio
				out = append(out, []string{fmt.Sprintf("a dry run with %d entries, of one with %d ≤ 1.1 times (both of the pair's beside them)", at.Entries, of.Growth[0].Entries), number(share) + " times", verdict(share <= 1.1, share)})
			}
			out = append(out, []string{fmt.Sprintf("ready after a start with %d entries ≤ 10 s", at.Entries), number(at.Ready) + " s", verdict(at.Ready <= 10, at.Ready)})
		}
	}
	if of.Reloads.Count == 0 {
		of.Reloads.Ratio = math.NaN()
	}
	return append(out, []string{"a dry run while policies change, p99 of that without ≤ 1.5 times", number(of.Reloads.Ratio) + " times", verdict(of.Reloads.Ratio <= 1.5, of.Reloads.Ratio)})
}

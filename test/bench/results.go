package main

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"
)

// results are what a run measured: results.json, of which the tables and plots are made.
type results struct {
	Date, Commit, Machine, Go, Kubernetes string
	Load                                  string
	DryRun                                map[string][]row // by the number of clients
	Peak                                  map[string]float64
	Stored                                []row
	Writes                                []asked
	Growth                                []grows
	Reloads                               reloads
}

// row is one variant: medians of the rounds.
type row struct {
	Variant string
	// P50, P95 and P99 are in milliseconds, PerSecond is the throughput.
	P50, P95, P99, PerSecond float64
	// Of the pair's in the same round.
	P50Ratio, P99Ratio, ThroughputRatio float64
	// Webhook, Pair and APIServer are processor milliseconds for each request.
	Webhook, Pair, APIServer float64
	// WebhookKB and APIServerKB are the kilobytes that are allocated for each, where that is measured.
	WebhookKB, APIServerKB float64
}

// order is that of the tables.
func order(name string) int {
	for i, one := range variants {
		if one.name == name {
			return i * 2
		}
	}
	return 3 // by hand: after the pair
}

// rows sums up the rounds, a row for each variant.
func rows(of map[string][]sample) (out []row) {
	pairs := of["pair"]
	for _, name := range slices.SortedFunc(maps.Keys(of), func(a, b string) int { return cmp.Compare(order(a), order(b)) }) {
		var each []row
		for i, one := range of[name] {
			next, pair := one.row(), pairs[i].row()
			next.P50Ratio, next.P99Ratio, next.ThroughputRatio = next.P50/pair.P50, next.P99/pair.P99, next.PerSecond/pair.PerSecond
			each = append(each, next)
		}
		sum := row{Variant: name}
		for into, from := range fields(&sum) {
			*into = median(each, from)
		}
		out = append(out, sum)
	}
	return out
}

// fields are the numbers of a row, with how each is read of another.
func fields(of *row) map[*float64]func(row) float64 {
	return map[*float64]func(row) float64{
		&of.P50: func(r row) float64 { return r.P50 }, &of.P95: func(r row) float64 { return r.P95 }, &of.P99: func(r row) float64 { return r.P99 },
		&of.PerSecond: func(r row) float64 { return r.PerSecond }, &of.P50Ratio: func(r row) float64 { return r.P50Ratio },
		&of.P99Ratio: func(r row) float64 { return r.P99Ratio }, &of.ThroughputRatio: func(r row) float64 { return r.ThroughputRatio },
		&of.Webhook: func(r row) float64 { return r.Webhook }, &of.Pair: func(r row) float64 { return r.Pair }, &of.APIServer: func(r row) float64 { return r.APIServer },
		&of.WebhookKB: func(r row) float64 { return r.WebhookKB }, &of.APIServerKB: func(r row) float64 { return r.APIServerKB },
	}
}

func median(of []row, field func(row) float64) float64 {
	var values []float64
	for _, one := range of {
		values = append(values, field(one))
	}
	slices.Sort(values)
	if len(values) == 0 {
		return math.NaN()
	}
	return (values[len(values)/2] + values[(len(values)-1)/2]) / 2
}

func (s sample) row() row {
	out := rowOf(s.latencies)
	count := float64(len(s.latencies))
	out.PerSecond = count / s.wall.Seconds()
	out.Webhook, out.Pair, out.APIServer = milliseconds(s.webhook)/count, milliseconds(s.pair)/count, milliseconds(s.apiServer)/count
	out.WebhookKB, out.APIServerKB = s.allocated.webhook/1e3/count, s.allocated.apiServer/1e3/count
	return out
}

func rowOf(latencies []time.Duration) row {
	sorted := slices.Sorted(slices.Values(latencies))
	at := func(share int) float64 { return milliseconds(sorted[len(sorted)*share/100]) }
	return row{P50: at(50), P95: at(95), P99: at(99)}
}

func milliseconds(of time.Duration) float64 { return float64(of.Nanoseconds()) / 1e6 }

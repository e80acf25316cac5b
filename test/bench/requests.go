package main

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var sent = regexp.MustCompile(`(?m)^rest_client_requests_total\{.*method="([A-Z]+)".*\} (\S+)$`)

// requests are those that the webhook has sent to the API server so far, by their method.
func (r *run) requests(ctx context.Context) (map[string]float64, error) {
	metrics, err := r.plane.Scrape(ctx)
	return counted(sent, metrics), err
}

// allocated is what was allocated, in bytes. How busy the machine is, and whether garbage is collected meanwhile, is all the same for it.
type allocated struct{ webhook, apiServer float64 }

var allocatedBytes = regexp.MustCompile(`(?m)^go_memstats_alloc_bytes_total()\s(\S+)$`)

// allocatedSince returns what was allocated since before: since the start, before nothing.
func (r *run) allocatedSince(ctx context.Context, before allocated) (allocated, error) {
	webhook, err := r.plane.Scrape(ctx)
	if err != nil {
		return allocated{}, err
	}
	apiServer, err := r.read(ctx, r.apiServerAt("/metrics"))
	return allocated{counted(allocatedBytes, webhook)[""] - before.webhook, counted(allocatedBytes, string(apiServer))[""] - before.apiServer}, err
}

// counted adds up metrics by their method, or verb: what an expression finds of a line is that, and the value.
func counted(of *regexp.Regexp, metrics string) map[string]float64 {
	out := map[string]float64{}
	for _, line := range of.FindAllStringSubmatch(metrics, -1) {
		count, _ := strconv.ParseFloat(line[2], 64)
		out[line[1]] += count
	}
	return out
}

// perEntry says how many requests came to each of a number of entries.
func perEntry(before, after map[string]float64, entries int) string {
	var out []string
	for _, method := range slices.Sorted(maps.Keys(after)) {
		if more := (after[method] - before[method]) / float64(entries); more >= 0.01 {
			out = append(out, fmt.Sprintf("%.2f %s", more, method))
		}
	}
	return strings.Join(out, ", ")
}

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
)

// benchmark is what one of Go's took: medians of its runs.
type benchmark struct{ cpu, bytes, allocations float64 }

// units are how go test names them.
var units = []string{"cpu-ns/op", "B/op", "allocs/op"}

// readBenchmarks reads what go test printed; none where there is no such file.
func readBenchmarks(file string) (map[string]benchmark, error) {
	open, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	values := map[string][3][]float64{}
	lines := bufio.NewScanner(open)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		of := values[fields[0]]
		for i := 2; i+1 < len(fields); i += 2 {
			if unit := slices.Index(units, fields[i+1]); unit >= 0 {
				value, err := strconv.ParseFloat(fields[i], 64)
				if err != nil {
					return nil, err
				}
				of[unit] = append(of[unit], value)
			}
		}
		values[fields[0]] = of
	}
	out := map[string]benchmark{}
	for name, of := range values {
		if len(of[0]) > 0 {
			out[name] = benchmark{middle(of[0]), middle(of[1]), middle(of[2])}
		}
	}
	return out, errors.Join(lines.Err(), open.Close())
}

func middle(of []float64) float64 {
	slices.Sort(of)
	if len(of) == 0 {
		return 0
	}
	return of[len(of)/2]
}

func benchmarkRows(of map[string]benchmark) (out [][]string) {
	for _, name := range slices.Sorted(maps.Keys(of)) {
		one := of[name]
		out = append(out, []string{"`" + name + "`", fmt.Sprintf("%.0f µs", one.cpu/1e3), fmt.Sprintf("%.1f KB", one.bytes/1e3), fmt.Sprintf("%.0f", one.allocations)})
	}
	return out
}

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func rounds(each ...time.Duration) (out []sample) {
	for _, took := range each {
		out = append(out, sample{latencies: []time.Duration{took, took, 10 * took}, wall: 3 * took, webhook: took})
	}
	return out
}

// TestARowIsOfMedians, and its ratios are those of the rounds, so that a round in which the machine was slow for all moves none.
func TestARowIsOfMedians(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	of := rows(map[string][]sample{"ours-0": rounds(3*ms, 30*ms, 6*ms), "pair": rounds(2*ms, 20*ms, 4*ms), byHand: rounds(ms)})
	require.Equal(t, []string{"pair", byHand, "ours-0"}, []string{of[0].Variant, of[1].Variant, of[2].Variant})
	ours := of[2]
	assert.InDelta(t, 6, ours.P50, 1e-9)
	assert.InDelta(t, 60, ours.P99, 1e-9)
	assert.InDelta(t, 1.5, ours.P50Ratio, 1e-9)
	assert.InDelta(t, 1.5, ours.P99Ratio, 1e-9)
	assert.InDelta(t, 1/1.5, ours.ThroughputRatio, 1e-9)
	assert.InDelta(t, 2, ours.Webhook, 1e-9)
}

// TestTargetsAreHeldToWhatWasMeasured, and to nothing where nothing was.
func TestTargetsAreHeldToWhatWasMeasured(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "go.txt")
	require.NoError(t, os.WriteFile(file, []byte(`goos: linux
BenchmarkPolicies/matching=10/installed=10   	 100	 1 ns/op	 140000 cpu-ns/op	 10 B/op	 1 allocs/op
BenchmarkPolicies/matching=10/installed=10   	 100	 1 ns/op	 900000 cpu-ns/op	 10 B/op	 1 allocs/op
BenchmarkPolicies/matching=10/installed=10   	 100	 1 ns/op	 149000 cpu-ns/op	 10 B/op	 1 allocs/op
BenchmarkPolicies/matching=10/installed=1000 	 100	 1 ns/op	 298000 cpu-ns/op	 10 B/op	 1 allocs/op
`), 0o600))
	inProcess, err := readBenchmarks(file)
	require.NoError(t, err)
	verdicts := map[string]string{}
	for _, row := range targets(results{Growth: []grows{{Entries: 1000, New: 900, Stand: 16}}, Writes: []asked{{What: "a new host", Most: 3, Each: 3.05}, {What: "nothing", Most: 0, Each: 0}}}, inProcess) {
		verdicts[row[0]] = row[2]
	}
	assert.Equal(t, "**missed**", verdicts["writes for a new host ≤ 3"])
	assert.Equal(t, "met", verdicts["writes for nothing ≤ 0"])
	for _, part := range []string{
		"a dry run under the baseline and 10 policies, one client, of the pair's: p50 ≤ 1.1 times", "the same with 16 clients, throughput of the pair's ≥ 0.9",
		"stored under the baseline and 10 policies, throughput of a pair's whose client makes the same writes ≥ 0.9", "a dry run while policies change, p99 of that without ≤ 1.5 times",
	} {
		assert.Equal(t, "not measured", verdicts[part], part)
	}
	assert.Equal(t, "met", verdicts["10 policies ≤ 150 µs"])
	assert.Equal(t, "**missed**", verdicts["10 of 1,000 policies, of 10 that are all ≤ 1.1 times"])
	assert.Equal(t, "not measured", verdicts["a VirtualService of 500 routes ≤ 10 ms"])
	assert.Equal(t, "**missed**", verdicts["exits of 900 new hosts stand within 15 s"])
}

// TestDocumentsKeepsWhatIsWrittenByHand.
func TestDocumentsKeepsWhatIsWrittenByHand(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	page := filepath.Join(root, "docs", "performance.md")
	for _, folder := range []string{"docs", filepath.Join(".run", "bench")} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, folder), 0o755))
	}
	require.NoError(t, os.WriteFile(page, []byte("before\n"+begins+"\nold\n"+ends+"\nafter\n"), 0o600))
	require.NoError(t, write(root, &results{Machine: "a machine", DryRun: map[string][]row{"1": {{Variant: "pair", P50: 1}}}}))
	for range 2 {
		require.NoError(t, documents(root))
		raw, err := os.ReadFile(page)
		require.NoError(t, err)
		text := string(raw)
		assert.True(t, strings.HasPrefix(text, "before\n"+begins), text)
		assert.True(t, strings.HasSuffix(text, ends+"\nafter\n"), text)
		assert.NotContains(t, text, "old")
		assert.Contains(t, text, "| a pair that does nothing | 1.00 ms |")
	}
	require.NoError(t, os.WriteFile(page, []byte("nothing"), 0o600))
	require.ErrorContains(t, documents(root), begins)
}

// TestABusyMachineIsTold.
func TestABusyMachineIsTold(t *testing.T) {
	t.Parallel()
	for load, told := range map[string]bool{"0.40 3.00 9.00": false, "2.50 0.10 0.10": true, "": false} {
		assert.Equal(t, told, strings.Contains(tables(results{Load: load}, nil), "no verdict below counts"), load)
	}
}

// TestRequestsAreCounted by their method, whatever became of them.
func TestRequestsAreCounted(t *testing.T) {
	t.Parallel()
	before := counted(sent, "rest_client_requests_total{code=\"200\",host=\"h\",method=\"GET\"} 5\n")
	after := counted(sent, "rest_client_requests_total{code=\"200\",host=\"h\",method=\"GET\"} 5\nrest_client_requests_total{code=\"201\",host=\"h\",method=\"POST\"} 1e+01\n"+
		"rest_client_requests_total{code=\"409\",host=\"h\",method=\"POST\"} 10\n")
	assert.Equal(t, "2.00 POST", perEntry(before, after, 10))
}

// TestWritesAreCounted by their verb: those of what belongs to exits, but for applies and dry runs.
func TestWritesAreCounted(t *testing.T) {
	t.Parallel()
	line := func(dryRun, resource, subresource, verb string, count int) string {
		return fmt.Sprintf("apiserver_request_total{code=\"201\",component=\"apiserver\",dry_run=%q,group=\"g\",resource=%q,scope=\"resource\",subresource=%q,verb=%q,version=\"v1\"} %d\n", dryRun, resource, subresource, verb, count)
	}
	assert.Equal(t, map[string]float64{"POST": 7, "PATCH": 3}, counted(written, line("", "serviceentries", "", "POST", 5)+line("", "virtualservices", "", "POST", 2)+
		line("", "serviceentries", "status", "PATCH", 3)+line("", "serviceentries", "", "APPLY", 9)+line("All", "serviceentries", "", "POST", 9)+
		line("", "leases", "", "PUT", 9)+line("", "serviceentries", "", "WATCH", 9)))
}

// TestAFollowerKnowsWhoStands by what a watch tells.
func TestAFollowerKnowsWhoStands(t *testing.T) {
	t.Parallel()
	told := func(kind, name, status string) string {
		return fmt.Sprintf(`{"type":%q,"object":{"metadata":{"name":%q},"status":{"conditions":[{"type":"Reconciled","status":"True"},{"type":"ExitReady","status":%q}]}}}`, kind, name, status)
	}
	of := &follower{changed: make(chan struct{}, 1), stand: map[string]bool{}}
	require.ErrorIs(t, of.read(io.NopCloser(strings.NewReader(`{"type":"ADDED","object":{"metadata":{"name":"new"}}}`+told("MODIFIED", "a", "True")+told("MODIFIED", "a", "True")+
		told("MODIFIED", "b", "True")+told("MODIFIED", "b", "False")+told("MODIFIED", "c", "True")+told("DELETED", "c", "True")+told("MODIFIED", "d", "True")))), io.EOF)
	assert.Equal(t, map[string]bool{"a": true, "d": true}, of.stand)
	require.NoError(t, of.reach(t.Context(), 2))
	ctx, stop := context.WithTimeout(t.Context(), time.Millisecond)
	defer stop()
	require.ErrorContains(t, of.reach(ctx, 3), "2 of 3 entries stand")
}

// TestAProcessIsCounted as /proc has it.
func TestAProcessIsCounted(t *testing.T) {
	t.Parallel()
	own := process(os.Getpid())
	before := own.cpu()
	assert.Eventually(t, func() bool { return own.cpu() > before }, time.Minute, time.Millisecond)
	now, anonymous, peak := own.memory()
	assert.Positive(t, anonymous)
	assert.Greater(t, now, anonymous)
	assert.GreaterOrEqual(t, peak, now)
	assert.Zero(t, child("no-such-program"))
}

// TestVariantsAreAlone: what others are judged by selects none of the namespaces that ours governs.
func TestVariantsAreAlone(t *testing.T) {
	t.Parallel()
	excluded := values()["namespaceSelector"].(map[string]any)["matchExpressions"].([]any)[0].(map[string]any)["values"].([]any)
	for _, one := range variants {
		assert.Equal(t, one.judge != ours, slices.Contains(excluded, any(one.name)), one.name)
		assert.Len(t, one.objects(), 1+one.policies*map[bool]int{true: 2, false: 1}[one.judge == cel])
		assert.NotEmpty(t, said[one.name])
	}
	assert.Len(t, named("pair", "ours-0"), 2)
}

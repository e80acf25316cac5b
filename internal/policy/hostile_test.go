package policy_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// chain are rules d1 to dn, each made of the one before.
func chain(n int, first, format string) string {
	out := []string{"d0 := " + first}
	for i := range n {
		out = append(out, strings.NewReplacer("NEXT", fmt.Sprintf("d%d", i+1), "LAST", fmt.Sprintf("d%d", i)).Replace(format))
	}
	return strings.Join(out, "\n") + "\n"
}

// late is said of what takes too much time, or too much memory before that.
const late = "it took more than"

// exploding are policies that loop or explode, with what is said of them.
var exploding = map[string]struct{ rules, says string }{
	"a range without end":         {`deny contains "x" if count(numbers.range(1, 1000000000000)) < 0`, late},
	"a product of ranges":         {endless, late},
	"results without end":         {`deny contains sprintf("%d-%d", [i, j]) if { some i in numbers.range(1, 1000000); some j in numbers.range(1, 1000000) }`, late},
	"a set that grows":            {`deny contains "x" if count({[i, j] | some i in numbers.range(1, 100000); some j in numbers.range(1, 100000)}) < 0`, late},
	"a network's addresses":       {`deny contains "x" if count(net.cidr_expand("::/8")) < 0`, late},
	"a text that doubles":         {chain(60, `"aa"`, `NEXT := concat("", [LAST, LAST])`) + `deny contains d60`, "made a text of more than"},
	"a text that is encoded":      {chain(60, `"aa"`, `NEXT := hex.encode(LAST)`) + `deny contains d60`, "made a text of more than"},
	"a template that doubles":     {chain(60, `"aa"`, `NEXT := $"{LAST}{LAST}"`) + `deny contains d60`, "made a text of more than"},
	"a text that multiplies":      {chain(9, `"`+strings.Repeat("a", 100)+`"`, `NEXT := replace(LAST, "a", d0)`) + `deny contains d9`, "replace: it would make more than"},
	"texts that multiply":         {chain(9, `"`+strings.Repeat("a", 100)+`"`, `NEXT := strings.replace_n({"a": d0}, LAST)`) + `deny contains d9`, "strings.replace_n: it would make more than"},
	"a wide format":               {`deny contains sprintf("` + strings.Repeat("%999999d", 100) + `", [1])`, "sprintf: it would make more than"},
	"a format of given width":     {`deny contains sprintf("` + strings.Repeat("%*d", 100) + `", [999999, 1])`, "sprintf: it would make more than"},
	"a number that squares":       {chain(60, "12345678901", `NEXT := LAST * LAST`) + `deny contains "x" if d60 < 0`, "mul: it was given a number of more than"},
	"a glob of many alternatives": {`deny contains "x" if glob.match("` + strings.Repeat("{a,aa,{a,b}}", 30) + `", [], "a")`, "glob.match: it would make more than"},
	"a match with many groups":    {chain(15, `"aaaa"`, `NEXT := concat("", [LAST, LAST])`) + `deny contains "x" if count(regex.find_all_string_submatch_n("` + strings.Repeat("(", 50) + "a" + strings.Repeat(")", 50) + `", d15, -1)) < 0`, "it would make more than"},
	"a text of many lines":        {chain(18, `"aaaa"`, `NEXT := concat("", [LAST, LAST])`) + `deny contains "x" if count(split(d18, "")) < 0`, "split: it would make more than"},
	"brackets":                    {chain(18, `"[],"`, `NEXT := concat("", [LAST, LAST])`) + `deny contains "x" if count(json.unmarshal(concat("", ["[", d18, "1]"]))) < 0`, "json.unmarshal: it would make more than"},
}

// TestWhatExplodesIsAFailure, and no denial: another policy has its say all the same. It is not parallel, nor is any policy beside another:
// where one is found out by its size that is to be before its time is over.
func TestWhatExplodesIsAFailure(t *testing.T) {
	for name, tc := range exploding {
		t.Run(name, func(t *testing.T) {
			e := engine(t)
			if !strings.HasPrefix(tc.says, late) {
				e.Patient()
			}
			require.NoError(t, e.Set(inline("p", tc.rules)))
			require.NoError(t, e.Set(inline("q", `deny contains "no"`)))
			got := e.Evaluate(t.Context(), review("x"))
			require.Len(t, got.Denied, 1, "another policy has its say")
			assert.Equal(t, "q", got.Denied[0].Policy)
			require.Len(t, got.Failed, 1)
			assert.ErrorContains(t, got.Failed[0].Err, tc.says)
		})
	}
}

// TestWhatWouldExplodeIsRefused at apply: values that hold themselves again and again, before OPA looks at their types, and built-ins whose
// work nothing bounds, by their names.
func TestWhatWouldExplodeIsRefused(t *testing.T) {
	t.Parallel()
	const holds = "makes a value that holds the same more than 1000 times"
	for name, tc := range map[string]struct{ rules, says string }{
		"arrays of arrays":       {chain(60, "[1]", `NEXT := [LAST, LAST]`) + `deny contains "x" if d60 == d59`, "p.rego:12: rego_compile_error: rule d10 " + holds},
		"objects of objects":     {chain(60, `{"a": 1}`, `NEXT := {"a": LAST, "b": LAST}`) + `deny contains {"msg": "x", "more": d60}`, holds},
		"arrays that are joined": {chain(60, "[1]", `NEXT := array.concat(LAST, LAST)`) + `deny contains "x" if count(d60) < 0`, holds},
		"within a rule":          {"deny contains {\"msg\": \"x\", \"more\": d10} if {\nd0 := [1]\n" + strings.TrimPrefix(chain(10, "[1]", `NEXT := [LAST, LAST]`), "d0 := [1]\n") + "}", holds},
		"by a function":          {"two(x) := [x, x]\n" + chain(60, "[1]", `NEXT := two(LAST)`) + `deny contains "x" if d60 == d59`, holds},
		"of comprehensions":      {chain(60, "[1]", `NEXT := [x | some y in [1, 2]; x := [LAST, LAST, y]]`) + `deny contains "x" if d60 == d59`, holds},
		"by a replaced input":    {"d0 := input.x\n" + strings.TrimPrefix(chain(60, "", `NEXT := x if x := LAST with input.x as [input.x, input.x]`), "d0 := \n") + `deny contains "x" if d60 == d59`, holds},
		"paths of a graph":       {`deny contains "x" if graph.reachable_paths({}, [])`, "undefined function graph.reachable_paths"},
		"a shifted number":       {`deny contains "x" if bits.lsh(1, 100000000000) == 0`, "undefined function bits.lsh"},
		"a rendered template":    {`deny contains strings.render_template("{{range .a}}{{end}}", {})`, "undefined function strings.render_template"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.ErrorContains(t, engine(t).Check(inline("p", tc.rules)), tc.says)
		})
	}
}

// TestUnusedPartsOfAResultStayWhereTheyAre: what a result holds beside its texts is not taken out of it.
func TestUnusedPartsOfAResultStayWhereTheyAre(t *testing.T) {
	e := engine(t)
	require.NoError(t, e.Set(inline("p", chain(9, "numbers.range(1, 1000)", `NEXT := [LAST, LAST]`)+`deny contains {"msg": "told", "more": d9}`)))
	allocations := testing.AllocsPerRun(1, func() {
		got := e.Evaluate(t.Context(), review("x"))
		require.Len(t, got.Denied, 1)
		assert.Equal(t, "told", got.Denied[0].Message)
	})
	assert.Less(t, allocations, 50_000.0, "of 512,000 items")
}

// stubborn is a policy that does not notice for long that its time is over: one built-in that goes through a long text for each step of
// a large program.
const stubborn = `deny contains "x" if {
	input.name == "slow"
	text := concat("", [x | some _ in numbers.range(1, 1000); x := "LONG"])
	regex.match("PROGRAM", text)
}`

// TestOnesFailureIsNotAnothers: a policy that is far over its time is left behind, and while it is, requests of other namespaces for the
// same policy are answered, and those of its own at once.
func TestOnesFailureIsNotAnothers(t *testing.T) {
	t.Parallel()
	e := engine(t)
	rules := strings.NewReplacer("LONG", strings.Repeat("x", 1000), "PROGRAM", strings.Repeat("(x+x+)+", 400)+"y").Replace(stubborn)
	require.NoError(t, e.Set(inline("p", rules)))
	require.NoError(t, e.Set(inline("q", `deny contains "no"`)))
	own, other := review("slow"), review("quick")
	other.Namespace.Name = "other"

	started := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		close(started)
		got := e.Evaluate(t.Context(), own)
		assert.Len(t, got.Failed, 1)
		assert.Len(t, got.Denied, 1, "what comes after it is asked all the same")
	})
	<-started
	for range 100 {
		got := e.Evaluate(t.Context(), other)
		require.Empty(t, got.Failed)
		require.Len(t, got.Denied, 1)
	}
	wg.Wait()
	got := e.Evaluate(t.Context(), own)
	require.Len(t, got.Failed, 1)
	require.ErrorContains(t, got.Failed[0].Err, "still being evaluated")
	require.Empty(t, e.Evaluate(t.Context(), other).Failed)
}

// TestALateNamespaceWaitsForNobody: of many requests for whose objects a policy takes too long, one is worked on at a time, and the rest are
// answered at once, until one was in time again.
func TestALateNamespaceWaitsForNobody(t *testing.T) {
	t.Parallel()
	e := engine(t)
	require.NoError(t, e.Set(inline("p", strings.Replace(endless, "if ", "if {\ninput.name == \"slow\"\n", 1)+"\n}")))
	require.Len(t, e.Evaluate(t.Context(), review("slow")).Failed, 1)
	var wg sync.WaitGroup
	errs := make(chan string, 50)
	for range 50 {
		wg.Go(func() {
			for _, failure := range e.Evaluate(t.Context(), review("slow")).Failed {
				errs <- failure.Err.Error()
			}
		})
	}
	wg.Wait()
	close(errs)
	counts := map[string]int{}
	for err := range errs {
		counts[err]++
	}
	assert.Len(t, counts, 2, counts)
	assert.Less(t, counts[late+" 1s"], 10, "the others were told that it is busy")
	// Who was answered in its place is at work on it until it sees that its time is over.
	require.Eventually(t, func() bool { return len(e.Evaluate(t.Context(), review("x")).Failed) == 0 },
		time.Minute, 10*time.Millisecond, "once nobody is at work on it, it is asked anew")
	require.Empty(t, e.Evaluate(t.Context(), review("x")).Failed)
}

// BenchmarkExploding measures what policies that explode take, and how long another namespace waits for its answer meanwhile.
func BenchmarkExploding(b *testing.B) {
	for name, tc := range exploding {
		b.Run(strings.ReplaceAll(name, " ", "-"), func(b *testing.B) {
			e := engine(b)
			require.NoError(b, e.Set(inline("p", tc.rules)))
			other := engine(b)
			require.NoError(b, other.Set(inline("q", `deny contains "no"`)))
			var peak, base runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&base)
			longest := time.Duration(0)
			for b.Loop() {
				var wg sync.WaitGroup
				for i := range 8 {
					own := review("x")
					own.Namespace.Name = fmt.Sprint(i)
					wg.Go(func() { e.Evaluate(b.Context(), own) })
				}
				for range 20 {
					start := time.Now()
					other.Evaluate(b.Context(), review("x"))
					longest = max(longest, time.Since(start))
					time.Sleep(time.Millisecond)
				}
				wg.Wait()
				runtime.ReadMemStats(&peak)
			}
			b.ReportMetric(float64(peak.Sys-min(peak.Sys, base.Sys))/(1<<20), "MiB")
			b.ReportMetric(float64(longest.Microseconds()), "µs-other")
		})
	}
}

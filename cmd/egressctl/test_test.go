package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// suites copies the suites of testdata into a folder of their own.
func suites(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	require.NoError(t, os.CopyFS(folder, os.DirFS("testdata")))
	return folder
}

func replace(t *testing.T, file, old, with string) {
	t.Helper()
	text := content(t, file)
	require.Contains(t, text, old)
	require.NoError(t, os.WriteFile(file, []byte(strings.ReplaceAll(text, old, with)), 0o600))
}

func TestSuitesPassAndFail(t *testing.T) {
	t.Parallel()
	folder := suites(t)
	file := filepath.Join(folder, "policies", "tests", "payments-hosts_test.yaml")
	code, out, errs := run(t, "", "test", folder)
	assert.Equal(t, clean, code, errs)
	assert.Equal(t, "ok     "+filepath.Join(folder, "owned", "tests", "owned_test.yaml")+": 3 cases\nok     "+file+": 3 cases\n6 cases: 6 passed\n", out)
	code, out, _ = run(t, "", "test", file, "--run", "another host(,|$)", "-v")
	assert.Equal(t, clean, code)
	assert.Equal(t, "ok     "+file+":18: another host, where the list has it\n1 case: 1 passed\n", out)

	replace(t, filepath.Join(folder, "policies", "payments-hosts.yaml"), "*.paypal.com", "evil.io")
	code, out, errs = run(t, "", "test", folder, "-o", "table")
	assert.Equal(t, violations, code)
	assert.Empty(t, errs)
	assert.Contains(t, out, "FAIL   "+file+":10: another host beside it\n  "+file+":13: expected decision denied, got allowed:\n    Warning: ")
	assert.Contains(t, out, "6 cases: 5 passed, 1 failed\n")
	code, out, _ = run(t, "", "test", folder, "-o", "junit")
	assert.Equal(t, violations, code)
	assert.Contains(t, out, `name="`+file+`" tests="3" failures="1" errors="0"`)
	assert.Contains(t, out, `<failure type="failed" message="`+file+`:13: expected decision denied, got allowed:">`)
	code, out, _ = run(t, "", "test", folder, "-o", "json")
	assert.Equal(t, violations, code)
	assert.Contains(t, out, `"failed": 1`)
}

// TestWhatIsNotTestedIsNoSuccess: no suite, no case, a case that cannot be run, a policy that none is about.
func TestWhatIsNotTestedIsNoSuccess(t *testing.T) {
	t.Parallel()
	folder := suites(t)
	file := filepath.Join(folder, "policies", "tests", "payments-hosts_test.yaml")
	for line, want := range map[string]string{
		"test testdata/manifests":     "testdata/manifests: the folder has no suite: no file *_test.yaml, *_test.yml",
		"test none":                   "none",
		"test testdata --run nothing": `no case matches "nothing"`,
		"test testdata --run (":       "--run: ",
		"test testdata -o sarif":      "--output must be json or junit or table",
		"test testdata/entry.yaml":    `testdata/entry.yaml:1: unknown field "apiVersion"`,
	} {
		code, _, errs := run(t, "", strings.Fields(line)...)
		assert.Equal(t, failed, code, line)
		assert.Contains(t, errs, "Error: ", line)
		assert.Contains(t, errs, want, line)
	}
	replace(t, file, "../../evil.yaml", "../../none.yaml")
	code, out, errs := run(t, "", "test", folder)
	assert.Equal(t, failed, code)
	assert.Equal(t, "Error: some cases could not be run\n", errs)
	assert.Contains(t, out, "ERROR  "+file+":10: another host beside it\n  "+file+":11: stat ")
	_, out, _ = run(t, "", "test", folder, "-o", "junit")
	assert.Contains(t, out, `tests="3" failures="0" errors="2"`)

	folder = suites(t)
	file = filepath.Join(folder, "policies", "tests", "payments-hosts_test.yaml")
	require.NoError(t, os.WriteFile(file, []byte("policies: [../payments-hosts.yaml]\ncases:\n- {name: a, manifest: ../../evil.yaml, expect: {decision: allowed}}\n"), 0o600))
	code, out, _ = run(t, "", "test", file)
	assert.Equal(t, violations, code)
	assert.Contains(t, out, "payments-hosts.yaml:1: no case is about what EgressPolicy payments-hosts selects")
	code, out, _ = run(t, "", "test", file, "-o", "junit")
	assert.Equal(t, violations, code)
	assert.Contains(t, out, `tests="2" failures="1"`)
}

// TestPolicyNewBeginsWhatPasses, covers all of its Rego, and is what testdata has; it overwrites nothing.
func TestPolicyNewBeginsWhatPasses(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "new")
	code, out, errs := run(t, "", "policy", "new", "owned", "--folder", folder)
	require.Equal(t, clean, code, errs)
	assert.Contains(t, out, "Now: egressctl test "+folder)
	for _, name := range []string{"owned.yaml", "tests/owned_test.yaml"} {
		assert.Equal(t, content(t, filepath.Join("testdata", "owned", name)), content(t, filepath.Join(folder, name)))
	}
	code, out, errs = run(t, "", "test", folder, "--coverage")
	assert.Equal(t, clean, code, errs)
	assert.Contains(t, out, "coverage of EgressPolicy owned: 100% of 5 lines\n3 cases: 3 passed\n")
	code, _, errs = run(t, "", "policy", "new", "owned", "--folder", folder)
	assert.Equal(t, failed, code)
	assert.Contains(t, errs, "is there already")
	for _, name := range []string{"1a", "A", "a_b", "../a", "baseline-mesh-hosts", "payments.hosts"} {
		code, _, errs = run(t, "", "policy", "new", name, "--folder", folder)
		assert.Equal(t, failed, code, name)
		assert.Contains(t, errs, "no name", name)
	}
}

// TestCoverageNamesWhatIsMissing: without a case, what it was about is missing, at its line.
func TestCoverageNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	folder := suites(t)
	code, out, errs := run(t, "", "test", filepath.Join(folder, "owned"), "--run", "an entry of somebody", "--coverage")
	assert.Equal(t, clean, code, errs)
	assert.Contains(t, out, "not evaluated: "+filepath.Join(folder, "owned", "owned.yaml")+":31, ")
}

// TestCoverageOfTwoPoliciesOfOneNameIsNone: their lines would be taken for each other's.
func TestCoverageOfTwoPoliciesOfOneNameIsNone(t *testing.T) {
	t.Parallel()
	folder := suites(t)
	require.NoError(t, os.CopyFS(filepath.Join(folder, "other"), os.DirFS("testdata/owned")))
	code, _, errs := run(t, "", "test", filepath.Join(folder, "owned"), filepath.Join(folder, "other"), "--coverage")
	assert.Equal(t, clean, code, errs)
	replace(t, filepath.Join(folder, "other", "owned.yaml"), "      host.leaves\n", "      host.leaves\n      true\n")
	code, _, errs = run(t, "", "test", filepath.Join(folder, "owned"), filepath.Join(folder, "other"), "--coverage")
	assert.Equal(t, failed, code)
	assert.Contains(t, errs, "EgressPolicy owned has other Rego than in a suite before")
}

// output is what a command has printed so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(raw []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(raw)
}

func (o *output) has(what string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Contains(o.text.String(), what)
}

// TestWatchRunsAgain when a policy changes that a suite names, and when the suite itself cannot be read.
func TestWatchRunsAgain(t *testing.T) {
	t.Parallel()
	folder := suites(t)
	file := filepath.Join(folder, "policies", "tests", "payments-hosts_test.yaml")
	ctx, stop := context.WithCancel(t.Context())
	var out output
	done := make(chan int)
	go func() {
		done <- execute(ctx, []string{"egressctl", "test", file, "--watch"}, nil, &out, &out)
	}()
	sees := func(what string) {
		require.Eventually(t, func() bool { return out.has(what) }, time.Minute, 10*time.Millisecond, what)
	}
	sees("3 cases: 3 passed\nWaiting")
	replace(t, filepath.Join(folder, "policies", "payments-hosts.yaml"), "*.paypal.com", "evil.io")
	sees("3 cases: 2 passed, 1 failed\nWaiting")
	replace(t, file, "cases:", "case:")
	sees(`unknown field "case"`)
	stop()
	assert.Equal(t, clean, <-done)
}

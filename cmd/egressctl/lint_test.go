package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/lint"
)

func TestPolicyLintSaysWhatItFinds(t *testing.T) {
	t.Parallel()
	code, out, errs := run(t, "", "policy", "lint", "testdata/owned", "--regal", "none")
	assert.Equal(t, clean, code, errs)
	assert.Equal(t, "1 module: 0 findings\n", out)
	folder := filepath.Join(suites(t), "owned")
	file := filepath.Join(folder, "owned.yaml")
	replace(t, file, "    # title: Owned\n", "")
	code, out, _ = run(t, "", "policy", "lint", folder, "--regal", "none")
	assert.Equal(t, violations, code)
	assert.Equal(t, file+":20: metadata: the METADATA of the package has no title, or no description\n1 module: 1 finding\n", out)
	code, out, _ = run(t, "", "policy", "lint", folder, "--regal", "none", "-o", "json")
	assert.Equal(t, violations, code)
	var found []lint.Finding
	require.NoError(t, json.Unmarshal([]byte(out), &found))
	assert.Len(t, found, 1)
	_, out, _ = run(t, "", "policy", "lint", folder, "--regal", "none", "-o", "github")
	assert.Equal(t, "::error file="+file+",line=20,title=metadata::the METADATA of the package has no title, or no description\n", out)
	for line, want := range map[string]string{
		"policy lint testdata/owned -o xml":         "--output must be text or json or github",
		"policy lint testdata/policies":             "there is no Rego in testdata/policies",
		"policy lint testdata/owned --regal no-one": "no-one",
		"policy lint":     "requires at least 1 arg(s)",
		"policy fmt none": "none",
	} {
		code, _, errs := run(t, "", strings.Fields(line)...)
		assert.Equal(t, failed, code, line)
		assert.Contains(t, errs, want, line)
	}
}

// TestPolicyFmtWritesWhatItSays, and with --check or --diff nothing.
func TestPolicyFmtWritesWhatItSays(t *testing.T) {
	t.Parallel()
	folder := suites(t)
	file := filepath.Join(folder, "owned", "owned.yaml")
	was := content(t, file)
	replace(t, file, "      not labelled\n", "        not   labelled\n")
	unformatted := content(t, file)
	code, out, errs := run(t, "", "policy", "fmt", folder, "--check")
	assert.Equal(t, violations, code, errs)
	assert.Equal(t, file+"\n", out)
	code, out, _ = run(t, "", "policy", "fmt", folder, "--diff")
	assert.Equal(t, violations, code)
	assert.Contains(t, out, "-        not   labelled\n+      not labelled\n")
	assert.Equal(t, unformatted, content(t, file))
	code, out, _ = run(t, "", "policy", "fmt", folder)
	assert.Equal(t, clean, code)
	assert.Equal(t, file+"\n", out)
	assert.Equal(t, was, content(t, file))
	code, out, _ = run(t, "", "policy", "fmt", folder, "--check")
	assert.Equal(t, clean, code)
	assert.Empty(t, out)
	info, err := os.Stat(file)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o644), info.Mode().Perm()|0o644)
}

// TestPolicyBenchIsReadByBenchstat: a line for each policy and manifest that it is asked about, as go test writes it.
func TestPolicyBenchIsReadByBenchstat(t *testing.T) {
	code, out, errs := run(t, "", "policy", "bench", "-f", "testdata/entry.yaml", "-f", "testdata/evil.yaml", "-p", "testdata/policies", "--policy", "payments-hosts",
		"--benchtime", "2x", "--count", "2")
	require.Equal(t, clean, code, errs)
	line := regexp.MustCompile(`^BenchmarkPolicy/payments-hosts/ServiceEntry/payments/(stripe|evil)\s+2\s+[0-9.]+ ns/op\s+[0-9]+ B/op\s+[0-9]+ allocs/op$`)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	assert.Equal(t, "goos:", strings.Fields(lines[0])[0])
	require.Len(t, lines, 7, out)
	for _, each := range lines[3:] {
		assert.Regexp(t, line, each)
	}
	for line, want := range map[string]string{
		"policy bench -f testdata/evil.yaml --policy none":      `no EgressPolicy "none" is in force`,
		"policy bench -f testdata/evil.yaml --benchtime nought": "--benchtime: ",
		"policy bench -f testdata/policies":                     "no policy is asked about any of the manifests",
		"policy bench":                                          `required flag(s) "filename" not set`,
	} {
		code, _, errs := run(t, "", strings.Fields(line)...)
		assert.Equal(t, failed, code, line)
		assert.Contains(t, errs, want, line)
	}
}

// TestTheWrittenLibraryIsUsedAsItStands: nothing is found in it, whatever stands beside it; suites and tests of Rego go by what it
// brings. What somebody changed in it is his.
func TestTheWrittenLibraryIsUsedAsItStands(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(suites(t), "owned")
	library := filepath.Join(folder, "vendor", "library")
	code, _, errs := run(t, "", "library", "--write", library)
	require.Equal(t, clean, code, errs)
	code, out, errs := run(t, "", "policy", "lint", folder, "--regal", "none")
	assert.Equal(t, clean, code, out+errs)
	replace(t, filepath.Join(library, "tls_only", "tls_only.rego"), "# title: ", "# titel: ")
	code, out, _ = run(t, "", "policy", "lint", folder, "--regal", "none")
	assert.Equal(t, violations, code)
	assert.Contains(t, out, "tls_only.rego")
	assert.NotContains(t, out, "allowed_hosts.rego")

	suite := filepath.Join(folder, "library_test.yaml")
	require.NoError(t, os.WriteFile(suite, []byte(`policies: [vendor/library/allowed_hosts/example.yaml]
namespaces: {app: {team: payments}}
cases:
- name: a host that is not listed
  manifest: {apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: e, namespace: app}, spec: {hosts: [evil.io], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}}
  expect: {decision: denied, code: host-not-allowed}
`), 0o600))
	code, out, errs = run(t, "", "test", suite)
	assert.Equal(t, clean, code, out+errs)
	assert.FileExists(t, filepath.Join(library, "testdata", "serviceentry", "input.json"))
}

// TestWhatAuthorsAreToldAtApply is told by the command line, too: parameters that nobody reads, and two policies of one name.
func TestWhatAuthorsAreToldAtApply(t *testing.T) {
	t.Parallel()
	in := t.TempDir()
	one, other := filepath.Join(in, "one.yaml"), filepath.Join(in, "other.yaml")
	text := "apiVersion: egress-governor.io/v1alpha1\nkind: EgressPolicy\nmetadata: {name: own}\nspec:\n  parameters: {unread: 3}\n  rego: |\n    package own\n    deny contains \"no\" if input.name in input.parameters.names\n"
	require.NoError(t, os.WriteFile(one, []byte(text), 0o600))
	told := one + ":1: EgressPolicy own: spec.parameters.unread: own.rego never reads it; it reads names"
	_, _, errs := run(t, "", "review", "-f", "testdata/entry.yaml", "-p", one)
	assert.Contains(t, errs, "Note: "+told)
	code, out, _ := run(t, "", "policy", "lint", one, "--regal", "none")
	assert.Equal(t, violations, code)
	assert.Contains(t, out, one+":1: strict: spec.parameters.unread: own.rego never reads it")
	require.NoError(t, os.WriteFile(other, []byte("# another\n"+text), 0o600))
	code, _, errs = run(t, "", "review", "-f", "testdata/entry.yaml", "-p", in)
	assert.Equal(t, failed, code)
	assert.Contains(t, errs, other+":2: EgressPolicy own stands in "+one+":1, too")
}

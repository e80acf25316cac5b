package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/report"
)

// TestExplanationsNameRulesWhereTheyStand: in the manifest of an EgressPolicy, or in the library; and what print statements print.
func TestExplanationsNameRulesWhereTheyStand(t *testing.T) {
	t.Parallel()
	folder := suites(t)
	file := filepath.Join(folder, "owned", "owned.yaml")
	replace(t, file, "      not labelled\n", "      not labelled\n      print(\"nobody has\", input.name)\n")
	replace(t, file, "enforcement: Audit", "enforcement: Warn")
	code, out, errs := run(t, "", "explain", "-f", "testdata/evil.yaml", "-p", file, "--cluster", "testdata/cluster.yaml")
	require.Equal(t, clean, code, errs)
	for _, want := range []string{
		"testdata/evil.yaml:1: ServiceEntry payments/evil: denied\n  payments-hosts: spec.hosts[1]: host \"evil.io\"",
		"Facts\n  CREATE in namespace payments (kubernetes.io/metadata.name=payments, team=payments)\n",
		"  host evil.io (spec.hosts[1]), leaves the mesh\n",
		"  route to evil.io:443 TLS (spec.ports[0]): from mesh, via gateway default\n",
		"  owned (Warn) is asked: it selects every governed namespace\n    warned by deny at " + file + ":31: no-label: spec.hosts[0]: host \"api.stripe.com\"",
		"    print at " + file + ":33: nobody has evil\n",
		"  baseline-mesh-hosts (Deny, mesh-hosts) is asked: it selects every governed namespace; it says nothing\n",
		"  baseline-sidecar-outbound (Deny, sidecar-outbound) is not asked: it does not evaluate ServiceEntry\n",
	} {
		assert.Contains(t, out, want)
	}
	assert.Regexp(t, `    denied by deny at allowed_hosts/allowed_hosts.rego:[0-9]+: host-not-allowed: spec.hosts\[1\]: host "evil.io"`, out)
	assert.NotContains(t, out, "Enter data.")
	code, out, errs = run(t, "", "explain", "-f", "testdata/evil.yaml", "-p", file, "--policy", "owned", "--trace")
	require.Equal(t, clean, code, errs)
	assert.Contains(t, out, "Enter data.owned.deny")
	assert.NotContains(t, out, "baseline-")
}

// TestExplanationsSayWhatTheAnswerSays: every finding of a policy has a rule, and nothing else is told as one.
func TestExplanationsSayWhatTheAnswerSays(t *testing.T) {
	t.Parallel()
	code, out, errs := run(t, "", "explain", "-f", "testdata/evil.yaml", "-f", "testdata/entry.yaml", "--cluster", "testdata/cluster.yaml", "-p", "testdata/owned/owned.yaml", "-o", "json")
	require.Equal(t, clean, code, errs)
	var all []report.Explanation
	require.NoError(t, json.Unmarshal([]byte(out), &all))
	require.Len(t, all, 3)
	for _, one := range all {
		var found, said int
		for _, finding := range one.Object.Findings {
			if finding.Policy != "" {
				found++
			}
		}
		for _, of := range one.Policies {
			for _, each := range of.Said {
				assert.NotEmpty(t, each.Effect)
				assert.Contains(t, each.At, ":")
				said++
			}
		}
		assert.Equal(t, found, said, one.Object.Name)
		assert.NotContains(t, one.Facts, "object")
	}
	assert.Len(t, all[0].Object.Findings, 3)
}

// TestWhatCannotBeExplained is told, and is no empty explanation.
func TestWhatCannotBeExplained(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"explain -f testdata/evil.yaml --policy none": `no EgressPolicy "none" is in force`,
		"explain -f testdata/evil.yaml -o xml":        "--output must be json or text",
		"explain -f none.yaml":                        "none.yaml",
	} {
		code, _, errs := run(t, "", strings.Fields(line)...)
		assert.Equal(t, failed, code, line)
		assert.Contains(t, errs, want, line)
	}
	code, out, _ := run(t, "", "explain", "-f", "testdata/policies")
	assert.Equal(t, clean, code)
	assert.Contains(t, out, "No policy is asked about it.")
	divides := filepath.Join(t.TempDir(), "divides.yaml")
	require.NoError(t, os.WriteFile(divides, []byte("apiVersion: egress-governor.io/v1alpha1\nkind: EgressPolicy\nmetadata: {name: p}\nspec:\n  rego: |\n    package p\n    deny contains \"no\" if {\n      print(\"here\")\n      1 / (count(input.name) - 4) == 1\n    }\n"), 0o600))
	_, out, _ = run(t, "", "explain", "-f", "testdata/evil.yaml", "-p", divides, "--policy", "p")
	assert.Contains(t, out, "  p (Deny) cannot be evaluated: policy could not be evaluated: ")
	assert.NotContains(t, out, "print at")
	_, out, _ = run(t, "", "explain", "-f", "testdata/evil.yaml", "-p", divides, "--policy", "p", "--trace")
	assert.Contains(t, out, "  p (Deny) cannot be evaluated: ")
	assert.Contains(t, out, "    print at "+divides+":8: here\n")
	broken := filepath.Join(t.TempDir(), "broken.yaml")
	require.NoError(t, os.WriteFile(broken, []byte("apiVersion: egress-governor.io/v1alpha1\nkind: EgressPolicy\nmetadata: {name: p}\nspec: {policy: none}\n"), 0o600))
	_, out, _ = run(t, "", "explain", "-f", "testdata/evil.yaml", "--cluster", broken)
	assert.Contains(t, out, "ServiceEntry payments/evil: failed\n")
	assert.Contains(t, out, `  p (Deny, none) cannot be evaluated: spec.policy: the library has no policy "none"`)
}

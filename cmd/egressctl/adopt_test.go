package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestAdoptPlans and writes nothing without a cluster.
func TestAdoptPlans(t *testing.T) {
	code, out, errs := run(t, "", "adopt", "--cluster", "testdata/living.yaml", "-o", "yaml")
	assert.Equal(t, violations, code, errs)
	for _, want := range []string{"kind: Adoption\n", "state: seal\n", "back: egressctl unseal shop/rates\n", "code: raw-protocol\n", "fix: declare TLS", "observed: true\n"} {
		assert.Contains(t, out, want)
	}
	assert.Contains(t, errs, "Nothing was written; --apply does it.")
	code, out, errs = run(t, "", "adopt", "--cluster", "testdata/stored.yaml")
	assert.Equal(t, clean, code, errs)
	assert.Equal(t, "0 entries to seal, 1 sealed, 0 other objects to rewrite, 0 left as they are\n", out)
	assert.Empty(t, errs, "there is nothing to apply")
}

// TestUnsealSaysWhoStandsAgainstIt: the webhook would seal again what goes back.
func TestUnsealSaysWhoStandsAgainstIt(t *testing.T) {
	code, out, errs := run(t, "", "unseal", "payments/stripe", "--cluster", "testdata/stored.yaml", "-o", "json")
	assert.Equal(t, clean, code, errs)
	assert.Contains(t, out, `"name": "stripe"`)
	assert.Contains(t, errs, "Note: namespace payments is governed")
	assert.Contains(t, errs, "kubectl label namespace payments egress-governor.io/mode=Observe --overwrite")
	code, out, _ = run(t, "", "unseal", "istio-system", "--cluster", "testdata/stored.yaml")
	assert.Equal(t, clean, code)
	assert.Equal(t, "0 objects to write\n", strings.TrimLeft(out, "\n"))
}

// TestAdoptionIsToldWhatIsWrongWithIt before anything is read or written.
func TestAdoptionIsToldWhatIsWrongWithIt(t *testing.T) {
	for line, want := range map[string]string{
		"adopt": "at least one of the flags in the group [cluster kubeconfig context] is required",
		"adopt --cluster testdata/living.yaml -n none":           "there is no namespace none",
		"adopt --cluster testdata/living.yaml -o xml":            "--output must be json or table or yaml",
		"adopt --cluster testdata/living.yaml --apply":           "--apply writes into a cluster",
		"adopt --cluster testdata/living.yaml --retire x.yaml":   "it needs --apply",
		"adopt --cluster testdata/living.yaml --rate 0":          "--rate and --timeout must be more than 0",
		"adopt --cluster testdata/living.yaml --settle -1s":      "--settle not less",
		"unseal shop --cluster testdata/stored.yaml":             "there is no namespace shop",
		"unseal payments/adyen --cluster testdata/stored.yaml":   "there is no ServiceEntry payments/adyen",
		"unseal --cluster testdata/stored.yaml --apply":          "--apply writes into a cluster",
		"unseal payments --cluster testdata/stored.yaml -o text": "--output must be json or table or yaml",
	} {
		code, _, errs := run(t, "", strings.Fields(line)...)
		assert.Equal(t, failed, code, line)
		assert.Contains(t, errs, want, line)
	}
}

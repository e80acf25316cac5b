package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestStockToolsFindTheSame: opa, with the library as it is written and the input as it is printed, says what the webhook says.
func TestStockToolsFindTheSame(t *testing.T) {
	t.Parallel()
	library := t.TempDir()
	code, _, errs := run(t, "", "library", "--write", library)
	require.Equal(t, clean, code, errs)
	code, document, errs := run(t, "", "input", "-f", "testdata/evil.yaml", "-f", "testdata/entry.yaml", "-p", "testdata/policies", "--policy", "payments-hosts")
	require.Equal(t, clean, code, errs)

	schema, err := jsonschema.NewCompiler().Compile(filepath.Join(library, "schemas", "input.json"))
	require.NoError(t, err)
	decoder := json.NewDecoder(strings.NewReader(document))
	var denied []int
	for decoder.More() {
		var raw json.RawMessage
		require.NoError(t, decoder.Decode(&raw))
		input, err := jsonschema.UnmarshalJSON(strings.NewReader(string(raw)))
		require.NoError(t, err)
		require.NoError(t, schema.Validate(input))
		results, err := rego.New(rego.Load([]string{library}, nil), rego.Query("data.policies.allowed_hosts.deny"), rego.Input(input)).Eval(t.Context())
		require.NoError(t, err)
		require.Len(t, results, 1)
		denied = append(denied, len(results[0].Expressions[0].Value.([]any)))
	}
	assert.Equal(t, []int{1, 0}, denied)
}

// TestInputsOfAllPolicies: without one that is asked, the client is the object's own namespace.
func TestInputsOfAllPolicies(t *testing.T) {
	t.Parallel()
	code, out, errs := run(t, "", "input", "-f", "testdata/evil.yaml", "--as", "ada", "--as-group", "payments,tills", "--time", "2026-01-02T03:04:05Z", "-o", "yaml")
	require.Equal(t, clean, code, errs)
	for _, want := range []string{"client:\n  labels:\n    kubernetes.io/metadata.name: payments\n  name: payments\n", "parameters: {}\n", "time: \"2026-01-02T03:04:05Z\"\n", "user:\n  groups:\n  - payments\n  - tills\n  name: ada\n"} {
		assert.Contains(t, out, want)
	}
}

package policy_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// withSchema is a policy whose parameter x has the given schema.
func withSchema(schema string) *v1alpha1.EgressPolicy {
	return egressPolicy("p", v1alpha1.EgressPolicySpec{
		Rego: "# METADATA\n# custom:\n#   parameters:\n#     properties:\n#       x: " + schema +
			"\n#     definitions:\n#       name: {type: string}\npackage any\n\ndeny contains \"no\" if input.parameters.x == \"y\"\n",
		Parameters: parameters(`{"x": 1}`),
	})
}

// TestSchemaLoadsNothing gives references that would resolve if anything were loaded.
func TestSchemaLoadsNothing(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "schema.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"type": "number"}`), 0o600))
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		fmt.Fprint(w, `{"type": "number"}`)
	}))
	t.Cleanup(server.Close)
	for name, schema := range map[string]string{
		"a file":           "{$ref: 'file://" + file + "'}",
		"a relative file":  "{$ref: 'schema.json'}",
		"a server":         "{$ref: '" + server.URL + "/schema.json'}",
		"another dialect":  "{$schema: '" + server.URL + "/schema.json'}",
		"a file's dialect": "{$id: 'file:///a', $schema: 'file://" + file + "'}",
	} {
		err := engine(t).Check(withSchema(schema))
		require.Error(t, err, name)
		assert.Contains(t, err.Error(), "custom.parameters", name)
		assert.Contains(t, err.Error(), "may refer to its own definitions alone", name)
		t.Log(err)
	}
	assert.Zero(t, asked.Load())
}

// TestAParameterThatDoesNotFitIsNamedByItsField, with what the schema says of it.
func TestAParameterThatDoesNotFitIsNamedByItsField(t *testing.T) {
	t.Parallel()
	const schema = "{type: object, additionalProperties: false, required: [hosts], properties: {" +
		"hosts: {description: Hosts., type: array, items: {type: string}}, by: {type: object, properties: {0/a: {type: integer}}}}}"
	for given, want := range map[string]string{
		`{"hosts": ["a", 1]}`:               `spec.parameters.hosts[1]: got number, want string (it takes: Hosts)`,
		`{"hosts": [1, 2]}`:                 `spec.parameters.hosts[0]: got number, want string (it takes: Hosts); spec.parameters.hosts[1]: got number, want string (it takes: Hosts)`,
		`{"hosts": [], "by": {"0/a": "x"}}`: `spec.parameters.by.0/a: got string, want integer`,
		`{"host": 1}`:                       `spec.parameters: additional properties 'host' not allowed; missing property 'hosts'`,
		`{"host": 1, "hosts": 1}`:           `spec.parameters: additional properties 'host' not allowed; spec.parameters.hosts: got number, want array (it takes: Hosts)`,
	} {
		rego := "# METADATA\n# custom:\n#   parameters: " + schema + "\npackage any\n\ndeny contains \"no\" if input.parameters.hosts == input.parameters.by\n"
		err := engine(t).Check(egressPolicy("p", v1alpha1.EgressPolicySpec{Rego: rego, Parameters: parameters(given)}))
		require.EqualError(t, err, want, given)
	}
}

func TestSchemaRefersToItsOwnDefinitions(t *testing.T) {
	t.Parallel()
	err := engine(t).Check(withSchema("{$ref: '#/definitions/name'}"))
	require.Error(t, err)
	assert.Contains(t, err.Error(), "spec.parameters.x: ")
}

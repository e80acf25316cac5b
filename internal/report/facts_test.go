package report

import (
	"encoding/json"
	"io/fs"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/policies"
)

// schema is the part of a JSON Schema that says what a document has.
type schema struct {
	Ref                  string `json:"$ref"`
	Type                 any
	Enum                 []any
	Properties           map[string]schema
	AdditionalProperties any
	Items                *schema
	Definitions          map[string]schema
}

// everything returns a document that has all fields of the schema, each text its own path.
func (s schema) everything(root schema, path string) any {
	if name, is := strings.CutPrefix(s.Ref, "#/definitions/"); is {
		return root.Definitions[name].everything(root, path)
	}
	kind := s.Type
	if several, is := kind.([]any); is {
		kind = several[0]
	}
	switch kind {
	case "object":
		out := map[string]any{}
		for name, of := range s.Properties {
			out[name] = of.everything(root, path+"."+name)
		}
		if of, open := s.AdditionalProperties.(map[string]any); open && of["type"] == "string" {
			out["key"] = path + ".key"
		}
		return out
	case "array":
		return []any{s.Items.everything(root, path+"[]")}
	case "boolean":
		return true
	case "integer":
		return 7
	}
	if len(s.Enum) > 0 {
		return s.Enum[0]
	}
	return path
}

// unread returns the fields of a value that nothing was read into.
func unread(of reflect.Value, path string) (out []string) {
	switch {
	case of.IsZero():
		return []string{path}
	case of.Kind() == reflect.Pointer:
		return unread(of.Elem(), path)
	case of.Kind() == reflect.Slice:
		for i := range of.Len() {
			out = append(out, unread(of.Index(i), path+"[]")...)
		}
	case of.Kind() == reflect.Struct:
		for i := range of.NumField() {
			out = append(out, unread(of.Field(i), path+"."+of.Type().Field(i).Name)...)
		}
	}
	return out
}

// TestFactsReadTheInputAsItsSchemaHasIt: each field that is told of is one of the schema's and of its type, and is told in words.
func TestFactsReadTheInputAsItsSchemaHasIt(t *testing.T) {
	t.Parallel()
	raw, err := fs.ReadFile(policies.Library(), "schemas/input.json")
	require.NoError(t, err)
	var of schema
	require.NoError(t, json.Unmarshal(raw, &of))
	document := of.everything(of, "input").(map[string]any)
	whole, err := json.Marshal(document)
	require.NoError(t, err)
	var in input
	require.NoError(t, json.Unmarshal(whole, &in))
	assert.Empty(t, unread(reflect.ValueOf(in), "input"))

	said := facts(document)
	document["egress"].(map[string]any)["allClients"] = false
	all := strings.Join(append(said, facts(document)...), "\n")
	assert.NotContains(t, all, "map[")
	for _, part := range []string{
		"belongs to ServiceEntry input.egress.hosts[].owner.namespace/input.egress.hosts[].owner.name",
		"conflict over host input.egress.conflicts[].host (input.egress.conflicts[].field) with ServiceEntry input.egress.conflicts[].owner.namespace/input.egress.conflicts[].owner.name: input.egress.conflicts[].reason",
		"client input.egress.clients[].namespace as input.egress.clients[].serviceAccounts[]", "key=input.namespace.labels.key", "route to input.egress.routes[].host:7",
		"on an egress gateway by input.egress.onGateways[]",
	} {
		assert.Contains(t, all, part)
	}
}

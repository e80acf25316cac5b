package policy_test

import (
	"encoding/json"
	"io/fs"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/policies"
)

// TestOPAHasTheWordsOfTheInput: each field of its schema, and each word that may stand in one.
func TestOPAHasTheWordsOfTheInput(t *testing.T) {
	t.Parallel()
	raw, err := fs.ReadFile(policies.Library(), "schemas/input.json")
	require.NoError(t, err)
	var schema any
	require.NoError(t, json.Unmarshal(raw, &schema))
	var words []string
	var read func(schema any)
	read = func(schema any) {
		of, is := schema.(map[string]any)
		if !is {
			return
		}
		for _, key := range []string{"properties", "definitions"} {
			named, _ := of[key].(map[string]any)
			for name, schema := range named {
				if key == "properties" {
					words = append(words, name)
				}
				read(schema)
			}
		}
		read(of["items"])
		listed, _ := of["enum"].([]any)
		for _, word := range append(listed, of["const"]) {
			if text, is := word.(string); is {
				words = append(words, text)
			}
		}
	}
	if read(schema); assert.Greater(t, len(words), 60) {
		for _, word := range words {
			assert.True(t, ast.HasInternedValue(word), word)
		}
	}
}

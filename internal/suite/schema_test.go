package suite_test

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/egress-governor/egress-governor/internal/suite"
)

// fields returns the names of the fields of a part of a suite.
func fields(of reflect.Type) (out []string) {
	for _, field := range reflect.VisibleFields(of) {
		if tag := field.Tag.Get("yaml"); tag != "" && tag != "-" && tag != ",inline" {
			out = append(out, tag)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// TestTheSchemaHasEveryField, and no other.
func TestTheSchemaHasEveryField(t *testing.T) {
	t.Parallel()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(suite.Schema))
	require.NoError(t, err)
	root := value.(map[string]any)
	definitions := root["definitions"].(map[string]any)
	for of, schema := range map[reflect.Type]any{
		reflect.TypeFor[suite.Suite](): root, reflect.TypeFor[suite.Case](): definitions["case"],
		reflect.TypeFor[suite.Expect](): definitions["expect"], reflect.TypeFor[suite.Finding](): definitions["finding"],
	} {
		properties := schema.(map[string]any)["properties"].(map[string]any)
		assert.Equal(t, fields(of), slices.Sorted(maps.Keys(properties)), of.Name())
	}
}

// TestSuitesFitTheSchema, and what no suite may have does not.
func TestSuitesFitTheSchema(t *testing.T) {
	t.Parallel()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(suite.Schema))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	require.NoError(t, compiler.AddResource("suite.json", value))
	schema, err := compiler.Compile("suite.json")
	require.NoError(t, err)
	fits := func(text []byte) error {
		var content any
		require.NoError(t, yaml.Unmarshal(text, &content))
		return schema.Validate(content)
	}
	seen := 0
	require.NoError(t, filepath.WalkDir("../../cmd/egressctl/testdata", func(file string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(file, "_test.yaml") {
			raw, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.NoError(t, fits(raw), file)
			seen++
		}
		return err
	}))
	assert.Greater(t, seen, 1)
	for _, text := range []string{
		"policies: [a.yaml]", "cases: []", "case: []", "cases: [{name: a, manifest: b, expect: {}}]", "cases: [{name: a, manifest: b, expect: {decision: no}}]",
		"cases: [{name: a, expect: {decision: denied}}]", "cases: [{name: a, manifest: b, expects: {decision: denied}}]",
	} {
		assert.Error(t, fits([]byte(text)), text)
	}
}

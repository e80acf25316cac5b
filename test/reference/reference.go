// Package reference writes the references of the documents: what policies see, and what the library takes.
package reference

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// schema is the part of JSON Schema that ours are written in.
type schema struct {
	Ref         string            `json:"$ref"`
	Title       string            `json:"title"`
	Description string            `json:"description"`
	Type        any               `json:"type"`
	Enum        []string          `json:"enum"`
	Required    []string          `json:"required"`
	Properties  map[string]schema `json:"properties"`
	Items       *schema           `json:"items"`
	Definitions map[string]schema `json:"definitions"`
}

// row is one field of what a schema describes.
type row struct {
	path, kind, description string
	required                bool
}

// errUndescribed is that of a field about which the schema says nothing.
var errUndescribed = errors.New("has no description")

// rows returns the fields below a path, those of an object after it. Definitions are the schema's.
func (s schema) rows(path string, definitions map[string]schema) (out []row, err error) {
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		of := s.Properties[name]
		if named, is := definitions[strings.TrimPrefix(of.Ref, "#/definitions/")]; is {
			of = named
		}
		at := strings.TrimPrefix(path+"."+name, ".")
		if of.Description == "" {
			return nil, fmt.Errorf("%s: %w", at, errUndescribed)
		}
		out = append(out, row{at, of.kind(), of.Description, slices.Contains(s.Required, name)})
		below := of
		if of.Items != nil {
			below, at = *of.Items, at+"[]"
		}
		more, err := below.rows(at, definitions)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

// kind says what a value may be.
func (s schema) kind() string {
	if len(s.Enum) > 0 {
		return "`" + strings.Join(s.Enum, "`, `") + "`"
	}
	if s.Items != nil {
		return "list of " + cmp.Or(s.Items.kind(), "values")
	}
	switch kind := s.Type.(type) {
	case string:
		return kind
	case []any:
		var out []string
		for _, each := range kind {
			out = append(out, fmt.Sprint(each))
		}
		return strings.Join(out, " or ")
	}
	return ""
}

// read takes a schema from what it is written in.
func read(from any) (out schema, err error) {
	raw, is := from.([]byte)
	if !is {
		if raw, err = json.Marshal(from); err != nil {
			return out, err
		}
	}
	return out, json.Unmarshal(raw, &out)
}

// cell is a text as a table takes it.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "*", `\*`, "\n", " ").Replace(strings.TrimSpace(text))
}

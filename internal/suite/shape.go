package suite

import (
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/egress-governor/egress-governor/internal/manifest"
)

// misshapen returns an error for each field of a suite that is of another kind than it must be: a list, a text, or an object.
func misshapen(file string, raw []byte) (errs []error) {
	var document yaml.Node
	if yaml.Unmarshal(raw, &document) != nil || len(document.Content) == 0 {
		return nil
	}
	shape(document.Content[0], reflect.TypeFor[Suite](), "", func(node *yaml.Node, at, want string) {
		if at == "" {
			at = "a suite"
		}
		errs = append(errs, fmt.Errorf("%s: %s must be %s, is %s", manifest.Place(file, node.Line), at, want, kindOf(node)))
	})
	return errs
}

// shape holds a node to the type into which it is read.
func shape(node *yaml.Node, of reflect.Type, at string, wrong func(node *yaml.Node, at, want string)) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	switch {
	case of == reflect.TypeFor[yaml.Node]() || node.Kind == yaml.ScalarNode && node.Tag == "!!null":
	case of == reflect.TypeFor[text]() || of.Kind() == reflect.String:
		if node.Kind != yaml.ScalarNode {
			wrong(node, at, "a text")
		}
	case of.Kind() == reflect.Slice:
		if node.Kind != yaml.SequenceNode {
			wrong(node, at, "a list")
			return
		}
		for i, item := range node.Content {
			shape(item, of.Elem(), fmt.Sprintf("%s[%d]", at, i), wrong)
		}
	case node.Kind != yaml.MappingNode:
		wrong(node, at, "an object"+fields(of))
	default:
		for i := 0; i+1 < len(node.Content); i += 2 {
			key := node.Content[i].Value
			if next := typeOf(of, key); next != nil {
				shape(node.Content[i+1], next, strings.TrimPrefix(at+"."+key, "."), wrong)
			}
		}
	}
}

// fields are those of an object, in words.
func fields(of reflect.Type) string {
	if of.Kind() != reflect.Struct {
		return ""
	}
	return " of " + strings.Join(fieldsOf(of.Name()), ", ")
}

// typeOf returns the type of a field of an object, nil for none.
func typeOf(of reflect.Type, key string) reflect.Type {
	if of.Kind() == reflect.Map {
		return of.Elem()
	}
	for _, field := range reflect.VisibleFields(of) {
		if field.Tag.Get("yaml") == key {
			return field.Type
		}
	}
	return nil
}

// kindOf says what a node is.
func kindOf(node *yaml.Node) string {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	switch node.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.MappingNode:
		return "an object"
	}
	return fmt.Sprintf("%q", node.Value)
}

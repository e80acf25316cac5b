package manifest

import (
	"encoding/json"
	"errors"
	"fmt"

	goyaml "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"
)

// maxNodes bounds an object within a document: anchors may multiply it.
const maxNodes = 100_000

// Inline returns an object that stands within another document of a file, with the lines that it has there; anchors of the
// document are resolved. The error names file and line.
func Inline(file string, node *goyaml.Node) (Object, error) {
	out := Object{File: file, Line: node.Line}
	left := maxNodes
	plain, err := resolved(node, &left)
	if err != nil {
		return out, fmt.Errorf("%s: %w", Place(file, node.Line), err)
	}
	out.node = plain
	raw, err := JSON(file, plain)
	if err != nil {
		return out, err
	}
	if plain.Kind != goyaml.MappingNode {
		return out, fmt.Errorf("%s: is not an object", Place(file, node.Line))
	}
	return out.of(raw)
}

// JSON returns what a part of a document says, read as kubectl reads YAML. The error names file and line.
func JSON(file string, node *goyaml.Node) (json.RawMessage, error) {
	left := maxNodes
	plain, err := resolved(node, &left)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", Place(file, node.Line), err)
	}
	text, err := goyaml.Marshal(plain)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", Place(file, node.Line), err)
	}
	out, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		// The lines that it tells are those of the part.
		reason := err.Error()
		return nil, fmt.Errorf("%s: %s", Place(file, node.Line), reason[len(said.FindString(reason)):])
	}
	return out, nil
}

// resolved returns a node without anchors, each alias as what it stands for.
func resolved(node *goyaml.Node, left *int) (*goyaml.Node, error) {
	if *left--; *left < 0 {
		return nil, errors.New("is too large")
	}
	if node.Kind == goyaml.AliasNode {
		return resolved(node.Alias, left)
	}
	out := *node
	out.Anchor, out.Content = "", make([]*goyaml.Node, len(node.Content))
	out.HeadComment, out.LineComment, out.FootComment = "", "", ""
	for i, child := range node.Content {
		var err error
		if out.Content[i], err = resolved(child, left); err != nil {
			return nil, err
		}
	}
	return merged(&out), nil
}

// merged returns a mapping with what it merges (<<); what it says itself comes before that.
func merged(of *goyaml.Node) *goyaml.Node {
	if of.Kind != goyaml.MappingNode {
		return of
	}
	out := *of
	out.Content = nil
	var merges []*goyaml.Node
	for i := 0; i+1 < len(of.Content); i += 2 {
		key, value := of.Content[i], of.Content[i+1]
		switch {
		case key.Tag != "!!merge":
			out.Content = append(out.Content, key, value)
		case value.Kind == goyaml.SequenceNode:
			merges = append(merges, value.Content...)
		default:
			merges = append(merges, value)
		}
	}
	for _, merge := range merges {
		for i := 0; i+1 < len(merge.Content); i += 2 {
			if child(&out, merge.Content[i].Value) == nil {
				out.Content = append(out.Content, merge.Content[i], merge.Content[i+1])
			}
		}
	}
	return &out
}

// Text returns the line of the file on which line n of a text stands that a field holds as a block (|); false for one that is
// written in another way.
func (o Object) Text(field string, n int) (int, bool) {
	node := o.node
	for _, step := range steps(field) {
		if node = child(node, step); node == nil {
			return 0, false
		}
	}
	if node.Style&goyaml.LiteralStyle == 0 {
		return 0, false
	}
	return o.before + node.Line + n, true
}

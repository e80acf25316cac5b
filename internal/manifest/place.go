package manifest

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// At returns the line of a field such as spec.hosts[0]: of the deepest part of it that is there.
func (o Object) At(field string) int {
	node, line := o.node, o.Line
	for _, step := range steps(field) {
		if node = child(node, step); node == nil {
			break
		}
		line = o.before + node.Line
	}
	return line
}

// steps takes a path apart: spec.hosts[0], metadata.annotations[example.com/key].
func steps(field string) (out []string) {
	for field != "" {
		var step string
		if rest, is := strings.CutPrefix(field, "["); is {
			step, field, _ = strings.Cut(rest, "]")
			field = strings.TrimPrefix(field, ".")
		} else if i := strings.IndexAny(field, ".["); i >= 0 {
			step, field = field[:i], strings.TrimPrefix(field[i:], ".")
		} else {
			step, field = field, ""
		}
		out = append(out, step)
	}
	return out
}

// child returns what a node has under a key, or at an index; nil where it has nothing there. Its line is that of the key,
// where there is one.
func child(node *yaml.Node, step string) *yaml.Node {
	if node != nil && node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	switch {
	case node == nil:
	case node.Kind == yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == step {
				of := *node.Content[i+1]
				of.Line = node.Content[i].Line
				return &of
			}
		}
	case node.Kind == yaml.SequenceNode:
		if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(node.Content) {
			return node.Content[i]
		}
	}
	return nil
}

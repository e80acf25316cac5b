package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	goyaml "go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// document is one of a file.
type document struct {
	text []byte
	// before is how many lines of the file come before it.
	before int
}

// Parse reads the objects of a file, those of Lists one by one. The error names file and line.
func Parse(file string, raw []byte) (out []Object, err error) {
	if bytes.HasPrefix(raw, []byte("\xff\xfe")) || bytes.HasPrefix(raw, []byte("\xfe\xff")) {
		return nil, fmt.Errorf("%s: is in UTF-16, of which kubectl reads the first object alone; save it as UTF-8", file)
	}
	var errs []error
	for _, document := range split(raw) {
		objects, err := document.read(file)
		out, errs = append(out, objects...), append(errs, err)
	}
	return out, errors.Join(errs...)
}

// split takes a file apart: YAML at its separators, and JSON where one value ends.
func split(raw []byte) (out []document) {
	if trimmed := bytes.TrimLeft(raw, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '{' {
		return splitJSON(raw)
	}
	return splitYAML(raw, 0)
}

// splitYAML returns the documents of a text that so many lines stand before.
func splitYAML(raw []byte, lines int) (out []document) {
	text, before := []byte{}, lines
	for i, line := range bytes.SplitAfter(raw, []byte("\n")) {
		if separates(line) {
			out, text, before = append(out, document{text, before}), []byte{}, lines+i+1
			continue
		}
		text = append(text, line...)
	}
	return append(out, document{text, before})
}

// separates says whether a line stands between two documents, as kubectl reads it.
func separates(line []byte) bool {
	rest, is := bytes.CutPrefix(line, []byte("---"))
	rest = bytes.TrimSpace(rest)
	return is && (len(rest) == 0 || rest[0] == '#')
}

// splitJSON returns the values of a stream. One that is cut off, or YAML in braces, is left to be read as YAML.
func splitJSON(raw []byte) (out []document) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	for start := int64(0); ; start = decoder.InputOffset() {
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			if rest := raw[start:]; len(bytes.TrimSpace(rest)) > 0 {
				out = append(out, splitYAML(rest, bytes.Count(raw[:start], []byte("\n")))...)
			}
			return out
		}
		from := decoder.InputOffset() - int64(len(value))
		out = append(out, document{value, bytes.Count(raw[:from], []byte("\n"))})
	}
}

// read returns the objects of a document, none of an empty one.
func (d document) read(file string) ([]Object, error) {
	root := &goyaml.Node{}
	decoder := goyaml.NewDecoder(bytes.NewReader(d.text))
	readable := decoder.Decode(root) == nil && len(root.Content) > 0
	if readable && suite(file, root.Content[0]) {
		return nil, nil
	}
	if readable {
		if err := d.ends(file, decoder); err != nil {
			return nil, err
		}
	}
	converted, err := yaml.YAMLToJSONStrict(d.text)
	if err != nil {
		return nil, d.wrong(file, err)
	}
	if bytes.Equal(converted, []byte("null")) {
		return nil, nil
	}
	if !readable {
		// What is JSON and not YAML for this reader has no lines but the first.
		root = &goyaml.Node{Content: []*goyaml.Node{{Line: 1}}}
	}
	whole := Object{File: file, node: root.Content[0], before: d.before}
	whole.Line = d.before + whole.node.Line
	var content map[string]any
	if err := json.Unmarshal(converted, &content); err != nil {
		return nil, fmt.Errorf("%s: is not an object", Place(file, whole.Line))
	}
	if items, is := content["items"].([]any); is && strings.HasSuffix(fmt.Sprint(content["kind"]), "List") {
		return whole.list(items)
	}
	one, err := whole.of(converted)
	if err != nil {
		return nil, err
	}
	return []Object{one}, nil
}

// ends says whether nothing follows the first document of a text, of which alone kubectl knows.
func (d document) ends(file string, decoder *goyaml.Decoder) error {
	next := &goyaml.Node{}
	switch err := decoder.Decode(next); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return d.wrong(file, err)
	}
	return fmt.Errorf("%s: begins another document, which kubectl does not read: write --- on a line of its own before it", Place(file, d.before+next.Line))
}

// suite says whether a document is a suite of cases, which stand beside policies; it is no object that anybody could apply, and may
// merge what kubectl does not.
func suite(file string, content *goyaml.Node) bool {
	of := strings.TrimSuffix(file, filepath.Ext(file))
	cases := child(content, "cases")
	// What is merged into it whole may be an object.
	own := child(content, "kind") == nil && child(content, "apiVersion") == nil && child(content, "<<") == nil
	return cases != nil && cases.Kind == goyaml.SequenceNode && own && strings.HasSuffix(of, "_test")
}

// list returns the items of a List.
func (o Object) list(items []any) (out []Object, err error) {
	var errs []error
	at := child(o.node, "items")
	for i, item := range items {
		one := o
		if at != nil && i < len(at.Content) {
			one.node = at.Content[i]
			one.Line = o.before + one.node.Line
		}
		raw, err := json.Marshal(item)
		if err != nil {
			return nil, err
		}
		if one, err = one.of(raw); err != nil {
			errs = append(errs, err)
			continue
		}
		out = append(out, one)
	}
	return out, errors.Join(errs...)
}

// of is the object at its place.
func (o Object) of(raw []byte) (Object, error) {
	o.Unstructured = &unstructured.Unstructured{}
	if err := o.UnmarshalJSON(raw); err != nil {
		return o, fmt.Errorf("%s: is not an object: it has no kind", Place(o.File, o.Line))
	}
	if err := json.Unmarshal(raw, &metav1.PartialObjectMetadata{}); err != nil {
		return o, fmt.Errorf("%s: %s: %w", Place(o.File, o.Line), o.GetKind(), err)
	}
	if o.GetAPIVersion() == "" {
		return o, fmt.Errorf("%s: %s has no apiVersion", Place(o.File, o.Line), o.GetKind())
	}
	if o.GetKind() == "Kustomization" && strings.HasPrefix(o.GetAPIVersion(), "kustomize.config.k8s.io/") {
		return o, fmt.Errorf("%s: a Kustomization is built, and not applied: give what kustomize build prints, by -f -", Place(o.File, o.Line))
	}
	if o.GetName() == "" && o.GetGenerateName() == "" {
		return o, fmt.Errorf("%s: %s has no name", Place(o.File, o.Line), o.GetKind())
	}
	return o, nil
}

// said is how the reader of YAML tells the line of an error.
var said = regexp.MustCompile(`^(?:error converting YAML to JSON: )?yaml: (?:unmarshal errors:\s*)?(?:line (\d+): )?`)

// wrong is the error of a document that cannot be read, at its line in the file.
func (d document) wrong(file string, err error) error {
	line, text := 1, err.Error()
	if match := said.FindStringSubmatch(text); match != nil {
		text = text[len(match[0]):]
		if of, err := strconv.Atoi(match[1]); err == nil {
			line = of
		}
	}
	if bytes.Contains(d.text, []byte("{{")) {
		text += "; {{ }} is a template: give what helm template prints, by -f -"
	}
	return fmt.Errorf("%s: %s", Place(file, d.before+line), text)
}

package manifest_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/egress-governor/egress-governor/internal/manifest"
)

func parse(t *testing.T, text string) []manifest.Object {
	t.Helper()
	out, err := manifest.Parse("x.yaml", []byte(text))
	require.NoError(t, err)
	return out
}

const two = `# Source: chart/templates/entry.yaml
---
# nothing but a comment
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: api
  namespace: app
  annotations:
    egress-governor.io/service-accounts: batch
spec:
  hosts:
  - a.example.com
  - b.example.com
  ports: [{number: 443, name: tls, protocol: TLS}]
--- # the next
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Namespace
  metadata: {name: app}
- {apiVersion: v1, kind: ServiceAccount, metadata: {name: batch, namespace: app}}
`

func TestObjectsAndFieldsHaveTheirLines(t *testing.T) {
	t.Parallel()
	objects := parse(t, two)
	require.Len(t, objects, 3)
	var places []string
	for _, object := range objects {
		places = append(places, manifest.Place(object.File, object.Line)+" "+manifest.Name(object.Unstructured))
	}
	assert.Equal(t, []string{"x.yaml:5 ServiceEntry app/api", "x.yaml:21 Namespace app", "x.yaml:24 ServiceAccount app/batch"}, places)
	for field, line := range map[string]int{
		"":                       5,
		"spec":                   12,
		"spec.hosts":             13,
		"spec.hosts[1]":          15,
		"spec.ports[0].protocol": 16,
		"metadata.annotations[egress-governor.io/service-accounts]": 11,
		"spec.endpoints[0].address":                                 12,
		"spec.hosts[7]":                                             13,
		"no.such[x]":                                                5,
	} {
		assert.Equal(t, line, objects[0].At(field), field)
	}
	assert.Equal(t, 21, objects[1].At("spec"))
	assert.Equal(t, 23, objects[1].At("metadata.name"))
}

// TestNumbersAreThoseOfAnAPIServer: an int is not a float.
func TestNumbersAreThoseOfAnAPIServer(t *testing.T) {
	t.Parallel()
	spec := parse(t, two)[0].Object["spec"].(map[string]any)
	assert.Equal(t, int64(443), spec["ports"].([]any)[0].(map[string]any)["number"])
}

func TestJSONIsReadWithItsLines(t *testing.T) {
	t.Parallel()
	objects := parse(t, "{\"apiVersion\": \"v1\", \"kind\": \"Namespace\",\n\t\"metadata\": {\"name\": \"a\"}}\n\n{\"apiVersion\": \"v1\", \"kind\": \"Namespace\", \"metadata\": {\n\"name\": \"b\"}}\n")
	require.Len(t, objects, 2)
	assert.Equal(t, []int{1, 4}, []int{objects[0].Line, objects[1].Line})
	assert.Equal(t, 5, objects[1].At("metadata.name"))
	assert.Len(t, parse(t, `{apiVersion: v1, kind: Namespace, metadata: {name: a}}`), 1, "YAML in braces")
}

func TestErrorsNameFileAndLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"---\nkind: A\nmetadata: x: y\n":         "x.yaml:3: mapping values are not allowed in this context",
		"---\n---\na: 1\nb: 2\na: 3\n":           `x.yaml:5: key "a" already set in map`,
		"---\nreplicaCount: 2\n":                 "x.yaml:2: is not an object: it has no kind",
		"- a\n":                                  "x.yaml:1: is not an object",
		"kind: Namespace\nmetadata: {name: a}\n": "x.yaml:1: Namespace has no apiVersion",
		"apiVersion: v1\nkind: Namespace\n":      "x.yaml:1: Namespace has no name",
		"apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {b: 1}}\n":      "x.yaml:1: Namespace: json: cannot unmarshal number",
		"apiVersion: v1\nkind: List\nitems:\n- {kind: A}\n- {apiVersion: v1}\n":       "x.yaml:4: A has no apiVersion\nx.yaml:5: is not an object: it has no kind",
		"{\"apiVersion\": \"v1\", \"kind\": \"Namespace\",\n \"metadata\": {\"name\"": "x.yaml:2: ",
		"---\nkind: A\nmetadata: {name: {{ .Values.name }}}\n":                        "is a template",
		"apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n":          "x.yaml:1: a Kustomization is built",
	} {
		_, err := manifest.Parse("x.yaml", []byte(text))
		require.ErrorContains(t, err, want, text)
	}
}

// TestNoDocumentIsOverlooked: of several that no line --- parts, and of UTF-16, a reader of YAML sees the first alone.
func TestNoDocumentIsOverlooked(t *testing.T) {
	t.Parallel()
	const one, other = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n", "apiVersion: v1\nkind: Namespace\nmetadata: {name: b}\n"
	for between, line := range map[string]string{"...\n": "x.yaml:4: ", "--- !!map\n": "x.yaml:4: ", "--- {}\n---\n": "x.yaml:4: "} {
		_, err := manifest.Parse("x.yaml", []byte(one+between+other))
		require.ErrorContains(t, err, line, between)
	}
	for _, text := range []string{one + "...\n", one + "...\n---\n" + other, "\ufeff" + one} {
		_, err := manifest.Parse("x.yaml", []byte(text))
		require.NoError(t, err, text)
	}
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		text := order.AppendUint16(nil, 0xfeff)
		for _, unit := range utf16.Encode([]rune(one + "---\n" + other)) {
			text = order.AppendUint16(text, unit)
		}
		_, err := manifest.Parse("x.yaml", text)
		require.ErrorContains(t, err, "x.yaml: is in UTF-16")
	}
}

func TestFoldersAreReadAsKubectlReadsThem(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	write := func(name, object string) {
		file := filepath.Join(folder, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: "+object+"}\n"), 0o600))
	}
	write("b.yml", "b")
	write("a.yaml", "a")
	write("deep/c.json", "c")
	write("README.md", "readme")
	names := func(recursive bool, paths ...string) (out []string) {
		objects, err := manifest.Read(paths, strings.NewReader("apiVersion: v1\nkind: Namespace\nmetadata: {name: in}\n"), recursive)
		require.NoError(t, err)
		for _, object := range objects {
			out = append(out, object.GetName())
		}
		return out
	}
	assert.Equal(t, []string{"a", "b"}, names(false, folder))
	assert.Equal(t, []string{"a", "b", "c"}, names(true, folder))
	assert.Equal(t, []string{"in", "readme"}, names(false, "-", filepath.Join(folder, "README.md")), "a file that is named is read whatever its name")

	_, err := manifest.Read([]string{filepath.Join(folder, "none.yaml"), t.TempDir()}, nil, false)
	require.ErrorContains(t, err, "none.yaml")
	require.ErrorContains(t, err, "the folder has no")
	_, err = manifest.Read([]string{"-"}, strings.NewReader("a: ["), false)
	assert.ErrorContains(t, err, "stdin:1: ")
}

// TestSuitesBesidePoliciesArePassedOver, and nothing that could be applied is.
func TestSuitesBesidePoliciesArePassedOver(t *testing.T) {
	t.Parallel()
	out, err := manifest.Parse("tests/a_test.yaml", []byte("policies: []\ncases:\n- name: a\n"))
	require.NoError(t, err)
	assert.Empty(t, out)
	// What a suite may merge, no manifest may.
	out, err = manifest.Parse("tests/a_test.yaml", []byte("cases:\n- &a {name: a, manifest: {metadata: {name: x}}}\n- <<: *a\n  name: b\n"))
	require.NoError(t, err)
	assert.Empty(t, out)
	out, err = manifest.Parse("a_test.yaml", []byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\ncases: []\n"))
	require.NoError(t, err)
	assert.Len(t, out, 1)
	const merging = "cases:\n- manifest: &a {kind: A}\n- manifest: {<<: *a, kind: B}\n"
	out, err = manifest.Parse("merging_test.yaml", []byte(merging))
	require.NoError(t, err, "a case may write over what it merges")
	assert.Empty(t, out)
	for file, text := range map[string]string{"merging.yaml": merging, "c_test.yaml": "<<: {kind: A, apiVersion: v1}\n" + merging, "d_test.yaml": "kind: A\n" + merging, "a.yaml": "cases: []\n", "a_test.yaml": "case: []\n", "b_test.yaml": "kind: A\ncases: []\n"} {
		_, err = manifest.Parse(file, []byte(text))
		assert.Error(t, err, file)
	}
}

// TestObjectsWithinADocument have the lines of the document, and stand for themselves where others are merged into them.
func TestObjectsWithinADocument(t *testing.T) {
	t.Parallel()
	var root struct{ A, B, C yaml.Node }
	require.NoError(t, yaml.Unmarshal([]byte(`a: &a
  apiVersion: v1
  kind: A
  metadata: {name: a}
  spec:
    rego: |
      one
      two
    other: "x"
b:
  <<: *a
  metadata:
    name: b
c: [a]
`), &root))
	first, err := manifest.Inline("x.yaml", &root.A)
	require.NoError(t, err)
	assert.Equal(t, 1, first.Line, "that of its anchor")
	assert.Equal(t, 4, first.At("metadata.name"))
	line, known := first.Text("spec.rego", 2)
	assert.True(t, known)
	assert.Equal(t, 8, line)
	_, known = first.Text("spec.other", 1)
	assert.False(t, known, "it is no block")
	second, err := manifest.Inline("x.yaml", &root.B)
	require.NoError(t, err)
	assert.Equal(t, "A b", manifest.Name(second.Unstructured))
	assert.Equal(t, 13, second.At("metadata.name"))
	assert.Equal(t, "one\ntwo\n", second.Object["spec"].(map[string]any)["rego"])
	_, err = manifest.Inline("x.yaml", &root.C)
	assert.ErrorContains(t, err, "x.yaml:14: is not an object")
}

// TestADocumentInBracesIsNotTheLast: YAML may begin with one, and goes on after it.
func TestADocumentInBracesIsNotTheLast(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"{apiVersion: v1, kind: Namespace, metadata: {name: a}}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: b}\n",
		"{\"apiVersion\": \"v1\", \"kind\": \"Namespace\", \"metadata\": {\"name\": \"a\"}}\n---\n{apiVersion: v1, kind: Namespace, metadata: {name: b}}\n",
	} {
		objects, err := manifest.Parse("x.yaml", []byte(text))
		require.NoError(t, err)
		require.Len(t, objects, 2, text)
		assert.Equal(t, "b", objects[1].GetName())
		assert.Equal(t, 3, objects[1].Line)
	}
}

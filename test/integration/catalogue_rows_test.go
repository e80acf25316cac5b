package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/test/controlplane"
	"github.com/egress-governor/egress-governor/test/proof"
)

// row is a row of catalogue/catalogue.yaml: a kind of way round an egress gateway, and the tricks within it.
type row struct {
	Row    string  `json:"row"`
	Says   string  `json:"says"`
	Tricks []trick `json:"tricks"`
}

// trick is one way round, and what holds it: at least one of the fields.
type trick struct {
	Name string `json:"name"`
	// Refused says that the manifest of its name is not stored, by the transports of By (both by default).
	Refused *answer  `json:"refused,omitempty"`
	By      []string `json:"by,omitempty"`
	// Case is the routing case that proves it harmless, Object the trick's in there where it has several.
	Case   string `json:"case,omitempty"`
	Object string `json:"object,omitempty"`
	// Test is one that holds it otherwise.
	Test string `json:"test,omitempty"`
	// Limit is the heading of docs/limits.md that says why it is out of reach, and what to use instead.
	Limit string `json:"limit,omitempty"`
}

// answer is what a refusal must say: a code of ours, a policy of the library or a guard, and the field.
type answer struct{ Code, Field string }

// in says whether a text gives the answer.
func (a answer) in(text string) bool {
	for _, line := range strings.Split(text, "\n") {
		if strings.Contains(line, "ValidatingAdmissionPolicy 'egress-governor-"+a.Code+"'") {
			return strings.Contains(line, ": "+a.Field)
		}
		if strings.Contains(line, ": "+a.Field+": ") && strings.Contains(line, "("+a.Code+")") {
			return true
		}
	}
	return false
}

func rows(t *testing.T) (out []row) {
	t.Helper()
	raw, err := os.ReadFile("catalogue/catalogue.yaml")
	require.NoError(t, err)
	require.NoError(t, yaml.UnmarshalStrict(raw, &out))
	require.NotEmpty(t, out)
	return out
}

// manifests reads a file of the catalogue; nothing where there is none.
func manifests(t *testing.T, file string) (out []*unstructured.Unstructured) {
	t.Helper()
	in, err := os.Open(filepath.Join("catalogue", file+".yaml"))
	if os.IsNotExist(err) {
		return nil
	}
	require.NoError(t, err)
	defer func() { _ = in.Close() }()
	out, err = controlplane.Decode(in)
	require.NoError(t, err, file)
	return out
}

// manifest returns that of a trick, nil where it has none.
func (r row) manifest(t *testing.T, name string) *unstructured.Unstructured {
	t.Helper()
	for _, object := range manifests(t, r.Row) {
		if object.GetName() == name {
			return object
		}
	}
	return nil
}

// TestTheCatalogueIsWhole: each trick is held by something that is there, each manifest belongs to a trick, and the document
// has the same rows.
func TestTheCatalogueIsWhole(t *testing.T) {
	t.Parallel()
	loaded, err := proof.Load("../routing/cases")
	require.NoError(t, err)
	cases := map[string]*proof.Case{}
	for _, each := range loaded {
		cases[each.Family+"/"+each.Name] = each
	}
	limits, err := os.ReadFile("../../docs/limits.md")
	require.NoError(t, err)
	tests, anchors := testsOf(t), anchorsOf(string(limits))
	files := map[string]bool{"given": true, "harmless": true, "catalogue": true}
	for _, row := range rows(t) {
		t.Run(row.Row, func(t *testing.T) {
			files[row.Row] = true
			assert.NotEmpty(t, row.Tricks)
			names := map[string]bool{}
			for _, trick := range row.Tricks {
				assert.False(t, names[trick.Name], "%s is there twice", trick.Name)
				names[trick.Name] = true
				object := row.manifest(t, trick.Name)
				assert.True(t, trick.Refused != nil || trick.Case != "" || trick.Test != "" || trick.Limit != "", "%s: nothing holds it", trick.Name)
				if trick.Refused != nil {
					assert.NotNil(t, object, "%s: has no manifest", trick.Name)
				}
				if trick.Test != "" {
					assert.Contains(t, tests, trick.Test, trick.Name)
				}
				if trick.Limit != "" {
					assert.Contains(t, anchors, trick.Limit, trick.Name)
				}
				if trick.Case != "" {
					harmless(t, trick, cases[trick.Case])
				}
			}
			for _, object := range manifests(t, row.Row) {
				assert.True(t, names[object.GetName()], "%s: no trick of the row", object.GetName())
			}
		})
	}
	require.NoError(t, filepath.WalkDir("catalogue", func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			name, _ := filepath.Rel("catalogue", strings.TrimSuffix(path, ".yaml"))
			assert.True(t, files[filepath.ToSlash(name)], "%s: of no row", path)
		}
		return err
	}))
	assert.Contains(t, string(limits), table(rows(t)), "the table of docs/limits.md, as the catalogue has it")
}

// harmless holds that a case is there, has the trick, says where calls end, and leads none of them straight out.
func harmless(t *testing.T, of trick, in *proof.Case) {
	t.Helper()
	if !assert.NotNil(t, in, "%s: there is no case %s", of.Name, of.Case) {
		return
	}
	assert.NotZero(t, len(in.Calls)+len(in.Refused), of.Case)
	for _, call := range in.Calls {
		assert.NotEqual(t, proof.Straight, call.Ends, "%s: %s", of.Case, call.To)
	}
	if of.Object == "" {
		return
	}
	_, applied, err := in.Objects()
	require.NoError(t, err)
	assert.True(t, slices.ContainsFunc(applied, func(object *unstructured.Unstructured) bool { return proof.NameOf(object) == of.Object }), "%s: has no %s", of.Case, of.Object)
}

// testsOf returns the names of all tests of this module.
func testsOf(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("../*/*_test.go")
	require.NoError(t, err)
	out := map[string]bool{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, name := range regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`).FindAllStringSubmatch(string(raw), -1) {
			out[name[1]] = true
		}
	}
	return out
}

// anchorsOf returns those of a document's headings.
func anchorsOf(document string) (out []string) {
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(document, -1) {
		plain := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		out = append(out, strings.ReplaceAll(plain, " ", "-"))
	}
	return out
}

// table is what the document says of the rows.
func table(of []row) string {
	out := "| row | tricks | held by |\n|---|---|---|\n"
	for _, row := range of {
		var held []string
		hold := func(format string, args ...any) {
			if text := fmt.Sprintf(format, args...); !slices.Contains(held, text) {
				held = append(held, text)
			}
		}
		for _, trick := range row.Tricks {
			if trick.Refused != nil {
				hold("`%s`", trick.Refused.Code)
			}
			if trick.Case != "" {
				hold("[%s](../test/routing/cases/%s)", trick.Case, trick.Case)
			}
			if trick.Test != "" {
				hold("`%s`", trick.Test)
			}
			if trick.Limit != "" {
				hold("[limit](#%s)", trick.Limit)
			}
		}
		out += fmt.Sprintf("| `%s` | %s: %d | %s |\n", row.Row, row.Says, len(row.Tricks), strings.Join(held, ", "))
	}
	return out
}

package policies_test

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/format"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/tester"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/policies"
)

// TestRego runs the library's own tests as opa test does, with the examples as data, and wants each line covered.
func TestRego(t *testing.T) {
	t.Parallel()
	modules, store, err := tester.Load([]string{"."}, nil)
	require.NoError(t, err)
	coverage := cover.New()
	ctx := context.Background()
	txn := storage.NewTransactionOrDie(ctx, store)
	defer store.Abort(ctx, txn)
	results, err := tester.NewRunner().SetStore(store).SetModules(modules).SetCoverageQueryTracer(coverage).
		CapturePrintOutput(true).RunTests(ctx, txn)
	require.NoError(t, err)
	ran := 0
	for result := range results {
		ran++
		assert.True(t, result.Pass(), "%s %s %v", result.Location, result.Name, result.Error)
	}
	require.Greater(t, ran, 25)
	report := coverage.Report(modules)
	for name, file := range report.Files {
		for _, lines := range file.NotCovered {
			assert.Failf(t, "not covered", "%s:%d-%d", name, lines.Start.Row, lines.End.Row)
		}
	}
}

// TestForm wants every file formatted, every package and public rule described, and the sentence and the fix of a
// denial in the METADATA of its rule.
func TestForm(t *testing.T) {
	t.Parallel()
	require.NoError(t, filepath.WalkDir(".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(name) != ".rego" {
			return err
		}
		raw, err := os.ReadFile(name)
		require.NoError(t, err)
		formatted, err := format.SourceWithOpts(name, raw, format.Opts{RegoVersion: ast.RegoV1})
		require.NoError(t, err)
		assert.Equal(t, string(formatted), string(raw), "%s: opa fmt", name)
		module, err := ast.ParseModuleWithOpts(name, string(raw), ast.ParserOptions{ProcessAnnotation: true, RegoVersion: ast.RegoV1})
		require.NoError(t, err)
		folder := strings.ReplaceAll(filepath.Dir(name), string(filepath.Separator), ".")
		if strings.HasSuffix(name, "_test.rego") {
			assert.Equal(t, "data.policies."+folder+"_test", module.Package.Path.String(), name)
			return nil
		}
		assert.Equal(t, "data.policies."+folder, module.Package.Path.String(), name)
		describe(t, name, module)
		return nil
	}))
}

func describe(t *testing.T, name string, module *ast.Module) {
	t.Helper()
	described := map[string]bool{}
	var titles []string
	for _, annotations := range module.Annotations {
		assert.NotEmpty(t, annotations.Title, "%s: title", annotations.Location)
		assert.NotEmpty(t, annotations.Description, "%s: description", annotations.Location)
		described[annotations.GetTargetPath().String()] = true
		if annotations.Scope == "package" && !strings.HasPrefix(name, "lib") {
			assert.NotEmpty(t, annotations.Custom["fix"], "%s: custom.fix", name)
			assert.NotEmpty(t, annotations.Custom["parameters"], "%s: custom.parameters", name)
		}
	}
	for _, rule := range module.Rules {
		head := rule.Head.Ref()[0].String()
		if !strings.HasPrefix(head, "_") && !rule.Default {
			assert.True(t, described[module.Package.Path.String()+"."+head], "%s: METADATA of %s", rule.Location, head)
		}
		if head == "deny" || head == "warn" {
			assert.Len(t, rule.Annotations, 1, "%s: METADATA of its own", rule.Location)
			for _, annotations := range rule.Annotations {
				assert.NotContains(t, titles, annotations.Title, "%s: the title is the code", rule.Location)
				titles = append(titles, annotations.Title)
				assert.NotEmpty(t, annotations.Custom["msg"], "%s: custom.msg", rule.Location)
				assert.NotEmpty(t, annotations.Custom["fix"], "%s: custom.fix", rule.Location)
			}
		}
	}
}

// TestLibraryFitsTheInput compiles the library strictly, with the schema of the input and without impure built-ins, as
// opa check --strict --schema --capabilities does.
func TestLibraryFitsTheInput(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("schemas/input.json")
	require.NoError(t, err)
	var schema any
	require.NoError(t, json.Unmarshal(raw, &schema))
	set := ast.NewSchemaSet()
	set.Put(ast.SchemaRootRef, schema)
	compile := func(extra string) error {
		modules := map[string]*ast.Module{}
		require.NoError(t, fs.WalkDir(policies.Library(), ".", func(name string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(name) != ".rego" || strings.HasSuffix(name, "_test.rego") {
				return err
			}
			raw, err := fs.ReadFile(policies.Library(), name)
			if err == nil {
				modules[name], err = ast.ParseModuleWithOpts(name, string(raw)+extra, ast.ParserOptions{ProcessAnnotation: true, RegoVersion: ast.RegoV1})
			}
			return err
		}))
		compiler := ast.NewCompiler().WithStrict(true).WithCapabilities(policy.Capabilities()).WithSchemas(set).WithUseTypeCheckAnnotations(true)
		compiler.Compile(modules)
		if compiler.Failed() {
			return compiler.Errors
		}
		return nil
	}
	require.NoError(t, compile(""))
	require.Error(t, compile("\n_typo if input.egres.hosts\n"), "the schema knows the input's fields")
	require.Error(t, compile("\n_impure := http.send({})\n"))
}

// TestLibraryIsEmbedded wants every policy of the folder in the binary.
func TestLibraryIsEmbedded(t *testing.T) {
	t.Parallel()
	folders, err := filepath.Glob("*/*.rego")
	require.NoError(t, err)
	require.NotEmpty(t, folders)
	for _, file := range folders {
		_, err := fs.Stat(policies.Library(), filepath.ToSlash(file))
		assert.NoError(t, err, file)
	}
}

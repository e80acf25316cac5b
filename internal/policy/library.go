package policy

import (
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// sharedFolder is the folder of what all policies share.
const sharedFolder = "lib/"

// library is the parsed Rego of the built-in policies and of what they share.
type library struct {
	shared   map[string]*ast.Module // by file name
	policies map[string]*ast.Module // by policy name, such as allowed-hosts
	// bundles are what came beside it, by name; nil for one that has not come.
	bundles map[string]*bundled
	// prepared are its policies, compiled, validators those of their parameters.
	prepared   *shares[ready]
	validators *shares[*jsonschema.Schema]
	// schema is that of the input, nil where it is not known.
	schema *ast.SchemaSet
	// prints says that print statements print, for those who look at a policy; in the webhook they are left out.
	prints bool
}

// loadLibrary parses every *.rego of a tree except tests: those under lib are shared by all policies, and
// <name>/<name>.rego is the library policy of that name.
func loadLibrary(files fs.FS) (*library, error) {
	out := &library{shared: map[string]*ast.Module{}, policies: map[string]*ast.Module{}, prepared: &shares[ready]{}, validators: &shares[*jsonschema.Schema]{}}
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Ext(name) != ".rego" || strings.HasSuffix(name, "_test.rego") {
			return err
		}
		raw, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		module, err := parse(name, string(raw))
		if err != nil {
			return err
		}
		if strings.HasPrefix(name, sharedFolder) {
			out.shared[name] = module
			return nil
		}
		out.policies[strings.ReplaceAll(strings.TrimSuffix(path.Base(name), ".rego"), "_", "-")] = module
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("policy library: %w", err)
	}
	out.schema, err = loadSchema(files)
	return out, err
}

func parse(name, source string) (*ast.Module, error) {
	return ast.ParseModuleWithOpts(name, source, ast.ParserOptions{
		RegoVersion: ast.RegoV1, ProcessAnnotation: true, Capabilities: Capabilities(),
	})
}

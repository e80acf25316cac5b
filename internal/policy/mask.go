package policy

import (
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"
)

// MaskPackage is the package of Rego that says what of decision logs is masked, by OPA's default.
var MaskPackage = ast.MustParseRef("data.system.log")

// CompileMask compiles Rego of that package, by file, within the bounds of every policy. It reads its input and itself alone: of
// what is not there, nothing would be masked.
func CompileMask(files map[string]string) (*ast.Compiler, error) {
	boundBuiltins()
	modules := map[string]*ast.Module{}
	for file, source := range files {
		module, err := parse(file, source)
		if err != nil {
			return nil, err
		}
		if module == nil || !module.Package.Path.Equal(MaskPackage) {
			return nil, fmt.Errorf("%s: is not of package system.log", file)
		}
		if err := readsItself(module); err != nil {
			return nil, err
		}
		modules[file] = module
	}
	return (&library{}).compiler(modules, nil)
}

func readsItself(module *ast.Module) (err error) {
	refuse := func(ref ast.Ref, at *ast.Location) {
		if err == nil && ref.HasPrefix(ast.DefaultRootRef) && !ref.HasPrefix(MaskPackage) {
			err = fmt.Errorf("%s: package system.log reads input and itself alone, and not %s", at, ref)
		}
	}
	for _, imported := range module.Imports {
		if ref, is := imported.Path.Value.(ast.Ref); is {
			refuse(ref, imported.Location)
		}
	}
	for _, rule := range module.Rules {
		ast.WalkRefs(rule, func(ref ast.Ref) bool {
			refuse(ref, rule.Location)
			return false
		})
	}
	return err
}

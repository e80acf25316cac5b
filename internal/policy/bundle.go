package policy

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// A bundle is Rego and data of an OPA bundle. Each package policies.<name> of it with deny or warn is a policy, which
// EgressPolicies name as <bundle>/<name>, so that it takes the place of nothing; its other packages and its data are read by these
// alone.

// bundled is a bundle that is in force.
type bundled struct {
	// modules are all of its Rego by file, policies those that EgressPolicies may name.
	modules, policies map[string]*ast.Module
	// compiler has all of it, for every policy alike: what a bundle takes does not grow with who uses it.
	compiler *ast.Compiler
	// store has its data.
	store storage.Store
	// digest tells it from others.
	digest string
}

const (
	// maxBundledRego and maxBundledData are how many bytes a bundle may have of either.
	maxBundledRego = 1 << 20
	maxBundledData = 16 << 20
)

// ExpectBundles has the engine know of bundles that may come, by name. EgressPolicies that name another are refused.
func (e *Engine) ExpectBundles(names ...string) {
	e.bundles(func(known map[string]*bundled) {
		for _, name := range names {
			if _, is := known[name]; !is {
				known[name] = nil
			}
		}
	})
}

// SetBundle has a bundle in the place of the one of the same name; EgressPolicies that use it go by it once they are set again. On
// error the last good one stays. The error names file and line.
func (e *Engine) SetBundle(name string, of *bundle.Bundle) error {
	next, err := e.library.Load().unpack(name, of)
	if err != nil {
		return err
	}
	e.bundles(func(known map[string]*bundled) { known[name] = next })
	return nil
}

// BundleDigest tells a bundle that is in force from others of its name, empty where none is.
func (e *Engine) BundleDigest(name string) string {
	if of := e.library.Load().bundles[name]; of != nil {
		return of.digest
	}
	return ""
}

func (e *Engine) bundles(apply func(map[string]*bundled)) {
	e.writing.Lock()
	defer e.writing.Unlock()
	next := *e.library.Load()
	next.bundles = maps.Clone(next.bundles)
	if next.bundles == nil {
		next.bundles = map[string]*bundled{}
	}
	apply(next.bundles)
	e.library.Store(&next)
}

// unpack reads a bundle, and compiles all of it by the bounds of every policy.
func (l *library) unpack(name string, of *bundle.Bundle) (*bundled, error) {
	if of.Type() != bundle.SnapshotBundleType {
		return nil, errors.New("a delta bundle cannot be taken: only whole ones can be verified")
	}
	if len(of.WasmModules)+len(of.PlanModules) > 0 {
		return nil, errors.New("a bundle of Wasm or of plans cannot be taken: build it for the target rego")
	}
	out := &bundled{modules: map[string]*ast.Module{}, policies: map[string]*ast.Module{}}
	digest, size := sha256.New(), 0
	for _, file := range slices.SortedFunc(slices.Values(of.Modules), func(a, b bundle.ModuleFile) int { return strings.Compare(a.Path, b.Path) }) {
		fmt.Fprintf(digest, "%s\x00%s\x00", file.Path, file.Raw)
		if size += len(file.Raw); size > maxBundledRego {
			return nil, fmt.Errorf("the bundle has more than %d MiB of Rego", maxBundledRego>>20)
		}
		if err := l.unpackModule(out, name, file); err != nil {
			return nil, err
		}
	}
	data, err := json.Marshal(of.Data)
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	if len(data) > maxBundledData {
		return nil, fmt.Errorf("the bundle has more than %d MiB of data", maxBundledData>>20)
	}
	digest.Write(data)
	out.digest = fmt.Sprintf("%.5x", digest.Sum(nil))
	if out.store, err = storeOf(data); err != nil {
		return nil, err
	}
	out.compiler, err = l.compiler(out.modules, out.store)
	return out, err
}

func (l *library) unpackModule(into *bundled, bundle string, of bundle.ModuleFile) error {
	if strings.HasSuffix(of.Path, "_test.rego") {
		return nil
	}
	file := bundle + "/" + strings.TrimPrefix(of.Path, "/")
	module, err := parse(file, string(of.Raw))
	if err != nil {
		return err
	}
	if module == nil {
		return nil
	}
	for _, shared := range l.shared {
		if module.Package.Path.Equal(shared.Package.Path) {
			return fmt.Errorf("%s: package %s is the library's own", module.Package.Location, module.Package.Path)
		}
	}
	into.modules[file] = module
	named, is := policyName(module)
	if !is {
		return nil
	}
	if other := into.policies[named]; other != nil {
		return fmt.Errorf("%s: package %s is that of %s already: a policy is one file", module.Package.Location, module.Package.Path, other.Package.Location.File)
	}
	into.policies[named] = module
	_, err = entrypoints(module)
	return err
}

// policyName returns the name under which EgressPolicies know a module of a bundle, false for one that is no policy.
func policyName(of *ast.Module) (string, bool) {
	const root = "policies"
	at := of.Package.Path // data.policies.<name>
	if len(at) != 3 || !at[1].Equal(ast.InternedTerm(root)) {
		return "", false
	}
	name, _ := at[2].Value.(ast.String)
	decides := slices.ContainsFunc(of.Rules, func(rule *ast.Rule) bool {
		called := rule.Head.Ref()[0].String()
		return called == "deny" || called == "warn"
	})
	return strings.ReplaceAll(string(name), "_", "-"), decides
}

// storeOf keeps data as Rego reads it, which is made once.
func storeOf(data []byte) (storage.Store, error) {
	var object map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.UseNumber()
	if err := decoder.Decode(&object); err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	return inmem.NewFromObjectWithOpts(object, inmem.OptReturnASTValuesOnRead(true), inmem.OptRoundTripOnWrite(false)), nil
}

// compiler compiles modules beside what all policies share; data is nil for none.
func (l *library) compiler(modules map[string]*ast.Module, data storage.Store) (*ast.Compiler, error) {
	return l.compilerOf(modules, data, sharingTypes)
}

func (l *library) compilerOf(modules map[string]*ast.Module, data storage.Store, with func(*ast.Compiler) *ast.Compiler) (*ast.Compiler, error) {
	ctx := context.Background()
	out := withWeights(ast.NewCompiler().WithCapabilities(Capabilities()).WithStrict(true)).WithEnablePrintStatements(l.prints)
	if data != nil {
		txn, err := data.NewTransaction(ctx)
		if err != nil {
			return nil, err
		}
		defer data.Abort(ctx, txn)
		out = out.WithPathConflictsCheck(storage.NonEmpty(ctx, data, txn))
	}
	all := map[string]*ast.Module{}
	for _, some := range []map[string]*ast.Module{modules, l.shared} {
		for name, module := range some {
			all[name] = module.Copy()
		}
	}
	out = with(out)
	if out.Compile(all); out.Failed() {
		return nil, fmt.Errorf("rego: %w", out.Errors)
	}
	return out, nil
}

// bundledModule returns the module of a policy that is a bundle's.
func (l *library) bundledModule(spec v1alpha1.EgressPolicySpec) (*ast.Module, *bundled, error) {
	name := path.Base(spec.Policy)
	of, known := l.bundles[spec.Bundle()]
	switch {
	case !known && len(l.bundles) == 0:
		return nil, nil, fmt.Errorf("spec.policy: no bundle %q is configured, nor any other", spec.Bundle())
	case !known:
		return nil, nil, fmt.Errorf("spec.policy: no bundle %q is configured; configured are %s", spec.Bundle(), strings.Join(slices.Sorted(maps.Keys(l.bundles)), ", "))
	case of == nil:
		return nil, nil, &v1alpha1.BundleMissing{Bundle: spec.Bundle()}
	}
	if module := of.policies[name]; module != nil && spec.Policy == spec.Bundle()+"/"+name {
		return module, of, nil
	}
	return nil, nil, fmt.Errorf("spec.policy: bundle %q has no policy %q; it has %s", spec.Bundle(), name, strings.Join(slices.Sorted(maps.Keys(of.policies)), ", "))
}

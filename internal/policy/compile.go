package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/santhosh-tekuri/jsonschema/v6"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// compiled is a policy ready to evaluate.
type compiled struct {
	name, library string
	enforcement   v1alpha1.Enforcement
	selector      labels.Selector
	kinds         []v1alpha1.Kind
	query         rego.PreparedEvalQuery
	parameters    *ast.Term
	// fix is the package's own advice, for results that bring none.
	fix string
	// timed says that the answers may change with the time.
	timed bool
	// broken is why a policy that never compiled cannot be evaluated; nil for all others.
	broken error
	// selection is what the selector matches, remembered.
	selection atomic.Pointer[selection]
}

// header returns the parts of a policy that need no compiler: whom it selects and what a violation does.
func header(policy *v1alpha1.EgressPolicy) (*compiled, error) {
	out := &compiled{
		name: policy.Name, library: policy.Spec.Policy, enforcement: policy.Spec.Enforcement,
		kinds: policy.Spec.Match.Kinds, selector: labels.Everything(),
	}
	if out.enforcement == "" {
		out.enforcement = v1alpha1.Deny
	}
	if policy.Spec.Match.NamespaceSelector != nil {
		selector, err := metav1.LabelSelectorAsSelector(policy.Spec.Match.NamespaceSelector)
		if err != nil {
			return out, fmt.Errorf("spec.match.namespaceSelector: %w", err)
		}
		out.selector = selector
	}
	return out, nil
}

func (l *library) compile(policy *v1alpha1.EgressPolicy) (*compiled, error) {
	out, err := header(policy)
	if err != nil {
		return nil, err
	}
	module, err := l.module(policy)
	if err != nil {
		return nil, err
	}
	query, err := entrypoints(module)
	if err != nil {
		return nil, err
	}
	if out.parameters, err = parameters(module, policy.Spec.Parameters); err != nil {
		return nil, err
	}
	out.fix, _ = custom(module, "fix").(string)
	compiler := ast.NewCompiler().WithCapabilities(Capabilities()).WithStrict(true)
	modules := map[string]*ast.Module{module.Package.Location.File: module.Copy()}
	for name, shared := range l.shared {
		modules[name] = shared.Copy()
	}
	if compiler.Compile(modules); compiler.Failed() {
		return nil, fmt.Errorf("rego: %w", compiler.Errors)
	}
	out.timed = timed(compiler, module)
	out.query, err = rego.New(rego.Compiler(compiler), rego.Query(query), rego.StrictBuiltinErrors(true)).PrepareForEval(context.Background())
	if err != nil {
		return nil, fmt.Errorf("rego: %w", err)
	}
	return out, nil
}

func (l *library) module(policy *v1alpha1.EgressPolicy) (*ast.Module, error) {
	switch spec := policy.Spec; {
	case (spec.Policy == "") == (spec.Rego == ""):
		return nil, errors.New("spec: exactly one of policy and rego must be given")
	case spec.Rego != "":
		module, err := parse(policy.Name+".rego", spec.Rego)
		if err != nil {
			return nil, fmt.Errorf("spec.rego: %w", err)
		}
		if module == nil {
			return nil, errors.New("spec.rego: is empty")
		}
		for _, shared := range l.shared {
			if shared.Package.Path.Equal(module.Package.Path) {
				return nil, fmt.Errorf("spec.rego: %s: package %s is the library's own", module.Package.Location, module.Package.Path)
			}
		}
		return module, nil
	}
	module, ok := l.policies[policy.Spec.Policy]
	if !ok {
		names := make([]string, 0, len(l.policies))
		for name := range l.policies {
			names = append(names, name)
		}
		slices.Sort(names)
		return nil, fmt.Errorf("spec.policy: the library has no policy %q; it has %s", policy.Spec.Policy, strings.Join(names, ", "))
	}
	return module, nil
}

// entrypoints returns the query for the rules that a policy is asked by: deny, warn or both.
func entrypoints(module *ast.Module) (string, error) {
	found := map[string]bool{}
	for _, rule := range module.Rules {
		name := rule.Head.Ref()[0].String()
		if name != "deny" && name != "warn" {
			continue
		}
		if rule.Head.RuleKind() != ast.MultiValue || len(rule.Head.Ref()) != 1 {
			return "", fmt.Errorf("rego: %s: %s must be a set: write \"%s contains result if { … }\"", rule.Location, name, name)
		}
		found[name] = true
	}
	var parts []string
	for _, name := range []string{"deny", "warn"} {
		if found[name] {
			parts = append(parts, fmt.Sprintf("%s = %s.%s", name, module.Package.Path, name))
		}
	}
	if len(parts) == 0 {
		return "", fmt.Errorf("rego: %s: the policy defines neither deny nor warn", module.Package.Location)
	}
	return strings.Join(parts, "; "), nil
}

// parameters checks a policy's parameters against the JSON Schema in its package's METADATA (custom.parameters) and
// returns them as Rego sees them: an array whose schema says uniqueItems is a set, so that asking whether it holds a
// host costs the same for ten hosts and ten thousand.
func parameters(module *ast.Module, given *apiextensionsv1.JSON) (*ast.Term, error) {
	raw := []byte("{}")
	if given != nil && len(given.Raw) > 0 {
		raw = given.Raw
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(raw)))
	if err != nil {
		return nil, fmt.Errorf("spec.parameters: %w", err)
	}
	schema, err := parameterSchema(module)
	if err != nil {
		return nil, err
	}
	if schema != nil {
		if err := validateParameters(schema, value); err != nil {
			return nil, err
		}
	}
	converted, err := ast.InterfaceToValue(value)
	if err != nil {
		return nil, fmt.Errorf("spec.parameters: %w", err)
	}
	return ast.NewTerm(sets(converted, schema)), nil
}

func parameterSchema(module *ast.Module) (map[string]any, error) {
	given := custom(module, "parameters")
	if given == nil {
		return nil, nil
	}
	raw, err := json.Marshal(given)
	if err != nil {
		return nil, fmt.Errorf("rego: custom.parameters: %w", err)
	}
	var schema map[string]any
	if err := json.Unmarshal(raw, &schema); err != nil {
		return nil, fmt.Errorf("rego: custom.parameters is not a JSON Schema: %w", err)
	}
	return schema, nil
}

// custom returns a custom field of the package's METADATA, nil for none.
func custom(module *ast.Module, key string) any {
	for _, annotations := range module.Annotations {
		if annotations.Scope == "package" && annotations.Custom[key] != nil {
			return annotations.Custom[key]
		}
	}
	return nil
}

// schemaURL is what a schema of parameters refers to as itself; nothing is ever loaded from it.
const schemaURL = "policy:///custom.parameters"

// noLoader keeps a schema from reading the files of this process and from calling the network by its references.
type noLoader struct{}

// Load implements jsonschema.URLLoader.
func (noLoader) Load(string) (any, error) {
	return nil, errors.New("a schema of parameters may refer to its own definitions alone")
}

func validateParameters(schema map[string]any, value any) error {
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(noLoader{})
	if err := compiler.AddResource(schemaURL, schema); err != nil {
		return fmt.Errorf("rego: custom.parameters: %w", err)
	}
	validator, err := compiler.Compile(schemaURL)
	if err != nil {
		return fmt.Errorf("rego: custom.parameters: %w", err)
	}
	var invalid *jsonschema.ValidationError
	if err := validator.Validate(value); errors.As(err, &invalid) {
		return fmt.Errorf("spec.parameters: %s", explain(invalid))
	} else if err != nil {
		return fmt.Errorf("spec.parameters: %w", err)
	}
	return nil
}

// explain names each parameter that does not fit, sorted.
func explain(err *jsonschema.ValidationError) string {
	var lines []string
	for _, unit := range err.BasicOutput().Errors {
		if unit.Error != nil {
			at := strings.TrimPrefix(strings.ReplaceAll(unit.InstanceLocation, "/", "."), ".")
			lines = append(lines, strings.TrimPrefix(at+": "+unit.Error.String(), ": "))
		}
	}
	slices.Sort(lines)
	return strings.Join(slices.Compact(lines), "; ")
}

func sets(value ast.Value, schema map[string]any) ast.Value {
	switch v := value.(type) {
	case *ast.Array:
		if unique, _ := schema["uniqueItems"].(bool); !unique {
			return v
		}
		set := ast.NewSet()
		v.Foreach(func(item *ast.Term) { set.Add(item) })
		return set
	case ast.Object:
		properties, _ := schema["properties"].(map[string]any)
		out := ast.NewObject()
		v.Foreach(func(key, item *ast.Term) {
			name, _ := key.Value.(ast.String)
			property, _ := properties[string(name)].(map[string]any)
			out.Insert(key, ast.NewTerm(sets(item.Value, property)))
		})
		return out
	}
	return value
}

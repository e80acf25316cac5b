package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/santhosh-tekuri/jsonschema/v6"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// What a policy's METADATA says of it.

// kindsOf returns the kinds that a module's METADATA names (custom.kinds), or else the default.
func kindsOf(module *ast.Module) ([]v1alpha1.Kind, error) {
	if module == nil || custom(module, "kinds") == nil {
		return v1alpha1.DefaultKinds, nil
	}
	var out []v1alpha1.Kind
	if err := customInto(module, "kinds", &out); err != nil {
		return v1alpha1.DefaultKinds, err
	}
	for _, kind := range out {
		if !slices.Contains(v1alpha1.Kinds, kind) {
			return v1alpha1.DefaultKinds, fmt.Errorf("rego: custom.kinds: %q is not governed; governed are %v", kind, v1alpha1.Kinds)
		}
	}
	return out, nil
}

// parameters checks a policy's parameters against the JSON Schema in its package's METADATA (custom.parameters) and
// returns them as Rego sees them: an array whose schema says uniqueItems is a set, so that asking whether it holds a
// host costs the same for ten hosts and ten thousand.
func (l *library) parameters(module *ast.Module, given *apiextensionsv1.JSON) (*ast.Term, error) {
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
		validator, err := l.validator(module, schema)
		if err == nil {
			err = validateParameters(validator, value)
		}
		if err != nil {
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
	if custom(module, "parameters") == nil {
		return nil, nil
	}
	var schema map[string]any
	return schema, customInto(module, "parameters", &schema)
}

// customInto reads a custom field of the package's METADATA.
func customInto(module *ast.Module, key string, into any) error {
	raw, err := json.Marshal(custom(module, key))
	if err == nil {
		err = json.Unmarshal(raw, into)
	}
	if err != nil {
		return fmt.Errorf("rego: custom.%s: %w", key, err)
	}
	return nil
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

// validator returns that of a schema of parameters, which is made once for a policy of the library.
func (l *library) validator(module *ast.Module, schema map[string]any) (*jsonschema.Schema, error) {
	if !l.own(module) {
		return newValidator(schema)
	}
	return l.validators.made(module, func() (*jsonschema.Schema, error) { return newValidator(schema) })
}

func newValidator(schema map[string]any) (*jsonschema.Schema, error) {
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(noLoader{})
	compiler.AssertFormat()
	compiler.RegisterFormat(&jsonschema.Format{Name: "host-or-cidr", Validate: hostOrCIDR})
	err := compiler.AddResource(schemaURL, schema)
	var out *jsonschema.Schema
	if err == nil {
		out, err = compiler.Compile(schemaURL)
	}
	if err != nil {
		return nil, fmt.Errorf("rego: custom.parameters: %w", err)
	}
	return out, nil
}

func validateParameters(validator *jsonschema.Schema, value any) error {
	var invalid *jsonschema.ValidationError
	if err := validator.Validate(value); errors.As(err, &invalid) {
		return errors.New(explain(invalid, validator))
	} else if err != nil {
		return fmt.Errorf("spec.parameters: %w", err)
	}
	return nil
}

// hostOrCIDR holds ranges of addresses to be some: by one that is none, a policy could not be evaluated.
func hostOrCIDR(value any) error {
	text, _ := value.(string)
	if !strings.Contains(text, "/") {
		return nil
	}
	_, _, err := net.ParseCIDR(text)
	return err
}

// explain names each parameter that does not fit at its field, sorted, and says what is taken there, as far as the schema does.
func explain(err *jsonschema.ValidationError, schema *jsonschema.Schema) string {
	whole, lines := []string{}, []string{}
	for _, unit := range err.BasicOutput().Errors {
		switch {
		case unit.Error == nil:
		case unit.InstanceLocation == "":
			whole = append(whole, unit.Error.String())
		default:
			at, takes := locate(schema, unit.InstanceLocation)
			lines = append(lines, at.String()+": "+unit.Error.String()+takes)
		}
	}
	slices.Sort(whole)
	slices.Sort(lines)
	if len(whole) > 0 {
		lines = append([]string{parameters.String() + ": " + strings.Join(slices.Compact(whole), "; ")}, lines...)
	}
	return strings.Join(slices.Compact(lines), "; ")
}

// parameters is the field that they stand in.
var parameters = field.NewPath("spec", "parameters")

// locate returns the field of a JSON pointer, and the description that the schema has of it, or of the nearest one around it.
func locate(schema *jsonschema.Schema, pointer string) (at *field.Path, takes string) {
	at = parameters
	for step := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		step = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
		if schema == nil {
			schema = &jsonschema.Schema{}
		}
		if n, err := strconv.Atoi(step); err == nil && schema.Items2020 != nil {
			at, schema = at.Index(n), schema.Items2020
		} else {
			at, schema = at.Child(step), schema.Properties[step]
		}
		if schema != nil && schema.Description != "" {
			takes = " (it takes: " + strings.TrimSuffix(schema.Description, ".") + ")"
		}
	}
	return at, takes
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

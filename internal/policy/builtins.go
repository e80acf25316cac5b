package policy

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// OPA looks at the clock between steps of an evaluation and not within a built-in. What one call may take and give is
// bounded here, and those whose work no look at their arguments tells do not exist.

// unbounded are the built-ins that take time or memory out of all proportion to what they are given.
var unbounded = []string{
	"bits.lsh", "graph.reachable_paths",
	"graphql.is_valid", "graphql.parse", "graphql.parse_and_verify", "graphql.parse_query", "graphql.parse_schema", "graphql.schema_is_valid",
	"net.cidr_contains_matches", "product", "regex.globs_match", "rego.parse_module", "strings.render_template",
}

// Capabilities returns what policies may call: every built-in of this OPA that depends on its arguments alone, and whose work
// they bound.
func Capabilities() *ast.Capabilities {
	out := ast.CapabilitiesForThisVersion()
	pure := make([]*ast.Builtin, 0, len(out.Builtins))
	for _, builtin := range out.Builtins {
		if !builtin.Nondeterministic && !slices.Contains(unbounded, builtin.Name) {
			pure = append(pure, builtin)
		}
	}
	out.Builtins = pure
	out.AllowNet = []string{}
	return out
}

// builtinTypes has the types of all built-ins that policies may call.
var builtinTypes = sync.OnceValue(func() *ast.TypeEnv {
	compiler := ast.NewCompiler().WithCapabilities(Capabilities())
	compiler.Compile(map[string]*ast.Module{})
	return compiler.TypeEnv
})

// sharingTypes has a compiler without a schema look built-ins up where all others do: it makes types of its own for them, and keeps
// them as long as the policy is in force.
func sharingTypes(compiler *ast.Compiler) *ast.Compiler {
	return compiler.WithStageAfterID(ast.StageCheckRecursion, ast.CompilerStageDefinition{
		Name: "ShareTypes", MetricName: "compile_stage_share_types", Stage: func(compiler *ast.Compiler) *ast.Error {
			compiler.TypeEnv = builtinTypes()
			return nil
		},
	})
}

const (
	// maxText is the longest string that a built-in takes or gives, maxValue the most that it takes altogether, in bytes.
	maxText  = 1 << 20
	maxValue = 8 << 20
	// maxItems is the most items that it gives, maxDigits the longest number that it takes.
	maxItems  = 250_000
	maxDigits = 4096
)

// lookups are the built-ins that take large values and do not go through them.
var lookups = []string{
	"array.slice", "count", "equal", "gt", "gte", "internal.member_2", "internal.member_3", "lt", "lte", "neq", "object.get",
	"is_array", "is_boolean", "is_null", "is_number", "is_object", "is_set", "is_string", "type_name",
}

// boundBuiltins puts the bounds before every built-in that policies may call. OPA has one table of them for a process.
var boundBuiltins = sync.OnceFunc(func() {
	for _, builtin := range Capabilities().Builtins {
		if f := topdown.GetBuiltin(builtin.Name); f != nil && !slices.Contains(lookups, builtin.Name) {
			topdown.RegisterBuiltinFunc(builtin.Name, bounded(f, multiplying[builtin.Name]))
		}
	}
})

// bounded is a built-in with its bounds; made is how much it may make of its arguments, nil where that is not much more than these.
func bounded(f topdown.BuiltinFunc, made func(args []*ast.Term) int) topdown.BuiltinFunc {
	return func(bctx topdown.BuiltinContext, args []*ast.Term, iter func(*ast.Term) error) error {
		left := allowance(maxValue)
		for _, arg := range args {
			if err := left.take(arg); err != nil {
				return err
			}
		}
		if made != nil && made(args) > maxValue {
			return fmt.Errorf("it would make more than %d bytes", maxValue)
		}
		return f(bctx, args, func(result *ast.Term) error {
			if result != nil && !isSmall(result.Value) {
				return topdown.Halt{Err: fmt.Errorf("a built-in made a text of more than %d bytes, or a value of more than %d items", maxText, maxItems)}
			}
			return iter(result)
		})
	}
}

func isSmall(value ast.Value) bool {
	switch v := value.(type) {
	case ast.String:
		return len(v) <= maxText
	case *ast.Array:
		return v.Len() <= maxItems
	case ast.Set:
		return v.Len() <= maxItems
	case ast.Object:
		return v.Len() <= maxItems
	}
	return true
}

// allowance is how many bytes of values may still be taken.
type allowance int

// item is what a value takes beside its text.
const item = 16

func (a *allowance) take(term *ast.Term) error {
	*a -= item
	switch v := term.Value.(type) {
	case ast.String:
		if *a -= allowance(len(v)); len(v) > maxText {
			return fmt.Errorf("it was given a text of more than %d bytes", maxText)
		}
	case ast.Number:
		if *a -= allowance(len(v)); len(v) > maxDigits {
			return fmt.Errorf("it was given a number of more than %d digits", maxDigits)
		}
	case *ast.Array:
		return v.Iter(a.take)
	case ast.Set:
		return v.Iter(a.take)
	case ast.Object:
		return v.Iter(func(key, value *ast.Term) error {
			if err := a.take(key); err != nil {
				return err
			}
			return a.take(value)
		})
	}
	if *a < 0 {
		return fmt.Errorf("it was given more than %d bytes", maxValue)
	}
	return nil
}

// multiplying are the built-ins that make much more than they are given, with how many bytes that may be.
var multiplying = map[string]func(args []*ast.Term) int{
	"glob.match": func(args []*ast.Term) int {
		// It is compiled with every combination of its alternatives.
		out := 1
		for group := range strings.SplitSeq(text(args[0]), "{") {
			out = min(out*(1+strings.Count(group, ",")), maxValue)
		}
		return out * len(text(args[0])) * item
	},
	"indexof_n":                        func(args []*ast.Term) int { return strings.Count(text(args[0]), text(args[1])) * 4 * item },
	"json.unmarshal":                   parsed,
	"regex.find_all_string_submatch_n": matched,
	"regex.find_n":                     matched,
	"regex.replace":                    func(args []*ast.Term) int { return (1 + len(text(args[0]))) * len(text(args[2])) / item },
	"regex.split":                      func(args []*ast.Term) int { return matched([]*ast.Term{args[0], args[1]}) },
	"replace":                          func(args []*ast.Term) int { return strings.Count(text(args[0]), text(args[1])) * len(text(args[2])) },
	"split":                            func(args []*ast.Term) int { return strings.Count(text(args[0]), text(args[1])) * 4 * item },
	"sprintf":                          func(args []*ast.Term) int { return padded(text(args[0])) },
	"strings.replace_n":                replaced,
	"urlquery.decode_object":           parsed,
	"yaml.unmarshal":                   parsed,
}

func text(term *ast.Term) string {
	out, _ := term.Value.(ast.String)
	return string(out)
}

// parsed: a text of brackets becomes a value for each.
func parsed(args []*ast.Term) int { return len(text(args[0])) * item }

// matched: every character may be a match, with each group of the pattern.
func matched(args []*ast.Term) int {
	return (1 + len(text(args[1]))) * (1 + strings.Count(text(args[0]), "(")) * item
}

// replaced is what replacing every key of an object by its value adds up to.
func replaced(args []*ast.Term) (out int) {
	if of, is := args[0].Value.(ast.Object); is {
		of.Foreach(func(key, value *ast.Term) { out += strings.Count(text(args[1]), text(key)) * len(text(value)) })
	}
	return out
}

// padded is what the widths and precisions of a format add up to.
func padded(format string) (out int) {
	const widest = 1_000_000 // of fmt
	number := 0
	for _, char := range format {
		switch {
		case char == '*':
			out += widest
		case char >= '0' && char <= '9':
			number = min(number*10+int(char-'0'), widest)
			continue
		}
		out, number = out+number, 0
	}
	return out
}

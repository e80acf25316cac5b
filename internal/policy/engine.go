package policy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// Engine evaluates reviews by the EgressPolicies it was given. It is safe for concurrent use; a request in flight keeps
// the policies it began with.
type Engine struct {
	library atomic.Pointer[library]
	// writing serialises changes; readers take the snapshot.
	writing  sync.Mutex
	snapshot atomic.Pointer[[]*compiled]
	// evaluations are those under way.
	evaluations evaluations
}

// NewEngine returns an engine without policies. The error is that of a library file that does not parse.
func NewEngine(files fs.FS) (*Engine, error) {
	library, err := loadLibrary(files)
	if err != nil {
		return nil, err
	}
	boundBuiltins()
	out := &Engine{}
	out.library.Store(library)
	out.snapshot.Store(&[]*compiled{})
	return out, nil
}

// Clone returns an engine with the same policies in force, which then changes by itself.
func (e *Engine) Clone() *Engine {
	out := &Engine{}
	out.library.Store(e.library.Load())
	out.snapshot.Store(e.snapshot.Load())
	return out
}

// Check compiles a policy and holds its parameters against their schema, without putting it in force; those that it shares with
// others it does not know, and takes for good until they are read. The error names file and line, or the parameter; it is
// v1alpha1.BundleMissing where the bundle that it uses has not come.
func (e *Engine) Check(policy *v1alpha1.EgressPolicy) error {
	library := e.library.Load()
	if _, err := library.compile(policy); err != nil && !errors.Is(err, errUnread) {
		return err
	}
	if policy.Spec.Rego == "" {
		return nil
	}
	module, _, err := library.module(policy)
	if err != nil {
		return err
	}
	return errors.Join(speaks(module), library.readsInput(map[string]*ast.Module{module.Package.Location.File: module}))
}

// Set puts a policy in force, in place of the one of the same name. On error the last good version stays in force;
// where there is none, the policy fails whatever it selects, as its enforcement says.
func (e *Engine) Set(policy *v1alpha1.EgressPolicy) error {
	next, err := e.library.Load().compile(policy)
	var missing *v1alpha1.BundleMissing
	switch {
	case errors.Is(err, errUnread), errors.As(err, &missing):
		next.broken = err
	case err != nil:
		next.broken = fmt.Errorf("it does not compile: %w", err)
	}
	e.change(func(policies map[string]*compiled) {
		last := policies[policy.Name]
		if err == nil || last == nil || last.broken != nil {
			policies[policy.Name] = next
		}
	})
	return err
}

// Remove takes a policy out of force.
func (e *Engine) Remove(name string) {
	e.change(func(policies map[string]*compiled) { delete(policies, name) })
}

// Kinds returns the kinds that a policy in force evaluates, sorted.
func (e *Engine) Kinds() []v1alpha1.Kind {
	out := map[v1alpha1.Kind]bool{}
	for _, policy := range *e.snapshot.Load() {
		for _, kind := range policy.kinds {
			out[kind] = true
		}
	}
	return slices.Sorted(maps.Keys(out))
}

// KindsOf returns the kinds that a policy in force evaluates, nil where none of the name is.
func (e *Engine) KindsOf(name string) []v1alpha1.Kind {
	for _, policy := range *e.snapshot.Load() {
		if policy.name == name {
			return policy.kinds
		}
	}
	return nil
}

// ParametersOf returns what tells the parameters of a policy in force, and the bundle that it uses, from others; empty where there
// is neither.
func (e *Engine) ParametersOf(name string) string {
	for _, policy := range *e.snapshot.Load() {
		if policy.name == name {
			return policy.digest
		}
	}
	return ""
}

func (e *Engine) change(apply func(map[string]*compiled)) {
	e.writing.Lock()
	defer e.writing.Unlock()
	byName := map[string]*compiled{}
	for _, policy := range *e.snapshot.Load() {
		byName[policy.name] = policy
	}
	apply(byName)
	next := slices.SortedFunc(maps.Values(byName), func(a, b *compiled) int { return cmp.Or(rank(a)-rank(b), cmp.Compare(a.name, b.name)) })
	e.snapshot.Store(&next)
}

// rank puts the policies that decide before those that only tell.
func rank(policy *compiled) int {
	return slices.Index([]v1alpha1.Enforcement{v1alpha1.Deny, v1alpha1.Warn, v1alpha1.Audit}, policy.enforcement)
}

// Evaluate asks every policy that selects the review by the namespace of the object or of a client, those that deny first. A
// policy that cannot answer, or not within its budget and before the context ends, is a failure and never a yes.
func (e *Engine) Evaluate(ctx context.Context, review Review) Decision {
	var out Decision
	var input ast.Object
	others := review.others()
	var by worker
	defer by.leave()
	for _, policy := range *e.snapshot.Load() {
		client, asked, exempt := policy.asks(review, others)
		if exempt {
			out.Exempt = append(out.Exempt, policy.name)
		}
		if !asked {
			continue
		}
		out.Asked = append(out.Asked, policy.name)
		err := policy.broken
		var denied, warned []Violation
		if err == nil && input == nil {
			input, err = object(review.Document)
		}
		if err == nil {
			input.Insert(ast.InternedTerm("client"), review.client(client))
			var left bool
			if denied, warned, left, err = e.evaluate(ctx, &by, policy, review.Namespace.Name, input); left {
				// It still reads the input.
				input = nil
			}
		}
		out.add(policy, client, denied, warned, err)
	}
	out.sort()
	return out
}

func object(document map[string]any) (ast.Object, error) {
	value, err := ast.InterfaceToValue(document)
	if err != nil {
		return nil, err
	}
	out, ok := value.(ast.Object)
	if !ok {
		return nil, fmt.Errorf("the document is %s, not an object", ast.ValueName(value))
	}
	return out, nil
}

// eval evaluates one policy. The input is converted once for all policies of a review; each puts its parameters in.
func (c *compiled) eval(ctx context.Context, input ast.Object) (denied, warned []Violation, err error) {
	input.Insert(ast.InternedTerm("parameters"), c.parameters)
	results, err := c.query.Eval(ctx, rego.EvalParsedInput(input), rego.EvalGenerateJSON(sentences))
	if err != nil {
		return nil, nil, err
	}
	if len(results) != 1 {
		return nil, nil, fmt.Errorf("%d results where one was expected", len(results))
	}
	if denied, err = c.violations(results[0].Bindings["deny"]); err != nil {
		return nil, nil, fmt.Errorf("deny: %w", err)
	}
	if warned, err = c.violations(results[0].Bindings["warn"]); err != nil {
		return nil, nil, fmt.Errorf("warn: %w", err)
	}
	return denied, warned, nil
}

// otherwise tells a result without a message by what else it says.
func otherwise(of Violation) string {
	if of.Code+of.Field == "" {
		return ""
	}
	return fmt.Sprintf(", with code %q and field %q", of.Code, of.Field)
}

// violations reads a set of results: each a string, or an object with msg and perhaps code, field and fix.
func (c *compiled) violations(binding any) ([]Violation, error) {
	items, _ := binding.([]any)
	var out []Violation
	for _, item := range items {
		violation := Violation{Policy: c.name, Library: c.library}
		switch result := item.(type) {
		case string:
			violation.Message = result
		case map[string]any:
			for key, into := range map[string]*string{"msg": &violation.Message, "code": &violation.Code, "field": &violation.Field, "fix": &violation.Fix} {
				value, given := result[key]
				text, isString := value.(string)
				if given && !isString {
					return nil, fmt.Errorf("result's %s is not a string: %v", key, value)
				}
				*into = text
			}
		}
		if violation.Fix == "" {
			violation.Fix = c.fix
		}
		if violation.Message == "" {
			return nil, fmt.Errorf("a result is a string or an object with msg: one is neither%s", otherwise(violation))
		}
		c.wording.say(&violation)
		out = append(out, violation)
	}
	return out, nil
}

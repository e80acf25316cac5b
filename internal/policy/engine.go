package policy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// Engine evaluates reviews by the EgressPolicies it was given. It is safe for concurrent use; a request in flight keeps
// the policies it began with.
type Engine struct {
	library atomic.Pointer[library]
	// writing serialises changes; readers take the snapshot.
	writing  sync.Mutex
	snapshot atomic.Pointer[snapshot]
	// evaluations are those under way.
	evaluations evaluations
	// deciding bounds each evaluation that decides.
	deciding bounds
}

// NewEngine returns an engine without policies. The error is that of a library file that does not parse.
func NewEngine(files fs.FS) (*Engine, error) {
	library, err := loadLibrary(files)
	if err != nil {
		return nil, err
	}
	boundBuiltins()
	out := &Engine{deciding: within(budget, maxHeap)}
	out.library.Store(library)
	out.snapshot.Store(newSnapshot(nil))
	return out, nil
}

// Clone returns an engine with the same policies in force, which then changes by itself.
func (e *Engine) Clone() *Engine {
	out := &Engine{deciding: e.deciding}
	out.library.Store(e.library.Load())
	out.snapshot.Store(e.snapshot.Load())
	return out
}

// Check compiles a policy and holds its parameters against their schema, without putting it in force; those that it shares with
// others it does not know, and takes for good until they are read. The error names file and line, or the parameter; it is
// v1alpha1.BundleMissing where the bundle that it uses has not come.
func (e *Engine) Check(policy *v1alpha1.EgressPolicy) error {
	library := e.library.Load()
	ready, err := library.compile(policy)
	if err != nil && !errors.Is(err, errUnread) {
		return err
	}
	if policy.Spec.Rego == "" {
		return nil
	}
	module, _, err := library.module(policy)
	if err != nil {
		return err
	}
	return errors.Join(speaks(module), says(module, ready.query.compiler), described(module), library.readsInput(map[string]*ast.Module{module.Package.Location.File: module}))
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
	e.change(policy.Name, func(last *compiled) *compiled {
		if err == nil || last == nil || last.broken != nil {
			return next
		}
		return last
	})
	return err
}

// Remove takes a policy out of force.
func (e *Engine) Remove(name string) {
	e.change(name, func(*compiled) *compiled { return nil })
}

// Kinds returns the kinds that a policy in force evaluates, sorted.
func (e *Engine) Kinds() []v1alpha1.Kind {
	return slices.Sorted(maps.Keys(e.snapshot.Load().kinds))
}

// KindsOf returns the kinds that a policy in force evaluates, nil where none of the name is.
func (e *Engine) KindsOf(name string) []v1alpha1.Kind {
	if policy := e.snapshot.Load().named(name); policy != nil {
		return policy.kinds
	}
	return nil
}

// ParametersOf returns what tells the parameters of a policy in force, and the bundle that it uses, from others; empty where there
// is neither.
func (e *Engine) ParametersOf(name string) string {
	if policy := e.snapshot.Load().named(name); policy != nil {
		return policy.digest
	}
	return ""
}

// change puts a policy in the place of the one of a name; nil is none.
func (e *Engine) change(name string, next func(last *compiled) *compiled) {
	e.writing.Lock()
	defer e.writing.Unlock()
	e.snapshot.Store(e.snapshot.Load().with(name, next))
}

// Evaluate asks every policy that selects the review by the namespace of the object or of a client, those that deny first. A
// policy that cannot answer, or not within its budget and before the context ends, is a failure and never a yes.
func (e *Engine) Evaluate(ctx context.Context, review Review) Decision {
	var out Decision
	var asked []question
	asked, out.Exempt = e.snapshot.Load().asked(review)
	answers := e.bounded(ctx, e.deciding, len(asked), func() job { return evaluating(ctx, review, asked) })
	for i, question := range asked {
		if answers[i].left {
			question.policy.turns.leave(review.Namespace.Name)
		}
		out.Asked = append(out.Asked, question.policy.name)
		out.add(question, answers[i])
	}
	out.sort()
	return out
}

// evaluating returns a job that asks policies about a review. What their inputs have in common is converted once for all of them.
func evaluating(ctx context.Context, review Review, asked []question) job {
	inputs := newInputs(review.Document)
	known := &results{}
	var clients struct {
		of   Client
		term *ast.Term
	}
	return func(one *evaluation, number int) (out answer) {
		policy, client := asked[number].policy, asked[number].client
		ctx, part := begun(ctx, policy, client)
		defer func() { tell(part, out) }()
		if policy.broken != nil {
			return answer{err: policy.broken}
		}
		namespace := review.Namespace.Name
		if !policy.turns.begin(namespace) {
			return answer{err: errBusy}
		}
		defer func() { policy.turns.end(namespace, one.tookTooMuch()) }()
		if clients.term == nil || clients.of != client {
			clients.of, clients.term = client, review.client(client)
		}
		out.denied, out.warned, out.err = policy.eval(ctx, one, inputs.of(clients.term, policy.parameters), known)
		return out
	}
}

// eval evaluates one policy.
func (c *compiled) eval(ctx context.Context, one *evaluation, input ast.Object, known *results) (denied, warned []Violation, err error) {
	deny, warn, err := c.query.ask(ctx, one, input, known, nil)
	if err != nil {
		return nil, nil, err
	}
	if denied, err = c.violations(sentences(deny)); err != nil {
		return nil, nil, fmt.Errorf("deny: %w", err)
	}
	if warned, err = c.violations(sentences(warn)); err != nil {
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
func (c *compiled) violations(items []any) ([]Violation, error) {
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

package policy

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/topdown/print"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// Said is a sentence of a policy, and the rule that says it.
type Said struct {
	Violation
	// Rule is deny or warn; File and Line are where it stands: <policy>.rego for Rego of an EgressPolicy, else a file of the library.
	Rule, File string
	Line       int
}

// Printed is what a print statement printed.
type Printed struct {
	File string
	Line int
	Text string
}

// Observed is what a policy did for an answer that was given by it.
type Observed struct {
	// Asked says whether it was asked about the object, Client for which namespace beside the object's own, Why or why not.
	Asked   bool
	Client  Client
	Why     string
	Said    []Said
	Printed []Printed
	// Trace is OPA's own, line by line, where it was wanted.
	Trace string
}

// Watch is how a policy is observed.
type Watch struct {
	// Trace wants OPA's trace, Coverage takes the lines that are evaluated.
	Trace    bool
	Coverage *Coverage
	// Idle says that it is not evaluated: only whether it is asked, and why.
	Idle bool
}

// observing are the bounds of a policy that is observed, which is slower.
var observing = within(10*budget, maxHeap)

// Observe has a policy, which need not be in force, evaluate a review as Evaluate does, and says how it comes to its answer. What
// is decided stays with Evaluate. The error is that of a policy that cannot be evaluated.
func (e *Engine) Observe(ctx context.Context, of *v1alpha1.EgressPolicy, review Review, watch Watch) (out Observed, err error) {
	loud := *e.library.Load()
	loud.prints = true
	policy, err := loud.compile(of)
	if err != nil && policy == nil {
		return out, err
	}
	var exempt bool
	if out.Client, out.Asked, exempt = policy.asks(review); exempt {
		out.Why = fmt.Sprintf("it does not apply to user %q: %s", review.User.Name, match(of.Spec.Match))
	} else {
		out.Why = why(of, policy, review, out)
	}
	if err != nil || !out.Asked || watch.Idle {
		return out, err
	}
	input := newInputs(review.Document).of(review.client(out.Client), policy.parameters)
	watched, trace := out, &trace{}
	said := e.bounded(ctx, observing, 1, func() job {
		return func(one *evaluation, _ int) answer {
			return answer{err: policy.observe(ctx, one, input, watch, &watched, trace)}
		}
	})[0]
	if said.left {
		// It is at it still.
		return out, said.err
	}
	watched.Trace = trace.String()
	return watched, said.err
}

// observe evaluates a policy, and fills in what it says by which rules.
func (c *compiled) observe(ctx context.Context, one *evaluation, input ast.Object, watch Watch, out *Observed, trace *trace) error {
	rules := &exits{of: c}
	_, _, err := c.query.ask(ctx, one, input, &results{}, func(query *topdown.Query) {
		query.WithQueryTracer(rules).WithPrintHook(printer{out})
		if watch.Trace {
			query.WithQueryTracer(trace)
		}
		if watch.Coverage != nil {
			query.WithQueryTracer(watch.Coverage)
		}
	})
	out.Said = rules.said
	return err
}

// why says by what a policy is asked about an object, or not.
func why(of *v1alpha1.EgressPolicy, compiled *compiled, review Review, observed Observed) string {
	by := match(of.Spec.Match)
	switch {
	case !slices.Contains(compiled.kinds, v1alpha1.Kind(review.Kind)):
		return "it does not evaluate " + review.Kind
	case observed.Client.Name != "":
		return fmt.Sprintf("it selects namespace %q, on which the object acts", observed.Client.Name)
	case by == "":
		return "it selects every governed namespace"
	case observed.Asked:
		return fmt.Sprintf("it selects namespace %q by %s", review.Namespace.Name, by)
	}
	return fmt.Sprintf("its match does not select this of namespace %q: %s", review.Namespace.Name, by)
}

// match says what a match has beside kinds, empty for nothing.
func match(of v1alpha1.Match) string {
	var fields map[string]json.RawMessage
	raw, err := json.Marshal(of)
	if err == nil {
		err = json.Unmarshal(raw, &fields)
	}
	if err != nil {
		return err.Error()
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		switch name {
		case "kinds":
		case "namespaceSelector":
			out = append(out, name+" "+metav1.FormatLabelSelector(of.NamespaceSelector))
		default:
			out = append(out, name+" "+string(fields[name]))
		}
	}
	return strings.Join(out, ", ")
}

// exits hears of each rule that comes to a result.
type exits struct {
	of   *compiled
	said []Said
}

// Enabled implements topdown.QueryTracer.
func (x *exits) Enabled() bool { return true }

// Config implements topdown.QueryTracer.
func (x *exits) Config() topdown.TraceConfig { return topdown.TraceConfig{PlugLocalVars: true} }

// TraceEvent implements topdown.QueryTracer.
func (x *exits) TraceEvent(event topdown.Event) {
	rule, is := event.Node.(*ast.Rule)
	if !is || event.Op != topdown.ExitOp || rule.Head.Key == nil {
		return
	}
	name := rule.Head.Ref()[0].String()
	if name != "deny" && name != "warn" || strings.HasPrefix(rule.Location.File, sharedFolder) {
		return
	}
	value, err := ast.JSON(event.Plug(rule.Head.Key).Value)
	if err != nil {
		return
	}
	violations, err := x.of.violations([]any{value})
	if err != nil {
		return
	}
	for _, violation := range violations {
		one := Said{Violation: violation, Rule: name, File: rule.Location.File, Line: rule.Location.Row}
		if !slices.Contains(x.said, one) {
			x.said = append(x.said, one)
		}
	}
}

// printer takes what print statements print.
type printer struct{ into *Observed }

// Print implements print.Hook.
func (p printer) Print(at print.Context, text string) error {
	one := Printed{Text: text}
	if at.Location != nil {
		one.File, one.Line = at.Location.File, at.Location.Row
	}
	p.into.Printed = append(p.into.Printed, one)
	return nil
}

package policy

import (
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/types"
)

// A value may hold another several times, and that one a third: forty lines make a value of 2⁴⁰ parts, which costs nothing
// until something goes through it, and then no clock is looked at. Rego has no recursion, so that how often a rule holds
// what it is made of can be told before it is evaluated; what loops gather, the clock bounds.

// maxWeight is how often a rule may hold what it is made of.
const maxWeight = 1000

// weights tells how often rules hold what they are made of.
type weights struct {
	compiler *ast.Compiler
	known    map[*ast.Rule]int
}

// withWeights has a compiler refuse rules that make values out of all proportion, before it looks at their types, which are
// as large.
func withWeights(compiler *ast.Compiler) *ast.Compiler {
	return compiler.WithStageAfterID(ast.StageCheckRecursion, ast.CompilerStageDefinition{
		Name: "CheckWeights", MetricName: "compile_stage_check_weights", Stage: checkWeights,
	})
}

func checkWeights(compiler *ast.Compiler) *ast.Error {
	w := &weights{compiler, map[*ast.Rule]int{}}
	var heaviest *ast.Rule
	for _, module := range compiler.Modules {
		for _, rule := range module.Rules {
			if w.rule(rule) > maxWeight && (heaviest == nil || rule.Location.Compare(heaviest.Location) < 0) {
				heaviest = rule
			}
		}
	}
	if heaviest == nil {
		return nil
	}
	return ast.NewError(ast.CompileErr, heaviest.Location, "rule %s makes a value that holds the same more than %d times", heaviest.Head.Ref(), maxWeight)
}

// rule returns the weight of what a rule makes; no more than is too much.
func (w *weights) rule(rule *ast.Rule) int {
	if weight, known := w.known[rule]; known {
		return weight
	}
	vars := map[ast.Var]int{}
	w.body(rule.Body, vars)
	out := 1
	for _, part := range []*ast.Term{rule.Head.Key, rule.Head.Value} {
		if part != nil {
			out = max(out, w.term(part, vars))
		}
	}
	if rule.Else != nil {
		out = max(out, w.rule(rule.Else))
	}
	w.known[rule] = min(out, maxWeight+1)
	return w.known[rule]
}

// body weighs the variables of a body, whose expressions come in the order of evaluation.
func (w *weights) body(body ast.Body, vars map[ast.Var]int) {
	for _, expr := range body {
		switch terms := expr.Terms.(type) {
		case *ast.Term:
			w.term(terms, vars)
		case *ast.SomeDecl:
		case *ast.Every:
			w.body(terms.Body, vars)
		case []*ast.Term:
			w.call(expr, terms, vars)
		}
	}
}

func (w *weights) call(expr *ast.Expr, terms []*ast.Term, vars map[ast.Var]int) {
	operands := terms[1:]
	if expr.IsEquality() && len(operands) == 2 {
		left, right := w.under(expr, w.term(operands[0], vars), vars), w.under(expr, w.term(operands[1], vars), vars)
		assign(operands[0], right, vars)
		assign(operands[1], left, vars)
		return
	}
	if len(operands) > w.arity(terms[0]) {
		assign(operands[len(operands)-1], w.under(expr, w.result(terms, vars), vars), vars)
	}
}

// arity is how many arguments a function has; what stands behind them is its result.
func (w *weights) arity(of *ast.Term) int {
	ref, _ := of.Value.(ast.Ref)
	if builtin := ast.BuiltinMap[ref.String()]; builtin != nil {
		return builtin.Decl.Arity()
	}
	for _, rule := range w.compiler.GetRulesDynamicWithOpts(ref, ast.RulesOptions{}) {
		return len(rule.Head.Args)
	}
	return 0
}

// under is a weight where some of what the rule reads is replaced by other values.
func (w *weights) under(expr *ast.Expr, weight int, vars map[ast.Var]int) int {
	for _, with := range expr.With {
		weight = min(weight*max(1, w.term(with.Value, vars)), maxWeight+1)
	}
	return weight
}

// assign gives the variables of a pattern the weight of the value.
func assign(pattern *ast.Term, weight int, vars map[ast.Var]int) {
	switch v := pattern.Value.(type) {
	case ast.Var:
		vars[v] = max(1, vars[v], weight)
	case *ast.Array:
		v.Foreach(func(part *ast.Term) { assign(part, weight, vars) })
	case ast.Object:
		v.Foreach(func(_, part *ast.Term) { assign(part, weight, vars) })
	}
}

// result returns the weight of what a call makes: of its arguments, as often as the function holds them.
func (w *weights) result(terms []*ast.Term, vars map[ast.Var]int) int {
	of, _ := terms[0].Value.(ast.Ref)
	if builtin := ast.BuiltinMap[of.String()]; builtin != nil {
		switch builtin.Decl.Result().(type) {
		case types.Boolean, types.Number, types.String, nil:
			// It holds nothing.
			return 1
		}
	}
	weight := 0
	for _, arg := range terms[1:] {
		weight += w.term(arg, vars)
	}
	return min(max(1, weight)*w.ref(of, vars), maxWeight+1)
}

// term returns how often a term holds what variables and references stand for.
func (w *weights) term(term *ast.Term, vars map[ast.Var]int) int {
	out := 0
	sum := func(part *ast.Term) { out = min(out+w.term(part, vars), maxWeight+1) }
	switch v := term.Value.(type) {
	case ast.Var:
		out = max(1, vars[v])
	case ast.Ref:
		out = w.ref(v, vars)
	case ast.Call:
		out = w.result(v, vars)
	case *ast.Array:
		v.Foreach(sum)
	case ast.Set:
		v.Foreach(sum)
	case ast.Object:
		v.Foreach(func(key, value *ast.Term) { sum(key); sum(value) })
	case *ast.ArrayComprehension:
		w.body(v.Body, vars)
		sum(v.Term)
	case *ast.SetComprehension:
		w.body(v.Body, vars)
		sum(v.Term)
	case *ast.ObjectComprehension:
		w.body(v.Body, vars)
		sum(v.Key)
		sum(v.Value)
	}
	return out
}

// ref returns the weight of what a reference leads to.
func (w *weights) ref(ref ast.Ref, vars map[ast.Var]int) int {
	if len(ref) == 0 {
		return 1
	}
	if head, is := ref[0].Value.(ast.Var); is && vars[head] > 0 {
		return vars[head]
	}
	out := 1
	for _, rule := range w.compiler.GetRulesDynamicWithOpts(ref, ast.RulesOptions{}) {
		out = max(out, w.rule(rule))
	}
	return out
}

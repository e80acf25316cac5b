package policy

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// compiled is a policy ready to evaluate.
type compiled struct {
	name, library string
	enforcement   v1alpha1.Enforcement
	match         matching
	wording       wording
	kinds         []v1alpha1.Kind
	query         rego.PreparedEvalQuery
	parameters    *ast.Term
	// digest tells the parameters from others.
	digest string
	// fix is the package's own advice, for results that bring none.
	fix string
	// timed says that the answers may change with the time.
	timed bool
	// broken is why a policy that never compiled cannot be evaluated; nil for all others.
	broken error
	// selection are the namespaces that it matches, remembered.
	selection atomic.Pointer[selection]
	// turns are who may have it evaluated, when it took too long.
	turns turns
}

// header returns the parts of a policy that need no compiler: whom it selects and what a violation does. The module is nil
// where there is none.
func header(policy *v1alpha1.EgressPolicy, module *ast.Module) (*compiled, error) {
	out := &compiled{
		name: policy.Name, library: policy.Spec.Policy, enforcement: policy.Spec.Enforcement,
		kinds: policy.Spec.Match.Kinds,
	}
	var err, unread, unsaid error
	if len(out.kinds) == 0 {
		out.kinds, unread = kindsOf(module)
	}
	if out.enforcement == "" {
		out.enforcement = v1alpha1.Deny
	}
	out.match, err = newMatching(policy.Spec.Match)
	out.wording, unsaid = newWording(policy.Spec)
	return out, errors.Join(err, unread, unsaid)
}

// compile returns the header alone with an error.
func (l *library) compile(policy *v1alpha1.EgressPolicy) (*compiled, error) {
	module, from, err := l.module(policy)
	out, unfit := header(policy, module)
	if module == nil && policy.Spec.Bundle() != "" && len(policy.Spec.Match.Kinds) == 0 {
		// Which kinds it is for is known to nobody.
		out.kinds = v1alpha1.Kinds
	}
	if err := errors.Join(err, unfit); err != nil {
		return out, err
	}
	return out, l.prepare(out, module, from, policy)
}

// prepare makes a policy ready to evaluate; from is nil for one that is of no bundle.
func (l *library) prepare(out *compiled, module *ast.Module, from *bundled, policy *v1alpha1.EgressPolicy) error {
	query, err := entrypoints(module)
	if err != nil {
		return err
	}
	shares := policy.Spec.ParametersFrom != nil
	if !shares {
		if out.parameters, err = parameters(module, policy.Spec.Parameters); err != nil {
			return err
		}
		if given := policy.Spec.Parameters; given != nil {
			out.digest = fmt.Sprintf("%.5x", sha256.Sum256(given.Raw))
		}
	}
	if err := out.wording.fit(module); err != nil {
		return err
	}
	out.fix, _ = custom(module, "fix").(string)
	compiler, data, err := l.compiled(module, from)
	if err != nil {
		return err
	}
	if from != nil {
		out.digest += from.digest
	}
	out.timed = timed(compiler, module)
	out.query, err = rego.New(append(data, rego.Compiler(compiler), rego.Query(query), rego.StrictBuiltinErrors(true))...).PrepareForEval(context.Background())
	if err != nil {
		return fmt.Errorf("rego: %w", err)
	}
	if shares {
		source := policy.Spec.ParametersFrom
		return fmt.Errorf("%w: key %q of ConfigMap %q in the webhook's namespace", errUnread, source.Key, source.ConfigMap)
	}
	return nil
}

// compiled returns a compiler with a policy, and what else its evaluation needs.
func (l *library) compiled(module *ast.Module, from *bundled) (*ast.Compiler, []func(*rego.Rego), error) {
	if from == nil {
		out, err := l.compiler(map[string]*ast.Module{module.Package.Location.File: module}, nil)
		return out, nil, err
	}
	data := []func(*rego.Rego){rego.Store(from.store)}
	if !l.prints {
		return from.compiler, data, nil
	}
	out, err := l.compiler(from.modules, from.store)
	return out, data, err
}

// errUnread is the error of a policy of whose parameters some are elsewhere (EgressPolicy.WithParameters): without them it might
// let through what it is there for.
var errUnread = errors.New("spec.parametersFrom: the parameters are not there, or cannot be read")

// module returns that of a policy, and the bundle that it is from, nil for none.
func (l *library) module(policy *v1alpha1.EgressPolicy) (*ast.Module, *bundled, error) {
	switch spec := policy.Spec; {
	case (spec.Policy == "") == (spec.Rego == ""):
		return nil, nil, errors.New("spec: exactly one of policy and rego must be given")
	case spec.Rego != "":
		module, err := parse(policy.Name+".rego", spec.Rego)
		if err != nil {
			return nil, nil, fmt.Errorf("spec.rego: %w", err)
		}
		if module == nil {
			return nil, nil, errors.New("spec.rego: is empty")
		}
		for _, shared := range l.shared {
			if shared.Package.Path.Equal(module.Package.Path) {
				return nil, nil, fmt.Errorf("spec.rego: %s: package %s is the library's own", module.Package.Location, module.Package.Path)
			}
		}
		return module, nil, nil
	case spec.Bundle() != "":
		return l.bundledModule(spec)
	}
	module, ok := l.policies[policy.Spec.Policy]
	if !ok {
		names := make([]string, 0, len(l.policies))
		for name := range l.policies {
			names = append(names, name)
		}
		slices.Sort(names)
		return nil, nil, fmt.Errorf("spec.policy: the library has no policy %q; it has %s", policy.Spec.Policy, strings.Join(names, ", "))
	}
	return module, nil, nil
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

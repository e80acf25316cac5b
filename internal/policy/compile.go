package policy

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// compiled is a policy ready to evaluate.
type compiled struct {
	name, library string
	enforcement   v1alpha1.Enforcement
	match         matching
	wording       wording
	kinds         []v1alpha1.Kind
	query         *query
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
	if _, err := entrypoints(module); err != nil {
		return err
	}
	var err error
	shares := policy.Spec.ParametersFrom != nil
	if !shares {
		if out.parameters, err = l.parameters(module, policy.Spec.Parameters); err != nil {
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
	of, err := l.ready(module, from)
	if err != nil {
		return err
	}
	if from != nil {
		out.digest += from.digest
	}
	out.timed, out.query = of.timed, of.query
	if shares {
		source := policy.Spec.ParametersFrom
		return fmt.Errorf("%w: key %q of ConfigMap %q in the webhook's namespace", errUnread, source.Key, source.ConfigMap)
	}
	return nil
}

// ready is the Rego of a policy, compiled.
type ready struct {
	query *query
	timed bool
}

// shares is what was made of policies of the library, by their modules: EgressPolicies that use one differ in their parameters alone,
// and share the rest. The zero value is ready for use.
type shares[T any] struct {
	mu sync.Mutex
	of map[*ast.Module]T
}

// made returns what is made of a module, once; what fails is made anew.
func (s *shares[T]) made(module *ast.Module, anew func() (T, error)) (T, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, is := s.of[module]; is {
		return known, nil
	}
	out, err := anew()
	if err == nil {
		if s.of == nil {
			s.of = map[*ast.Module]T{}
		}
		s.of[module] = out
	}
	return out, err
}

// own says whether a module is a policy of the library itself.
func (l *library) own(module *ast.Module) bool {
	for _, of := range l.policies {
		if of == module {
			return true
		}
	}
	return false
}

// ready compiles a policy, of the library once.
func (l *library) ready(module *ast.Module, from *bundled) (ready, error) {
	if from != nil || l.prints || !l.own(module) {
		return l.readyAnew(module, from)
	}
	return l.prepared.made(module, func() (ready, error) { return l.readyAnew(module, nil) })
}

func (l *library) readyAnew(module *ast.Module, from *bundled) (out ready, err error) {
	asked, err := entrypoints(module)
	if err != nil {
		return out, err
	}
	compiler, data, err := l.compiled(module, from)
	if err != nil {
		return out, err
	}
	out.timed = timed(compiler, module)
	if out.query, err = newQuery(asked, compiler, data); err != nil {
		return out, fmt.Errorf("rego: %w", err)
	}
	return out, nil
}

// compiled returns a compiler with a policy, and the data that it may read, nil for none.
func (l *library) compiled(module *ast.Module, from *bundled) (*ast.Compiler, storage.Store, error) {
	if from == nil {
		out, err := l.compiler(map[string]*ast.Module{module.Package.Location.File: module}, nil)
		return out, nil, err
	}
	if !l.prints {
		return from.compiler, from.store, nil
	}
	out, err := l.compiler(from.modules, from.store)
	return out, from.store, err
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

package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// BaselinePrefix is that of the names of a baseline's EgressPolicies.
const BaselinePrefix = v1alpha1.BaselinePrefix

// Off leaves a policy of the baseline out.
const Off v1alpha1.Enforcement = "Off"

// Baseline is what the operator says of the library's policies that are in force without being asked for.
type Baseline struct {
	// Enforcement is the most that they do.
	Enforcement v1alpha1.Enforcement
	// NamespaceSelector selects the namespaces that they evaluate; nil for all.
	NamespaceSelector *metav1.LabelSelector
	// Policies says otherwise of some, by their names in the library.
	Policies map[string]BaselinePolicy
}

// BaselinePolicy is what the operator says of one; what is zero is as it comes.
type BaselinePolicy struct {
	Enforcement v1alpha1.Enforcement
	Parameters  *apiextensionsv1.JSON
	// NamespaceSelector takes the place of the baseline's.
	NamespaceSelector *metav1.LabelSelector
}

// standard is custom.baseline of a policy's METADATA: the policy is right for every cluster, and this is how.
type standard struct {
	// Enforcement is the most that it does unless the operator says otherwise of this policy.
	Enforcement v1alpha1.Enforcement  `json:"enforcement"`
	Parameters  *apiextensionsv1.JSON `json:"parameters"`
}

// Standards returns the names of the policies that a baseline has, sorted.
func (e *Engine) Standards() (out []string) {
	for name, module := range e.library.Load().policies {
		if custom(module, "baseline") != nil {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// Baseline returns the EgressPolicies of a baseline, by name. The error names what the library does not have and
// parameters that do not fit.
func (e *Engine) Baseline(baseline Baseline) ([]*v1alpha1.EgressPolicy, error) {
	var out []*v1alpha1.EgressPolicy
	var errs []error
	known := e.Standards()
	for _, name := range slices.Sorted(maps.Keys(baseline.Policies)) {
		if !slices.Contains(known, name) {
			errs = append(errs, fmt.Errorf("policies.%s: the baseline has no such policy; it has %v", name, known))
		}
	}
	for _, name := range known {
		policy, err := baseline.policy(name, e.library.Load().policies[name])
		if err == nil && policy != nil {
			err = e.Check(policy)
			out = append(out, policy)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("policies.%s: %w", name, err))
		}
	}
	return out, errors.Join(errs...)
}

// policy returns one of a baseline, nil where it is off.
func (b Baseline) policy(name string, module *ast.Module) (*v1alpha1.EgressPolicy, error) {
	of := standard{Enforcement: v1alpha1.Deny}
	if err := customInto(module, "baseline", &of); err != nil {
		return nil, err
	}
	said := b.Policies[name]
	enforcement := weaker(b.Enforcement, of.Enforcement)
	if said.Enforcement != "" {
		enforcement = said.Enforcement
	}
	if enforcement == Off {
		return nil, nil
	}
	out := &v1alpha1.EgressPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: BaselinePrefix + name},
		Spec: v1alpha1.EgressPolicySpec{
			// As the API server would have it, so that what is stored is what is to be.
			Enforcement: enforcement, Existing: v1alpha1.Report, Policy: name, Parameters: of.Parameters,
			Match: v1alpha1.Match{NamespaceSelector: b.NamespaceSelector},
		},
	}
	if said.Parameters != nil {
		out.Spec.Parameters = said.Parameters
	}
	if said.NamespaceSelector != nil {
		out.Spec.Match.NamespaceSelector = said.NamespaceSelector
	}
	return out, nil
}

func weaker(a, b v1alpha1.Enforcement) v1alpha1.Enforcement {
	order := []v1alpha1.Enforcement{Off, v1alpha1.Audit, v1alpha1.Warn, v1alpha1.Deny}
	return order[min(slices.Index(order, a), slices.Index(order, b))]
}

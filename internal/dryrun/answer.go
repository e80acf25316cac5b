package dryrun

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/json"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/internal/review"
)

// Answer is what the webhook answers to one object.
type Answer struct {
	manifest.Object
	// Verdict is empty where nobody is asked: the object is stored as it is.
	Verdict review.Verdict
	// Message is what the author reads after `admission webhook "…" denied the request: `, empty for an object that is allowed.
	Message string
	// Warnings are what the author reads besides, a line each.
	Warnings []string
	// Findings are everything that was found, sorted.
	Findings []review.Finding

	review *policy.Review
}

// Allowed says whether the object is stored.
func (a Answer) Allowed() bool { return a.Verdict == "" || a.Verdict == review.Allowed }

// Input returns the document by which an EgressPolicy in force evaluated an object, or with an empty name what all of them saw;
// nil where none was asked. The error is that of a policy that is not in force.
func (s *Session) Input(of Answer, name string) (map[string]any, error) {
	switch {
	case of.review == nil:
		return nil, nil
	case name == "":
		return of.review.Input()
	}
	return s.engine.Input(name, *of.review)
}

// codeUnfitPolicy is the code of an EgressPolicy that cannot be put in force.
const codeUnfitPolicy = "unfit-policy"

// policy answers an EgressPolicy.
func (s *Session) policy(object manifest.Object) (Answer, error) {
	out := Answer{Object: object, Verdict: review.Allowed}
	err := s.enforce(object)
	if err == nil {
		return out, s.cluster.Store(object.Unstructured)
	}
	out.Verdict, out.Message = review.Refused, review.PolicyMessage(object.GetName(), err)
	out.Findings = []review.Finding{{Finding: egress.Finding{Code: codeUnfitPolicy, Message: err.Error()}, Effect: review.Refused}}
	return out, nil
}

// enforce puts an EgressPolicy in force, or leaves what is in force where the webhook would refuse it.
func (s *Session) enforce(object manifest.Object) error {
	of, unknown, err := policyOf(object)
	if err := errors.Join(err, unknown); err != nil {
		return err
	}
	if err := s.engine.Check(of); err != nil {
		return err
	}
	return s.set(of)
}

// set puts an EgressPolicy in force. One that does not compile fails whatever it selects, as where it is stored past the webhook.
func (s *Session) set(of *v1alpha1.EgressPolicy) error {
	if s.pinned(of) {
		return nil
	}
	if name := "EgressPolicy " + of.Name; of.Spec.Match.NamespaceSelector != nil && !slices.Contains(s.selecting, name) {
		s.selecting = append(s.selecting, name)
	}
	return s.engine.Set(of)
}

// policyOf reads an EgressPolicy as the API server does. The first error is that of one that no cluster stores, unknown that of
// fields that it would leave out, or kubectl refuse.
func policyOf(object manifest.Object) (of *v1alpha1.EgressPolicy, unknown, err error) {
	raw, err := object.MarshalJSON()
	if err != nil {
		return nil, nil, err
	}
	of = &v1alpha1.EgressPolicy{}
	strict, err := json.UnmarshalStrict(raw, of)
	if err != nil {
		return nil, nil, err
	}
	switch of.Spec.Enforcement {
	case v1alpha1.Deny, v1alpha1.Warn, v1alpha1.Audit:
	case "":
		of.Spec.Enforcement = v1alpha1.Deny
	default:
		return nil, nil, fmt.Errorf("spec.enforcement: must be Deny, Warn or Audit, is %q", of.Spec.Enforcement)
	}
	return of, errors.Join(strict...), nil
}

// pinned says whether a policy is one of a baseline: it is in force as the configuration has it, whatever is stored.
func (s *Session) pinned(of *v1alpha1.EgressPolicy) bool {
	kept := of.Labels[hop.ManagedByLabel] == hop.Manager && strings.HasPrefix(of.Name, policy.BaselinePrefix)
	return kept || s.standards.KindsOf(of.Name) != nil
}

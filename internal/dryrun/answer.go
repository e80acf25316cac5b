package dryrun

import (
	"context"
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

// Answer is what the API server answers to one object, and in it the webhook.
type Answer struct {
	manifest.Object
	// Verdict is empty where the webhook is not asked, and nobody else says no: the object is stored as it is.
	Verdict review.Verdict
	// Message is what the author reads, of the webhook's answer after `admission webhook "…" denied the request: `; it is empty for an
	// object that is allowed.
	Message string
	// Warnings are what the author reads besides, a line each.
	Warnings []string
	// Findings are everything that was found, sorted.
	Findings []review.Finding

	review *policy.Review
}

// Allowed says whether the object is stored.
func (a Answer) Allowed() bool { return a.Verdict == "" || a.Verdict == review.Allowed }

// Answer answers one object that is applied, and stores it where it is allowed.
func (s *Session) Answer(ctx context.Context, object manifest.Object) (Answer, error) {
	out := Answer{Object: s.placed(object)}
	s.heard = nil
	asked := out.Object
	var err error
	if asked.Unstructured, err = s.read(out.Object, s.merged); err != nil {
		out.warn(s.heard)
		return no(out, err)
	}
	if s.options.Way == Replace {
		out.Object = asked
	}
	err = s.ask(ctx, &out, asked)
	out.warn(s.heard)
	if err != nil {
		return no(out, err)
	}
	return out, nil
}

// ask has everybody asked about an object that was read.
func (s *Session) ask(ctx context.Context, out *Answer, object manifest.Object) (err error) {
	asks := func() {
		if isPolicy(object) {
			err = s.policy(ctx, out, object)
		} else {
			err = s.apply(ctx, out, object)
		}
	}
	if !s.isPasted(object) {
		asks()
		return err
	}
	s.cluster.Rehearse(asks)
	if err == nil && out.Allowed() {
		return pasted{}
	}
	return err
}

// apply has the webhook answer an object, where it is asked.
func (s *Session) apply(ctx context.Context, out *Answer, object manifest.Object) error {
	sent, err := s.sent(object)
	if err != nil {
		return err
	}
	if !sent {
		if err := s.cluster.Admit(ctx, object.Unstructured); err != nil {
			return err
		}
		if s.cluster.Rehearsing() {
			return nil
		}
		s.keepCurrent(object)
		return s.define(object)
	}
	s.engine.last = nil
	outcome, err := s.cluster.Apply(ctx, object.Unstructured)
	if err != nil || outcome == nil {
		return err
	}
	out.Verdict, out.Message, out.Warnings, out.Findings = outcome.Verdict, outcome.Message(), outcome.Warnings(), outcome.Findings
	out.review = s.engine.last
	return nil
}

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
func (s *Session) policy(ctx context.Context, out *Answer, object manifest.Object) error {
	object.Unstructured = s.cluster.Made(object.Unstructured)
	old := s.cluster.Get(object.Unstructured)
	if err := s.admission(ctx, object.Unstructured, old); err != nil {
		return err
	}
	if review.Finalizing(object.Unstructured, old) {
		out.Verdict = review.Allowed
		return s.cluster.Keep(object.Unstructured)
	}
	warnings, err := s.enforce(object)
	if err == nil {
		out.Verdict, out.Warnings = review.Allowed, warnings
		return s.cluster.Keep(object.Unstructured)
	}
	out.Verdict, out.Message = review.Refused, review.PolicyMessage(object.GetName(), err)
	out.Findings = []review.Finding{{Finding: egress.Finding{Code: codeUnfitPolicy, Message: err.Error()}, Effect: review.Refused}}
	return nil
}

// enforce puts an EgressPolicy in force, or leaves what is in force where the webhook would refuse it.
func (s *Session) enforce(object manifest.Object) (warnings []string, err error) {
	of, unknown, err := policyOf(object)
	if err := errors.Join(err, unknown); err != nil {
		return nil, err
	}
	if warnings, err = s.check(of); err == nil && !s.cluster.Rehearsing() {
		_ = s.set(of) // what it shares may come later
	}
	return warnings, err
}

// set puts an EgressPolicy in force. One that does not compile fails whatever it selects, as where it is stored past the webhook.
func (s *Session) set(of *v1alpha1.EgressPolicy) error {
	if s.pinned(of) {
		return nil
	}
	if name := "EgressPolicy " + of.Name; of.Spec.Match.NamespaceSelector != nil && !slices.Contains(s.selecting, name) {
		s.selecting = append(s.selecting, name)
	}
	delete(s.sharing, of.Name)
	if of.Spec.ParametersFrom != nil {
		s.sharing[of.Name] = of
	}
	whole, err := s.whole(of)
	if err != nil {
		_ = s.engine.Set(of) // it is not whole
		return err
	}
	return s.engine.Set(whole)
}

// policyOf reads an EgressPolicy as the API server does. The first error is that of one that no cluster stores, unknown that of
// fields that it would leave out, or kubectl refuse.
func policyOf(object manifest.Object) (of *v1alpha1.EgressPolicy, unknown, err error) {
	if version := v1alpha1.GroupVersion.String(); object.GetAPIVersion() != version {
		return nil, nil, fmt.Errorf("apiVersion: must be %s, is %q", version, object.GetAPIVersion())
	}
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
	return s.isPinned(of.Name, of.Labels)
}

func (s *Session) isPinned(name string, labels map[string]string) bool {
	kept := labels[hop.ManagedByLabel] == hop.Manager && strings.HasPrefix(name, policy.BaselinePrefix)
	return kept || s.standards.KindsOf(name) != nil
}

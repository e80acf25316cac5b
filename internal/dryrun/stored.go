package dryrun

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/manifest"
)

// What is stored, judged again as the audit of a cluster does.

// Stored is what is said of a stored object.
type Stored struct {
	Answer
	// Facts are what it does to egress.
	Facts egress.Facts
	// Exit says that it is an entry that has one.
	Exit bool
	// Asked are the policies that were asked.
	Asked []string
}

// Audit judges objects that are stored, in their order, by the EgressPolicies in force. It calls done after each. The error is that
// of an object that cannot be evaluated.
func (s *Session) Audit(ctx context.Context, objects []manifest.Object, done func()) ([]Stored, error) {
	if err := s.assume(objects...); err != nil {
		return nil, err
	}
	out := make([]Stored, len(objects))
	for i, object := range objects {
		var err error
		if out[i], err = s.audit(ctx, s.placed(object)); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", manifest.Place(object.File, object.Line), manifest.Name(object.Unstructured), err)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		done()
	}
	return out, nil
}

func (s *Session) audit(ctx context.Context, object manifest.Object) (Stored, error) {
	out := Stored{Answer: Answer{Object: object}}
	sent, err := s.sent(object)
	if err != nil || !sent {
		return out, err
	}
	outcome, err := s.cluster.Audit(ctx, object.Unstructured)
	if err != nil || outcome == nil {
		return out, err
	}
	_, sealed := hop.SealedTo(object.Unstructured, s.mesh)
	out.Verdict, out.Message, out.Warnings, out.Findings = outcome.Verdict, outcome.Message(), outcome.Warnings(), outcome.Findings
	out.Facts, out.Asked, out.Exit = outcome.Facts, outcome.Asked, sealed && object.GetKind() == "ServiceEntry"
	return out, nil
}

// Suspensions returns the stored entries that are suspended, with why; Sealed how many have exits.
func (s *Session) Suspensions() map[types.NamespacedName]string { return s.cluster.Suspensions() }

// Sealed returns how many stored entries have exits.
func (s *Session) Sealed() int { return s.cluster.Sealed() }

// ParametersOf returns what tells the parameters of a policy in force from others, as policy.Engine does.
func (s *Session) ParametersOf(name string) string { return s.engine.ParametersOf(name) }

// Replacement is what putting EgressPolicies in force changed, by their names.
type Replacement struct {
	Added, Changed, Unchanged, Removed []string
	// Warnings are what kubectl apply would print, a line each.
	Warnings []string
}

// Replace puts EgressPolicies in force, in the place of those of their names; with only, of all that are stored. The error names the
// place of each that the webhook would refuse, and of each that is the baseline's.
func (s *Session) Replace(policies []manifest.Object, only bool) (out Replacement, err error) {
	before := maps.Clone(s.engine.policies)
	given := map[string]bool{}
	err = each(policies, func(object manifest.Object) error {
		if of, _, err := policyOf(object); err == nil && s.pinned(of) {
			return errors.New("it is one of the baseline, which is in force as the configuration has it")
		}
		given[object.GetName()] = true
		warnings, err := s.enforce(object)
		for _, warning := range warnings {
			out.Warnings = append(out.Warnings, manifest.Place(object.File, object.Line)+": "+warning)
		}
		return inManifest(object, err)
	})
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if only && !given[name] {
			s.remove(name)
			out.Removed = append(out.Removed, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		now := s.engine.policies[name]
		switch last := before[name]; {
		case now == nil:
		case last == nil:
			out.Added = append(out.Added, name)
		case equality.Semantic.DeepEqual(last.Spec, now.Spec):
			out.Unchanged = append(out.Unchanged, name)
		default:
			out.Changed = append(out.Changed, name)
		}
	}
	return out, err
}

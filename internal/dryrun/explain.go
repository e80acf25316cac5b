package dryrun

import (
	"context"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/policy"
)

// Observed is what an EgressPolicy in force did for an answer.
type Observed struct {
	policy.Observed
	Policy *v1alpha1.EgressPolicy
	// Err is why it could not be evaluated.
	Err error
}

// Observe has EgressPolicies evaluate once more what an answer was given to, and says how each comes to what it says. The answer
// stays as it is. There are none where no policy was asked.
func (s *Session) Observe(ctx context.Context, of Answer, policies []*v1alpha1.EgressPolicy, watch policy.Watch) (out []Observed, err error) {
	if of.review == nil {
		return nil, nil
	}
	for _, each := range policies {
		one := Observed{Policy: each}
		one.Observed, one.Err = s.engine.Observe(ctx, each, *of.review, watch)
		out = append(out, one)
	}
	return out, ctx.Err()
}

// Policies returns the EgressPolicies in force by name, without those of the baseline.
func (s *Session) Policies() []*v1alpha1.EgressPolicy {
	return slices.SortedFunc(maps.Values(s.policies), func(a, b *v1alpha1.EgressPolicy) int { return strings.Compare(a.Name, b.Name) })
}

// Baseline returns those of the baseline, by name.
func (s *Session) Baseline() ([]*v1alpha1.EgressPolicy, error) {
	return s.engine.Baseline(s.options.Configuration.Standards())
}

// Stored returns what the cluster holds of an object that was applied, once the controllers are done; nil for nothing. The error
// names the host that can have no exit.
func (s *Session) Stored(of manifest.Object) (*unstructured.Unstructured, error) {
	objects, err := s.cluster.Objects()
	if err != nil {
		return nil, err
	}
	key := keyOf(s.placed(of).Unstructured)
	for _, object := range objects {
		if keyOf(object) == key {
			return Bare(object), nil
		}
	}
	return nil, nil
}

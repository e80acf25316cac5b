package dryrun

import (
	"context"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/internal/review"
)

// InForce is an EgressPolicy in force.
type InForce struct {
	*v1alpha1.EgressPolicy
	// from is where it stands; nothing for one of the baseline.
	from manifest.Object
}

// At is where a line of a file of Rego stands: in the manifest of the EgressPolicy whose Rego it is, or in the library.
func (p InForce) At(file string, line int) string {
	if p.from.Unstructured != nil && file == p.Name+".rego" {
		return RegoPlace(p.from, line)
	}
	return manifest.Place(file, line)
}

// RegoPlace is where a line of the Rego of an EgressPolicy stands: in its manifest, or in what OPA calls its Rego.
func RegoPlace(of manifest.Object, line int) string {
	if at, known := of.Text("spec.rego", line); known {
		return manifest.Place(of.File, at)
	}
	return manifest.Place(of.GetName()+".rego", line)
}

// inManifest is an error of a policy with the lines of its manifest in the place of those of its Rego.
func inManifest(of manifest.Object, err error) error {
	if err == nil {
		return nil
	}
	lines := regexp.MustCompile(`\b` + regexp.QuoteMeta(of.GetName()) + `\.rego:([0-9]+)`)
	text := lines.ReplaceAllStringFunc(err.Error(), func(place string) string {
		line, _ := strconv.Atoi(lines.FindStringSubmatch(place)[1]) // it is a number
		return RegoPlace(of, line)
	})
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}

// Observed is what an EgressPolicy in force did for an answer.
type Observed struct {
	policy.Observed
	Policy InForce
	// Err is why it could not be evaluated.
	Err error
}

// Observe has EgressPolicies evaluate once more what an answer was given to, and says how each comes to what it says. The answer
// stays as it is. There are none where no policy was asked. One that could not be evaluated for the answer, which may be for the time
// or the memory that it took, is evaluated again for a trace alone.
func (s *Session) Observe(ctx context.Context, of Answer, policies []InForce, watch policy.Watch) (out []Observed, err error) {
	if of.review == nil {
		return nil, nil
	}
	for _, each := range policies {
		one, how := Observed{Policy: each}, watch
		failure := of.failure(each.Name)
		how.Idle = failure != nil && !watch.Trace
		one.Observed, one.Err = s.engine.Observe(ctx, each.EgressPolicy, *of.review, how)
		if one.Err == nil {
			one.Err = failure
		}
		out = append(out, one)
	}
	return out, ctx.Err()
}

// failure is why an EgressPolicy could not be evaluated for an answer, nil where it could.
func (a Answer) failure(name string) error {
	for _, finding := range a.Findings {
		if finding.Policy == name && finding.Code == policy.CodeEvaluationFailed {
			return errors.New(finding.Message)
		}
	}
	return nil
}

// Told returns the finding of an answer that a sentence of a policy became, false for one that the answer leaves out.
func (a Answer) Told(said policy.Said) (review.Finding, bool) {
	of := slices.DeleteFunc(slices.Clone(a.Findings), func(finding review.Finding) bool {
		return finding.Policy != said.Policy || finding.Code != said.Code || finding.Field != said.Field
	})
	for _, finding := range of {
		if strings.Contains(finding.Message, said.Message) {
			return finding, true
		}
	}
	if said.Code == "" || len(of) == 0 {
		return review.Finding{}, false
	}
	// It is told in other words.
	return of[0], true
}

// Judge says what is wrong with a stored object by now, as the audit does, and which policies were asked; nothing for one that
// nobody governs, and for those of ours. The error is that of an object that cannot be evaluated.
func (s *Session) Judge(ctx context.Context, object *unstructured.Unstructured) (findings []review.Finding, asked []string, err error) {
	if s.keeps(object) {
		return nil, nil, nil
	}
	of, err := s.audit(ctx, manifest.Object{Unstructured: object})
	return of.Findings, of.Asked, err
}

// Set puts a policy in force, and remembers which one is.
func (r *recorder) Set(of *v1alpha1.EgressPolicy) error {
	err := r.Engine.Set(of)
	if _, is := r.policies[of.Name]; !is || err == nil {
		if r.policies == nil {
			r.policies = map[string]*v1alpha1.EgressPolicy{}
		}
		r.policies[of.Name] = of
	}
	return err
}

// Policies returns the EgressPolicies in force by name, without those of the baseline. Sources are the manifests of which they may be.
func (s *Session) Policies(sources ...manifest.Object) (out []InForce) {
	for _, name := range slices.Sorted(maps.Keys(s.engine.policies)) {
		one := InForce{EgressPolicy: s.engine.policies[name]}
		for _, source := range sources {
			rego, is, _ := unstructured.NestedString(source.Object, "spec", "rego")
			if is && isPolicy(source) && source.GetName() == name && rego == one.Spec.Rego {
				one.from = source
			}
		}
		out = append(out, one)
	}
	return out
}

// Baseline returns those of the baseline, by name.
func (s *Session) Baseline() (out []InForce, err error) {
	of, err := s.engine.Baseline(s.options.Configuration.Standards())
	for _, each := range of {
		out = append(out, InForce{EgressPolicy: each})
	}
	return out, err
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

// Package dryrun says what the webhook answers to manifests, without a cluster: it has them decided on by the code and the
// policies of the webhook, in the cluster that package render stands for.
package dryrun

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/apiserver"
	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/internal/render"
	"github.com/egress-governor/egress-governor/internal/review"
	"github.com/egress-governor/egress-governor/policies"
)

// Options are what answers depend on beside the objects.
type Options struct {
	// Configuration is the webhook's.
	Configuration *config.Configuration
	// Standards are the policies in force without any that is stored; those of the configuration's baseline by default.
	Standards *policy.Engine
	// Server is what the API server itself answers, nil for nobody.
	Server *apiserver.Server
	// DNSCapture says whether sidecars capture DNS, where the configuration has that detected.
	DNSCapture bool
	// Sending is how they reach the API server.
	Sending
	// Rehearse are observed namespaces that are governed here.
	Rehearse []string
	// Namespace is that of objects that name none, Release that of the webhook; egress-governor by default.
	Namespace, Release string
}

// Session is a cluster to which manifests are applied one after another. It is not safe for concurrent use.
type Session struct {
	options Options
	mesh    *egress.Mesh
	engine  *recorder
	// standards has the policies that are in force in any case.
	standards *policy.Engine
	cluster   *render.Cluster
	// server is nil where nobody but the webhook is asked; heard is what it warned of last.
	server *apiserver.Server
	heard  []string
	// given are the objects that were stored already.
	given map[string]*unstructured.Unstructured
	// sharing are the policies that share parameters, by name.
	sharing map[string]*v1alpha1.EgressPolicy
	// unmanaged are stored objects of which it was not known who owns their fields.
	unmanaged []string
	// told is what the authors of policies in force are told.
	told []string
	// assumed are the namespaces of which nothing was said, selecting whatever selects namespaces by their labels.
	assumed, selecting []string
}

// recorder evaluates policies, and remembers what they were asked last.
type recorder struct {
	*policy.Engine
	last *policy.Review
	// policies are those that were put in force here, by name.
	policies map[string]*v1alpha1.EgressPolicy
}

// Evaluate implements review.Evaluator.
func (r *recorder) Evaluate(ctx context.Context, review policy.Review) policy.Decision {
	r.last = &review
	return r.Engine.Evaluate(ctx, review)
}

// New returns a session in which the baseline of the configuration is in force and nothing is stored. The error is that of a
// baseline that the library does not have.
func New(options Options) (*Session, error) {
	mesh, err := options.Configuration.Mesh()
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if rehearsal := mesh.Rehearsal(options.Rehearse...); rehearsal != nil && len(options.Rehearse) > 0 {
		mesh = rehearsal
	}
	engine := options.Standards
	if engine == nil {
		if engine, err = Standards(options.Configuration); err != nil {
			return nil, err
		}
	}
	out := &Session{options: options, mesh: mesh, engine: &recorder{Engine: engine.Clone()}, standards: engine, given: map[string]*unstructured.Unstructured{}, sharing: map[string]*v1alpha1.EgressPolicy{}}
	out.options.Release = cmp.Or(options.Release, "egress-governor")
	if out.cluster, err = render.New(mesh, out.engine, options.Time); err != nil {
		return nil, err
	}
	for _, gateway := range options.Configuration.Gateways {
		if selector := gateway.NamespaceSelector; len(selector.MatchLabels)+len(selector.MatchExpressions) > 0 {
			out.selecting = append(out.selecting, "egress gateway "+gateway.Name)
		}
	}
	out.cluster.SetDNSCapture(options.Configuration.Captures(options.DNSCapture))
	out.cluster.SetUser(options.User)
	if options.Server != nil {
		out.server = options.Server.Clone()
		out.cluster.SetAdmission(out.admission)
	}
	return out, nil
}

// Configuration returns the webhook's, and the mesh as it has it.
func (s *Session) Configuration() (*config.Configuration, *egress.Mesh) {
	return s.options.Configuration, s.mesh
}

// Standards returns the policies that the baseline of a configuration has in force. The error names what the library does not have.
func Standards(of *config.Configuration) (*policy.Engine, error) {
	out, err := policy.NewEngine(policies.Library())
	if err != nil {
		return nil, err
	}
	out.ExpectBundles(slices.Collect(maps.Keys(of.OPA.Bundles))...)
	standards, err := out.Baseline(of.Standards())
	if err != nil {
		return nil, fmt.Errorf("configuration: baseline: %w", err)
	}
	for _, standard := range standards {
		if err := out.Set(standard); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Store takes objects for stored already, as they are; EgressPolicies among them are in force, and one that does not compile fails
// what it selects. The error names the place of each object that is not of its kind.
func (s *Session) Store(objects ...manifest.Object) error {
	return each(objects, func(object manifest.Object) error {
		object = s.placed(object)
		s.given[keyOf(object.Unstructured)] = object.Unstructured
		if isPolicy(object) {
			of, _, err := policyOf(object)
			if err != nil {
				return err
			}
			_ = s.set(of) // what does not compile is in force as such
		}
		if err := s.define(object); err != nil {
			return err
		}
		defer s.keepCurrent(object)
		return s.cluster.Store(object.Unstructured)
	})
}

// Enforce puts EgressPolicies in force, and keeps what their authors would be told (Told). The error names the place of each that the
// webhook would refuse.
func (s *Session) Enforce(policies ...manifest.Object) error {
	return each(policies, func(object manifest.Object) error {
		read, err := s.read(object, s.asWritten)
		if err == nil {
			err = s.admission(context.Background(), read, nil)
		}
		if err != nil {
			return err
		}
		object.Unstructured = read
		warnings, err := s.enforce(object)
		for _, warning := range warnings {
			s.told = append(s.told, fmt.Sprintf("%s: %s: %s", manifest.Place(object.File, object.Line), manifest.Name(object.Unstructured), warning))
		}
		return inManifest(object, err)
	})
}

// Told returns what the authors of policies in force are told at apply, a line each.
func (s *Session) Told() []string { return s.told }

// each calls a function with objects. The error has the places of those with which it failed.
func each(objects []manifest.Object, do func(object manifest.Object) error) error {
	var errs []error
	for _, object := range objects {
		if err := do(object); err != nil {
			errs = append(errs, fmt.Errorf("%s: %s: %w", manifest.Place(object.File, object.Line), manifest.Name(object.Unstructured), err))
		}
	}
	return errors.Join(errs...)
}

// Apply answers objects as if they were applied in their order: what a later one brings is not known to an earlier one. Definitions of
// kinds, Namespaces, EgressPolicies and ConfigMaps come before all others, wherever they stand. It calls done after each. The error is
// that of an object that cannot be evaluated.
func (s *Session) Apply(ctx context.Context, objects []manifest.Object, done func()) ([]Answer, error) {
	out := make([]Answer, len(objects))
	for _, first := range []bool{true, false} {
		if !first {
			if err := s.assume(objects...); err != nil {
				return nil, err
			}
		}
		for i, object := range objects {
			if (isPolicy(object) || isNamespace(object) || isConfigMap(object) || apiserver.Defines(object.Unstructured)) != first {
				continue
			}
			var err error
			if out[i], err = s.Answer(ctx, object); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", manifest.Place(object.File, object.Line), manifest.Name(object.Unstructured), err)
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			done()
		}
	}
	return out, nil
}

// sent says whether the API server may ask the webhook about an object; for kinds that policies alone judge it does so while
// one in force asks for them. The error is that of a version that no API server has.
func (s *Session) sent(object manifest.Object) (bool, error) {
	kind := object.GroupVersionKind()
	resource, known := review.ResourceOf(kind.Kind)
	if !known || resource.Group != kind.Group {
		return false, nil
	}
	if !slices.Contains(resource.Versions, kind.Version) {
		return false, fmt.Errorf("version %q of %s is not known; known are %s", kind.Version, kind.Kind, strings.Join(resource.Versions, ", "))
	}
	// The chart has Sidecars sent in any case where they are closed.
	closed := kind.Kind == "Sidecar" && s.mesh.Block
	return !resource.Asked || closed || slices.Contains(s.engine.Kinds(), v1alpha1.Kind(kind.Kind)), nil
}

// Delete removes an object. An EgressPolicy is no longer in force then.
func (s *Session) Delete(object *unstructured.Unstructured) {
	s.cluster.Delete(object)
	of := manifest.Object{Unstructured: object}
	if isPolicy(of) && !s.isPinned(object.GetName(), object.GetLabels()) {
		s.remove(object.GetName())
	}
	s.keepCurrent(of)
}

// remove has an EgressPolicy no longer be in force.
func (s *Session) remove(name string) {
	s.engine.Remove(name)
	delete(s.engine.policies, name)
	delete(s.sharing, name)
}

// Objects returns all that the cluster holds once the controllers are done. The error names the host that can have no exit.
func (s *Session) Objects() ([]*unstructured.Unstructured, error) { return s.cluster.Objects() }

// Unlabelled returns the namespaces that objects were applied in of which nothing was said, and which are taken to have no labels,
// where that may change answers: with them the EgressPolicies and egress gateways that select namespaces by their labels.
func (s *Session) Unlabelled() (namespaces, selecting []string) {
	if len(s.selecting) == 0 {
		return nil, nil
	}
	return s.assumed, s.selecting
}

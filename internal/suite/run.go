package suite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/apiserver"
	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/policy"
)

// Options are how suites are run.
type Options struct {
	// Configure returns the configuration of the webhook that a file holds, or that the chart installs where none is named, with the
	// enforcement of the baseline that is given.
	Configure func(file, baseline string) (*config.Configuration, error)
	// Server returns what the API server itself answers beside a webhook of a configuration, nil for nobody.
	Server func(configuration *config.Configuration) (*apiserver.Server, error)
	// Standards returns the policies that are in force before any of a suite; those of the configuration's baseline where it is nil.
	Standards func(configuration *config.Configuration) (*policy.Engine, error)
	// Run says whether a case is run, by its name after that of the file; nil for all.
	Run func(name string) bool
	// Update writes the files that hold what is stored anew.
	Update bool
	// Coverage takes the lines of Rego that are evaluated, nil for none.
	Coverage *policy.Coverage
	// Time is when objects are applied, where a case does not say.
	Time time.Time
}

// Result is what came of a case.
type Result struct {
	File string
	Line int
	Name string
	// Failures are what was expected and did not come. Err is why that could not be told.
	Failures []Failure
	Err      error
	// Notes are what may explain failures.
	Notes []string
	// Updated are the files that were written.
	Updated []string
}

// Failure is one expectation that does not hold, and where it stands.
type Failure struct {
	Line int
	Text string
}

// Outcome is what came of a suite.
type Outcome struct {
	File    string
	Results []Result
	// Policies are the EgressPolicies of the suite, Unasked those among them about which no case is: what it says holds without them.
	Policies []manifest.Object
	Unasked  []manifest.Object
}

// Run runs the cases of a suite. The error is that of what all of them need.
func (s *Suite) Run(ctx context.Context, options Options) (*Outcome, error) {
	out := &Outcome{File: s.File}
	configuration, err := s.configuration(options)
	if err != nil {
		return nil, err
	}
	if options.Standards == nil {
		options.Standards = dryrun.Standards
	}
	standards, err := options.Standards(configuration)
	if err != nil {
		return nil, err
	}
	if out.Policies, err = s.policies(); err != nil {
		return nil, err
	}
	var server *apiserver.Server
	if options.Server != nil {
		if server, err = options.Server(configuration); err != nil {
			return nil, err
		}
	}
	asked := map[string]bool{}
	for i := range s.Cases {
		one := &s.Cases[i]
		if options.Run != nil && !options.Run(s.File+"/"+one.Name.value) {
			continue
		}
		run := &running{suite: s, of: one, options: options, asked: asked, out: Result{File: s.File, Line: one.line, Name: one.Name.value}}
		run.base = dryrun.Options{Configuration: configuration, Standards: standards, Server: server, Sending: dryrun.Sending{Time: options.Time}}
		run.out.Err = run.run(ctx, out.Policies)
		out.Results = append(out.Results, run.out)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	for _, each := range out.Policies {
		if len(out.Results) == len(s.Cases) && !asked[each.GetName()] {
			out.Unasked = append(out.Unasked, each)
		}
	}
	return out, nil
}

func (s *Suite) configuration(options Options) (*config.Configuration, error) {
	file := s.Configuration.value
	if file != "" {
		file = s.path(file)
	}
	out, err := options.Configure(file, s.Baseline.value)
	if err != nil {
		return nil, fmt.Errorf("%s: configuration: %w", manifest.Place(s.File, cmp.Or(s.Configuration.line, 1)), err)
	}
	return out, nil
}

// path is that of a file that the suite names.
func (s *Suite) path(of string) string {
	if filepath.IsAbs(of) {
		return of
	}
	return filepath.Join(filepath.Dir(s.File), filepath.FromSlash(of))
}

// objects returns what some sources hold: files and folders, or objects that stand in the suite.
func (s *Suite) objects(sources ...yaml.Node) (out []manifest.Object, err error) {
	var errs []error
	for i := range sources {
		source := &sources[i]
		if source.Kind == yaml.AliasNode {
			source = source.Alias
		}
		if absent(*source) {
			errs = append(errs, fmt.Errorf("%s: names no file and is no object", manifest.Place(s.File, source.Line)))
			continue
		}
		if source.Kind != yaml.ScalarNode {
			object, err := manifest.Inline(s.File, source)
			out, errs = append(out, object), append(errs, err)
			continue
		}
		objects, err := manifest.Read([]string{s.path(source.Value)}, strings.NewReader(""), false)
		if err == nil && len(objects) == 0 {
			err = fmt.Errorf("there are no objects in %s", source.Value)
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", manifest.Place(s.File, source.Line), err)
		}
		out, errs = append(out, objects...), append(errs, err)
	}
	return out, errors.Join(errs...)
}

// policies returns the EgressPolicies of the suite, with its enforcement.
func (s *Suite) policies() ([]manifest.Object, error) {
	out, err := s.objects(s.Policies...)
	if err != nil {
		return nil, err
	}
	for i, object := range out {
		if object.GetKind() != "EgressPolicy" {
			return nil, fmt.Errorf("%s: %s is not an EgressPolicy", manifest.Place(object.File, object.Line), manifest.Name(object.Unstructured))
		}
		if s.Enforcement.given() {
			if out[i], err = with(object, s.Enforcement.value, "enforcement"); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// with returns an EgressPolicy with another value of a field of its spec.
func with(object manifest.Object, value any, field string) (manifest.Object, error) {
	object.Unstructured = object.DeepCopy()
	return object, unstructured.SetNestedField(object.Object, value, "spec", field)
}

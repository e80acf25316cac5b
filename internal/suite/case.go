package suite

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/internal/review"
)

// running is a case that is run.
type running struct {
	suite   *Suite
	of      *Case
	options Options
	base    dryrun.Options
	asked   map[string]bool
	out     Result
}

// run runs the case. The error is that of what keeps it from being told.
func (r *running) run(ctx context.Context, policies []manifest.Object) error {
	r.base.Namespace = cmp.Or(r.of.Namespace.value, r.suite.Namespace.value, "default")
	r.base.User = review.User{Name: r.of.User.Name, Groups: r.of.User.Groups}
	if r.of.Time.given() {
		r.base.Time, _ = time.Parse(time.RFC3339, r.of.Time.value) // it was checked
	}
	session, err := dryrun.New(r.base)
	if err != nil {
		return err
	}
	applied, err := r.prepare(session, policies)
	if err != nil {
		return err
	}
	answers, err := session.Apply(ctx, applied, func() {})
	if err != nil {
		return err
	}
	if namespaces, selecting := session.Unlabelled(); len(namespaces) > 0 {
		r.out.Notes = append(r.out.Notes, fmt.Sprintf("nothing declares namespace %s, so it has no labels; what selects by labels of namespaces may pass it over: %s; give namespaces",
			strings.Join(namespaces, ", "), strings.Join(selecting, ", ")))
	}
	last := len(answers) - 1
	for _, answer := range answers[:last] {
		if !answer.Allowed() {
			r.fail(r.out.Line, "%s, which comes before, is %s: %s", manifest.Name(answer.Unstructured), answer.Verdict, answer.Message)
		}
	}
	if err := r.observe(ctx, session, answers); err != nil {
		return err
	}
	return r.hold(session, answers[last])
}

// prepare puts into the cluster what is there before, and returns what is to be applied; the object of the case is the last.
func (r *running) prepare(session *dryrun.Session, policies []manifest.Object) ([]manifest.Object, error) {
	stored, err := r.suite.objects(slices.Concat(r.suite.Cluster, r.of.Cluster)...)
	if err != nil {
		return nil, err
	}
	for _, labels := range []map[string]map[string]string{r.suite.Namespaces, r.of.Namespaces} {
		for name, of := range labels {
			namespace := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace"}}
			namespace.SetName(name)
			namespace.SetLabels(of)
			stored = append(stored, manifest.Object{Unstructured: namespace, File: r.suite.File, Line: r.out.Line})
		}
	}
	if policies, err = r.parameters(policies); err != nil {
		return nil, err
	}
	if err := errors.Join(session.Store(stored...), session.Enforce(policies...)); err != nil {
		return nil, err
	}
	return r.applied()
}

// applied returns what is applied, the object of the case last; Namespaces beside it come before.
func (r *running) applied() ([]manifest.Object, error) {
	out, err := r.suite.objects(slices.Concat(r.suite.Objects, r.of.Objects)...)
	if err != nil {
		return nil, err
	}
	objects, err := r.suite.objects(r.of.Manifest)
	if err != nil {
		return nil, err
	}
	var asked []manifest.Object
	for _, object := range objects {
		if object.GetKind() == "Namespace" && len(objects) > 1 {
			out = append(out, object)
			continue
		}
		asked = append(asked, object)
	}
	if len(asked) != 1 {
		return nil, fmt.Errorf("%s: a case is about one object, and this manifest has %d; those that come before it are objects", manifest.Place(r.suite.File, r.of.Manifest.Line), len(asked))
	}
	return append(out, asked...), nil
}

// parameters returns the EgressPolicies with the parameters of the case.
func (r *running) parameters(policies []manifest.Object) ([]manifest.Object, error) {
	if absent(r.of.Parameters) {
		return policies, nil
	}
	raw, err := manifest.JSON(r.suite.File, &r.of.Parameters)
	if err != nil {
		return nil, err
	}
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		return nil, err
	}
	if len(policies) != 1 {
		return nil, fmt.Errorf("%s: parameters are those of the suite's EgressPolicy, of which it has %d", manifest.Place(r.suite.File, r.of.Parameters.Line), len(policies))
	}
	one, err := with(policies[0], value, "parameters")
	return []manifest.Object{one}, err
}

// observe remembers which EgressPolicies were asked, and what of their Rego was evaluated.
func (r *running) observe(ctx context.Context, session *dryrun.Session, answers []dryrun.Answer) error {
	policies := session.Policies()
	for i, answer := range answers {
		observed, err := session.Observe(ctx, answer, policies, policy.Watch{Coverage: r.options.Coverage})
		if err != nil {
			return err
		}
		for _, one := range observed {
			switch last := i == len(answers)-1; {
			case last && one.Asked:
				r.asked[one.Policy.Name] = true
			case last:
				r.out.Notes = append(r.out.Notes, fmt.Sprintf("EgressPolicy %s is not asked: %s", one.Policy.Name, one.Why))
			}
		}
	}
	return nil
}

func (r *running) fail(line int, format string, args ...any) {
	r.out.Failures = append(r.out.Failures, Failure{Line: line, Text: fmt.Sprintf(format, args...)})
}

// Package review is the decision about one object: the form in which it is stored, the facts of that form, and
// everything that is wrong with it. The webhook asks it, and whoever else has an object and a view of a cluster: it
// knows neither requests nor clients.
package review

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/policy"
)

// evaluationTimeout bounds the evaluation of all policies for one object. It is below the timeouts of the chart's
// webhook configurations, so that the author reads our reason and not the API server's.
const evaluationTimeout = 3 * time.Second

// Operation says what is done with an object.
type Operation string

// The operations that are governed.
const (
	Create Operation = "CREATE"
	Update Operation = "UPDATE"
	// Delete is asked about kinds of which one object stands before another (Resource.Leaves). Policies are not asked: nothing is
	// stored.
	Delete Operation = "DELETE"
	// Audit judges what is stored, as if it were written for the first time: whatever keeps quiet because it was so before
	// has its say.
	Audit Operation = "AUDIT"
)

// Request is an object to be decided on.
type Request struct {
	// Operation is Create, Update, Delete or Audit.
	Operation Operation
	// Object is what was sent, or what will be stored, or with Audit and Delete is; Old what is stored already, nil but with Update.
	Object, Old *unstructured.Unstructured
	// Name is empty while the API server has not generated it.
	Name string
	// Namespace is the object's.
	Namespace Namespace
	// User asks for it.
	User User
	// UID is the API server's for the request, empty where it was none.
	UID string
	// DryRun says that nothing will be stored.
	DryRun bool
	// Time is when it is decided on: policies have no clock.
	Time time.Time
}

// Namespace is what is known of an object's namespace.
type Namespace struct {
	Name                string
	Labels, Annotations map[string]string
}

// User is who asks.
type User struct {
	Name   string
	Groups []string
}

// Refusals is the error of an object that cannot be expressed as a hop.
type Refusals = hop.Refusals

// Evaluator evaluates policies.
type Evaluator interface {
	Evaluate(ctx context.Context, review policy.Review) policy.Decision
}

// Reviewer decides on objects. It is safe for concurrent use.
type Reviewer struct {
	// Mesh is the operator's configuration.
	Mesh *egress.Mesh
	// View is the rest of the cluster.
	View egress.View
	// Policies are those in force.
	Policies Evaluator
}

// Rewrite returns the form in which an object will be stored. The error is Refusals when there is none.
func (r *Reviewer) Rewrite(req Request) (*unstructured.Unstructured, error) {
	s, err := r.subject(req)
	if err != nil {
		return nil, err
	}
	if s.kind.rewrite == nil {
		return req.Object, nil
	}
	return s.kind.rewrite(s)
}

// Intent returns an object as its author wrote it, whatever form it is in. The error is Refusals when that cannot be told.
func (r *Reviewer) Intent(req Request) (*unstructured.Unstructured, error) {
	s, err := r.subject(req)
	if err != nil {
		return nil, err
	}
	return s.intent.DeepCopy(), nil
}

// Review evaluates an object in the form in which it will be stored: what a hop cannot express is refused, what a policy
// forbids is denied, and every reason is in the one outcome. The error is that of an object that cannot be evaluated.
func (r *Reviewer) Review(ctx context.Context, req Request) (*Outcome, error) {
	if req.Operation == Delete {
		return r.leave(req)
	}
	out := &Outcome{}
	s, err := r.judged(req)
	var refusals hop.Refusals
	switch {
	case errors.As(err, &refusals) && req.Operation != Audit && refusals[0].Code == codeTooLarge:
		// Nor are policies to look at it.
		out.add(policy.Decision{}, refusals, "")
		out.link(r.Mesh.DocsURL)
		return out, nil
	case errors.As(err, &refusals):
		// Policies see what was sent, since what was meant cannot be read.
		s = &subject{Request: req, Reviewer: r, intent: req.Object, oldIntent: req.Old}
		out.Facts.Gateway = r.gateway(req).Name
	case err != nil:
		return nil, err
	case s.kind.kept != nil && s.kind.kept(s):
		return &Outcome{Verdict: Allowed}, nil
	default:
		out.Facts, refusals = s.facts(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, evaluationTimeout)
	defer cancel()
	out.Input = s.document(out.Facts)
	decision := r.Policies.Evaluate(ctx, policy.Review{
		Kind: req.Object.GetKind(), Labels: req.Object.GetLabels(), User: policy.User(req.User), Namespace: policy.Namespace{Name: req.Namespace.Name, Labels: req.Namespace.Labels},
		Clients:  policy.Clients{Governed: r.View.Governed(), All: out.Facts.AllClients, Names: out.Facts.Clients},
		Document: out.Input,
	})
	out.Asked, out.Exempt = decision.Asked, Exemption{User: req.User.Name, Policies: decision.Exempt}
	decision.Denied = beside(refusals, decision.Denied)
	out.add(decision, refusals, s.kind.exported)
	if s.kind.warns != nil && (out.Verdict == Allowed || req.Operation == Audit) {
		out.warn(s.kind.warns(s))
	}
	out.link(r.Mesh.DocsURL)
	if out.Verdict == Allowed && s.changed() {
		out.Changes = s.kind.changes(s)
	}
	return out, nil
}

// judged is the subject in the form that it is judged in: that which will be stored, or is to be one day.
func (r *Reviewer) judged(req Request) (*subject, error) {
	s, err := r.subject(req)
	if err != nil || s.kind.stays == nil || !s.kind.stays(s) {
		return s, err
	}
	if req.Object, err = sealedForm(s); err != nil {
		return nil, err
	}
	if s, err = r.subject(req); err == nil {
		s.later = true
	}
	return s, err
}

// gateway returns the egress gateway through which the request's namespace leaves, the zero value for none.
func (r *Reviewer) gateway(req Request) egress.Gateway {
	gw, _ := r.Mesh.GatewayFor(labels.Set(req.Namespace.Labels))
	return gw
}

// subject reads an object as its author wrote it, and its kind's row. The error is hop.Refusals when it is too
// large or its annotation does not decode.
func (r *Reviewer) subject(req Request) (*subject, error) {
	row, known := kinds[req.Object.GetKind()]
	if !known {
		return nil, fmt.Errorf("kind %q is not governed", req.Object.GetKind())
	}
	return r.subjectOf(row, req)
}

func (r *Reviewer) subjectOf(row kind, req Request) (*subject, error) {
	s := &subject{Request: req, Reviewer: r, kind: row, gateway: r.gateway(req)}
	if refusals := s.bounded(); len(refusals) > 0 {
		return nil, refusals
	}
	var err error
	if s.intent, err = row.intent(s, req.Object); err != nil {
		return nil, err
	}
	if req.Old == nil {
		return s, nil
	}
	if s.oldIntent, err = row.intent(s, req.Old); err != nil {
		s.oldIntent = req.Old
	}
	if refusals := forgotten(s); len(refusals) > 0 {
		return nil, refusals
	}
	return s, nil
}

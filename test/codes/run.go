package codes

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/manifest"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/internal/registry"
	"github.com/egress-governor/egress-governor/internal/review"
	"github.com/egress-governor/egress-governor/internal/trace"
	"github.com/egress-governor/egress-governor/policies"
	"github.com/egress-governor/egress-governor/test/proof"
)

// now is when examples are applied.
var now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Answer is what is said of the objects of an example.
type Answer struct {
	Verdict  review.Verdict
	Findings []review.Finding
	// Text is what their author reads.
	Text string
	// Calls are what becomes of the example's, once they are stored.
	Calls []trace.Outcome
}

// Has says whether a finding has a code.
func (a Answer) Has(code string) bool {
	return slices.ContainsFunc(a.Findings, func(finding review.Finding) bool { return finding.Code == code })
}

// Refused answers the example's manifest, Accepted that which is mended.
func (e *Example) Refused(ctx context.Context) (Answer, error) {
	if e.Patch != nil || e.Audited {
		return e.later(ctx, e.Patch, e.Audited)
	}
	out, _, err := e.answer(ctx, e.Whole(), nil)
	return out, err
}

// Accepted answers the mended manifest, and says what becomes of calls then.
func (e *Example) Accepted(ctx context.Context) (Answer, error) {
	if e.Patch != nil || e.Audited {
		return e.later(ctx, nil, false)
	}
	out, session, err := e.answer(ctx, e.Many.whole(e.Mended), e.Asked)
	if err != nil || len(e.Calls) == 0 {
		return out, err
	}
	configuration, mesh := session.Configuration()
	objects, err := session.Held(nil)
	if err != nil {
		return out, err
	}
	cluster, err := trace.New(mesh, trace.Settings{DNSCapture: configuration.Captures(false)}, objects)
	if err != nil {
		return out, err
	}
	for _, text := range e.Calls {
		from, to, _ := strings.Cut(text, " ")
		call, err := trace.ParseCall(from, to)
		if err != nil {
			return out, err
		}
		out.Calls = append(out.Calls, cluster.Of(call))
	}
	return out, nil
}

// session is a cluster without anything, whose gateway is as it was asked for.
func (e *Example) session(asked map[string]any) (*dryrun.Session, error) {
	configuration, err := e.configuration(asked)
	if err != nil {
		return nil, err
	}
	standards, err := proof.Standards(configuration)
	if err != nil {
		return nil, err
	}
	return dryrun.New(dryrun.Options{Configuration: configuration, Standards: standards, Sending: dryrun.Sending{Time: now}})
}

// answer applies manifests to a cluster that has what is there before.
func (e *Example) answer(ctx context.Context, text string, asked map[string]any) (out Answer, session *dryrun.Session, err error) {
	if session, err = e.session(asked); err != nil {
		return out, nil, err
	}
	inForce, err := e.inForce()
	if err != nil {
		return out, nil, err
	}
	for _, before := range []string{inForce, e.Before} {
		answers, err := e.apply(ctx, session, before)
		if err != nil {
			return out, nil, err
		}
		for _, answer := range answers {
			if !answer.Allowed() {
				return out, nil, fmt.Errorf("%s: what is there before is not allowed: %s", e.name(), answer.Message)
			}
		}
	}
	answers, err := e.apply(ctx, session, text)
	if err != nil {
		return out, nil, err
	}
	out.Verdict = review.Allowed
	var said []string
	for _, answer := range answers {
		out.Findings = append(out.Findings, answer.Findings...)
		if !answer.Allowed() {
			out.Verdict = answer.Verdict
			said = append(said, answer.Message)
		}
	}
	for _, finding := range out.Findings {
		if finding.Effect == review.Warned && out.Verdict == review.Allowed {
			said = append(said, "Warning: "+finding.OneLine())
		}
	}
	out.Text = strings.Join(said, "\n")
	return out, session, nil
}

func (e *Example) apply(ctx context.Context, to *dryrun.Session, text string) ([]dryrun.Answer, error) {
	objects, err := manifest.Parse(e.name(), []byte(text))
	if err != nil {
		return nil, err
	}
	return to.Apply(ctx, objects, func() {})
}

// later answers an object after it was sealed: when another webhook laid a patch over it, or, as it was written, in an audit.
func (e *Example) later(ctx context.Context, patch map[string]any, audited bool) (out Answer, err error) {
	configuration, err := e.configuration()
	if err != nil {
		return out, err
	}
	mesh, err := configuration.Mesh()
	if err != nil {
		return out, err
	}
	engine, err := policy.NewEngine(policies.Library())
	if err != nil {
		return out, err
	}
	cluster := registry.New(mesh)
	reviewer := &review.Reviewer{Mesh: mesh, View: cluster, Policies: engine}
	objects, err := manifest.Parse(e.name(), []byte(e.Before+"\n---\n"+e.Manifest))
	if err != nil {
		return out, err
	}
	labels, last := map[string]map[string]string{}, len(objects)-1
	for i, object := range objects {
		if object.GetKind() == "Namespace" {
			labels[object.GetName()] = object.GetLabels()
		}
		request := review.Request{
			Operation: review.Create, Object: object.Unstructured, Name: object.GetName(), Time: now,
			Namespace: review.Namespace{Name: object.GetNamespace(), Labels: labels[object.GetNamespace()]},
		}
		if i == last && audited {
			request.Operation = review.Audit
		} else if request.Object, err = sealed(reviewer, request); err != nil {
			return out, err
		}
		if i == last {
			return judged(ctx, reviewer, request, patch)
		}
		if err := cluster.Put(request.Object); err != nil {
			return out, err
		}
	}
	return out, fmt.Errorf("%s: has no object", e.name())
}

// sealed is an object in the form in which it is stored.
func sealed(by *review.Reviewer, request review.Request) (*unstructured.Unstructured, error) {
	if _, governed := review.ResourceOf(request.Object.GetKind()); !governed {
		return request.Object, nil
	}
	return by.Rewrite(request)
}

// judged answers an object with a patch laid over it.
func judged(ctx context.Context, by *review.Reviewer, request review.Request, patch map[string]any) (out Answer, err error) {
	if request.Object, err = patched(request.Object, patch); err != nil {
		return out, err
	}
	outcome, err := by.Review(ctx, request)
	if err != nil {
		return out, err
	}
	return Answer{Verdict: outcome.Verdict, Findings: outcome.Findings, Text: outcome.Message()}, nil
}

func patched(object *unstructured.Unstructured, patch map[string]any) (*unstructured.Unstructured, error) {
	if patch == nil {
		return object, nil
	}
	was, err := object.MarshalJSON()
	if err != nil {
		return nil, err
	}
	over, err := json.Marshal(patch)
	if err != nil {
		return nil, err
	}
	merged, err := jsonpatch.MergePatch(was, over)
	if err != nil {
		return nil, err
	}
	out := &unstructured.Unstructured{}
	return out, out.UnmarshalJSON(merged)
}

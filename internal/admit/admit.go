// Package admit is the edge between the API server and the decision: it turns an AdmissionReview into a request for
// package review, and the outcome into an answer. Everything that is not a clear yes is a no: a request that does not
// decode, a namespace that cannot be read, a policy that cannot be evaluated.
package admit

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/review"
	"github.com/egress-governor/egress-governor/internal/span"
)

// Paths of the handlers; the chart's webhook configurations name the same.
const (
	MutatePath         = "/mutate"
	ValidatePath       = "/validate"
	ValidatePolicyPath = "/validate-policy"
)

// Reviewer decides on objects.
type Reviewer interface {
	Rewrite(req review.Request) (*unstructured.Unstructured, error)
	Review(ctx context.Context, req review.Request) (*review.Outcome, error)
}

// Recorder takes account of outcomes.
type Recorder interface {
	Record(ctx context.Context, req review.Request, outcome *review.Outcome)
	// Took takes account of how long a handler took for a kind, without the wait for its turn.
	Took(handler, kind string, took time.Duration)
}

// Checker compiles a policy without putting it in force. Warnings and error are for its author.
type Checker interface {
	Check(ctx context.Context, policy *v1alpha1.EgressPolicy) (warnings []string, err error)
}

// Options are what the handlers answer with.
type Options struct {
	// Reviewer decides, Recorder takes account of it, Checker looks at policies.
	Reviewer Reviewer
	Recorder Recorder
	Checker  Checker
	// Namespaces reads Namespace objects, Live the same past any cache, for a namespace the cache has not seen yet.
	Namespaces, Live client.Reader
	// Scheme decodes EgressPolicies.
	Scheme *runtime.Scheme
}

// Handler answers admission requests.
type Handler struct {
	Options
	decoder admission.Decoder
	turns   *turns
	bodies  *bodies
}

// New returns a Handler.
func New(options Options) *Handler {
	return &Handler{
		Options: options, decoder: admission.NewDecoder(options.Scheme), turns: newTurns(inFlight, maxInFlight), bodies: newBodies(),
	}
}

// Register serves the handler on a webhook server.
func (h *Handler) Register(server webhook.Server) {
	for path, handle := range map[string]admission.HandlerFunc{MutatePath: h.Mutate, ValidatePath: h.Validate, ValidatePolicyPath: h.ValidatePolicy} {
		name := strings.TrimPrefix(path, "/")
		server.Register(path, h.bodies.reading(&webhook.Admission{Handler: traced(name, h.bounded(name, handle))}))
	}
}

// bounded lets a request wait for its turn. One whose client has left is not worked on.
func (h *Handler) bounded(name string, handle admission.HandlerFunc) admission.HandlerFunc {
	return func(ctx context.Context, req admission.Request) admission.Response {
		_, turn := span.Part(ctx, "turn")
		defer turn.End()
		done, err := h.turns.take(ctx, &req.AdmissionRequest)
		if err != nil {
			return (&problem{http.StatusServiceUnavailable, fmt.Errorf("waited for the requests before this one: %w", err)}).response(ctx, req)
		}
		turn.End()
		began := time.Now()
		defer func() {
			done()
			h.Recorder.Took(name, kindOf(req), time.Since(began))
		}()
		return handle(ctx, req)
	}
}

// Mutate rewrites an object into the form in which it will be stored. One that cannot be rewritten is refused here, together
// with everything else that is wrong with it: the API server's own policies come before Validate, and say less.
func (h *Handler) Mutate(ctx context.Context, req admission.Request) admission.Response {
	in, problem := h.decoded(ctx, req)
	if problem != nil {
		return problem.response(ctx, req)
	}
	if in.Operation == review.Delete {
		return malformed("operation %q rewrites nothing", req.Operation).response(ctx, req)
	}
	if review.Finalizing(in.Object, in.Old) {
		return admission.Allowed("")
	}
	rewritten, err := h.rewrite(ctx, in)
	var refusals review.Refusals
	if errors.As(err, &refusals) {
		if outcome, err := h.review(ctx, in); err != nil || outcome.Verdict != review.Allowed {
			return h.answer(ctx, req, in, outcome, err)
		}
		// What it waited for is there now.
		rewritten, err = h.rewrite(ctx, in)
	}
	switch {
	case errors.As(err, &refusals):
		return admission.Allowed("")
	case err != nil:
		return broken(err).response(ctx, req)
	}
	out := admission.Allowed("")
	if rewritten != in.Object {
		out.Patches = patch(in.Object.Object, rewritten.Object)
	}
	return out
}

// Validate evaluates the object that will be stored.
func (h *Handler) Validate(ctx context.Context, req admission.Request) admission.Response {
	in, problem := h.decoded(ctx, req)
	if problem != nil {
		return problem.response(ctx, req)
	}
	if review.Finalizing(in.Object, in.Old) {
		return admission.Allowed("")
	}
	outcome, err := h.review(ctx, in)
	return h.answer(ctx, req, in, outcome, err)
}

func (h *Handler) answer(ctx context.Context, req admission.Request, in review.Request, outcome *review.Outcome, err error) admission.Response {
	if err != nil {
		return broken(err).response(ctx, req)
	}
	h.Recorder.Record(ctx, in, outcome)
	decided(span.Current(ctx), outcome)
	return answer(in, outcome)
}

const (
	// lag is how long the cache may take to know what was stored before this object, lookAgain how often that is looked for.
	lag       = 500 * time.Millisecond
	lookAgain = 50 * time.Millisecond
)

// review decides on an object, and once more while it is refused for want of one that was applied just before it.
func (h *Handler) review(ctx context.Context, in review.Request) (outcome *review.Outcome, err error) {
	outcome, err = h.reviewed(ctx, in)
	if err != nil || !outcome.Waits() {
		return outcome, err
	}
	// The lag bounds how often it is looked at, and not how long the policies may take.
	_ = wait.PollUntilContextTimeout(ctx, lookAgain, lag, false, func(context.Context) (bool, error) {
		outcome, err = h.reviewed(ctx, in)
		return err != nil || !outcome.Waits(), nil
	})
	return outcome, err
}

func (h *Handler) reviewed(ctx context.Context, in review.Request) (*review.Outcome, error) {
	ctx, part := span.Part(ctx, "review")
	defer part.End()
	return h.Reviewer.Review(ctx, in)
}

// ValidatePolicy refuses an EgressPolicy that does not compile or whose parameters do not fit, with file and line.
func (h *Handler) ValidatePolicy(ctx context.Context, req admission.Request) admission.Response {
	if req.Kind.Group != v1alpha1.GroupVersion.Group || req.Kind.Kind != "EgressPolicy" {
		return malformed("kind %s %s is not an EgressPolicy", req.Kind.Group, req.Kind.Kind).response(ctx, req)
	}
	if len(req.Object.Raw) == 0 {
		return malformed("object: is empty").response(ctx, req)
	}
	egressPolicy := &v1alpha1.EgressPolicy{}
	if err := h.decoder.Decode(req, egressPolicy); err != nil {
		return malformed("object: %w", err).response(ctx, req)
	}
	if unchanged, err := h.unchanged(req, egressPolicy); err != nil {
		return malformed("oldObject: %w", err).response(ctx, req)
	} else if unchanged {
		return admission.Allowed("")
	}
	warnings, err := h.Checker.Check(ctx, egressPolicy)
	if err != nil {
		return unfit(ctx, req, err)
	}
	return admission.Allowed("").WithWarnings(warnings...)
}

// unchanged says that a policy which is on its way out loses its finalizers, whatever became of its Rego meanwhile.
func (h *Handler) unchanged(req admission.Request, next *v1alpha1.EgressPolicy) (bool, error) {
	if next.DeletionTimestamp == nil || len(req.OldObject.Raw) == 0 {
		return false, nil
	}
	old := &v1alpha1.EgressPolicy{}
	err := h.decoder.DecodeRaw(req.OldObject, old)
	return equality.Semantic.DeepEqual(old.Spec, next.Spec), err
}

package admit

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/egress-governor/egress-governor/internal/review"
	"github.com/egress-governor/egress-governor/internal/span"
)

// traced tells a request as a span, whose trace is in what is logged of it.
func traced(name string, handle admission.HandlerFunc) admission.HandlerFunc {
	return func(ctx context.Context, req admission.Request) admission.Response {
		ctx, whole := span.Answer(ctx, "admission "+name)
		if !whole.Recorded() {
			return handle(ctx, req)
		}
		defer whole.End()
		whole.Set(span.RequestID, string(req.UID))
		whole.Set(span.Kind, kindOf(req))
		whole.Set(span.Operation, string(req.Operation))
		whole.Set(span.Namespace, req.Namespace)
		whole.Set(span.Name, req.Name)
		whole.Set(span.User, req.UserInfo.Username)
		whole.SetBool(span.DryRun, req.DryRun != nil && *req.DryRun)
		out := handle(log.IntoContext(ctx, log.FromContext(ctx).WithValues("traceID", whole.TraceID())), req)
		if !out.Allowed && out.Result != nil && out.Result.Code >= 500 {
			whole.Fail("failed")
		}
		return out
	}
}

// decided tells what was decided, by the codes of the reasons.
func decided(of span.Span, outcome *review.Outcome) {
	if !of.Recorded() {
		return
	}
	of.Set(span.Verdict, string(outcome.Verdict))
	var codes []string
	for _, finding := range outcome.Reasons() {
		if len(codes) == review.MaxReasons {
			break
		}
		codes = append(codes, finding.Code)
	}
	of.SetAll(span.Codes, codes)
}

// decoded is read, as a part of the request's span.
func (h *Handler) decoded(ctx context.Context, req admission.Request) (review.Request, *problem) {
	ctx, part := span.Part(ctx, "decode")
	defer part.End()
	out, problem := h.read(ctx, req)
	if problem != nil {
		part.Fail("malformed")
	}
	return out, problem
}

// rewrite has an object rewritten, as a part of the request's span.
func (h *Handler) rewrite(ctx context.Context, in review.Request) (*unstructured.Unstructured, error) {
	_, part := span.Part(ctx, "seal")
	defer part.End()
	return h.Reviewer.Rewrite(in)
}

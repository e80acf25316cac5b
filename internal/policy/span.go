package policy

import (
	"context"

	"github.com/egress-governor/egress-governor/internal/span"
)

// begun begins a policy's part of the request's span.
func begun(ctx context.Context, policy *compiled, client Client) (context.Context, span.Span) {
	ctx, part := span.Part(ctx, "policy")
	part.Set(span.Policy, policy.name)
	if client.Name != "" {
		part.Set(span.Client, client.Name)
	}
	return ctx, part
}

// tell ends that part with what the policy answered.
func tell(part span.Span, of answer) {
	part.SetInt(span.Denied, len(of.denied))
	part.SetInt(span.Warned, len(of.warned))
	if of.err != nil {
		part.Fail(CodeEvaluationFailed)
	}
	part.End()
}

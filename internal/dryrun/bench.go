package dryrun

import (
	"context"

	"github.com/egress-governor/egress-governor/internal/policy"
)

// Evaluation returns what evaluates one EgressPolicy in force once more for an answer, as the webhook does; nil where it is not asked.
// The error is that of a policy that is not in force, or could not be evaluated.
func (s *Session) Evaluation(ctx context.Context, of Answer, name string) (func(context.Context) policy.Decision, error) {
	if of.review == nil {
		return nil, nil
	}
	engine, err := s.engine.Only(name)
	if err != nil {
		return nil, err
	}
	evaluate := func(ctx context.Context) policy.Decision { return engine.Evaluate(ctx, *of.review) }
	switch once := evaluate(ctx); {
	case len(once.Asked) == 0:
		return nil, nil
	case len(once.Failed) > 0:
		return nil, once.Failed[0].Err
	}
	return evaluate, ctx.Err()
}

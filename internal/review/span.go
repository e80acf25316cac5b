package review

import (
	"context"
	"slices"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/span"
)

// facts are what the subject does, and what cannot be expressed of it, as a part of the request's span.
func (s *subject) facts(ctx context.Context) (egress.Facts, hop.Refusals) {
	_, part := span.Part(ctx, "facts")
	defer part.End()
	out, refusals := s.kind.examine(s)
	return out, slices.Concat(refusals, revision(s), unreachable(s))
}

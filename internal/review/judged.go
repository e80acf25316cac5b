package review

import (
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// What is evaluated by policies alone.

func examineNothing(s *subject) (egress.Facts, hop.Refusals) {
	return egress.Facts{Gateway: s.gateway.Name}, nil
}

func examineWorkload(s *subject) (egress.Facts, hop.Refusals) {
	return egress.WorkloadFacts(s.Object, s.gateway, s.Mesh, s.View), nil
}

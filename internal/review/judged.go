package review

import (
	"slices"

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

// keptCrossing says whether the subject is a crossing (hop.Crossing), whoever wrote it, of hosts that the namespace calls by entries: it leads their
// calls to the egress gateway that these are sealed to, or are to be, and does nothing that was to be judged.
func keptCrossing(s *subject) bool {
	ports, is := hop.CrossedBy(s.Object, s.Mesh)
	return is && !slices.ContainsFunc(ports, func(of hop.Crossed) bool {
		entry := egress.Serving(s.View.Entries(of.Host), s.Namespace.Name)
		return entry == nil || entry.Leg() != of.Gateway.Leg() && entry.Moving != of.Gateway.Leg() || !slices.ContainsFunc(entry.Ports, func(port egress.Port) bool { return port.Number == of.Port.Number })
	})
}

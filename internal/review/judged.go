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
	owner := s.Object.GetLabels()[hop.CrossingLabel]
	return is && !slices.ContainsFunc(ports, func(of hop.Crossed) bool { return !s.goesBy(of, owner) })
}

// goesBy says whether the namespace calls a port by an entry of an owner, for whom metrics count the calls, that is sealed to the gateway, or is
// to be.
func (s *subject) goesBy(of hop.Crossed, owner string) bool {
	entries, leg := s.View.Entries(of.Host), of.Gateway.Leg()
	serving := egress.Serving(entries, s.Namespace.Name)
	return serving != nil && serving.Namespace == owner && slices.ContainsFunc(entries, func(entry *egress.Entry) bool {
		return entry.Namespace == serving.Namespace && (entry.Leg() == leg || entry.Moving == leg) &&
			slices.ContainsFunc(entry.Ports, func(port egress.Port) bool { return port.Number == of.Port.Number })
	})
}

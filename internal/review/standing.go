package review

import (
	"cmp"
	"slices"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// standing is a VirtualService beside others of a host that has some ports.
type standing struct {
	ours *egress.Rival
	// others are the oldest beside it.
	others []*egress.Rival
	host   string
	ports  []egress.Port
	left   *budget
	// serving has the routes that each has for calls of the host, ranks how the client that is looked at sees them.
	serving map[*egress.Rival]egress.Served
	ranks   map[*egress.Rival]int
	out     []contest
}

// contests holds the one against the others, as each client sees them, port by port; of no use once the budget is spent.
func (s *standing) contests() []contest {
	s.serving = map[*egress.Rival]egress.Served{}
	for _, of := range append(slices.Clone(s.others), s.ours) {
		if s.left.spend(of.Kinds() + len(of.ExportTo)) {
			s.serving[of] = of.Serving(s.host)
		}
	}
	if s.left.spent() {
		return nil
	}
	for _, client := range s.clients() {
		line := s.line(client)
		at := slices.Index(line, s.ours)
		for _, port := range s.ports {
			s.lose(line[:at], client, port)
			for i := at + 1; i < len(line); i++ {
				s.win(line[:i], line[i], client, port)
			}
			if !s.left.spend(1) {
				return nil
			}
		}
	}
	return s.out
}

// line returns those that a client sees, in the order that Istio has them in.
func (s *standing) line(client string) []*egress.Rival {
	s.ranks = map[*egress.Rival]int{}
	out := []*egress.Rival{s.ours}
	for _, of := range s.others {
		if s.ranks[of] = of.Rank(client); s.ranks[of] > 0 {
			out = append(out, of)
		}
	}
	s.ranks[s.ours] = s.ours.Rank(client)
	slices.SortFunc(out, func(a, b *egress.Rival) int { return cmp.Or(s.ranks[b]-s.ranks[a], a.Older(b)) })
	return out
}

// over says whether one that comes first leaves another without effect.
func (s *standing) over(first, then *egress.Rival, port egress.Port) bool {
	a, b := s.serving[first], s.serving[then]
	return s.left.spend(1+len(a)+len(a)*len(b)) && a.Over(b, s.host, port)
}

// lose notes by which of those before it ours is without effect.
func (s *standing) lose(before []*egress.Rival, client string, port egress.Port) {
	i := slices.IndexFunc(before, func(of *egress.Rival) bool { return s.over(of, s.ours, port) })
	if i < 0 {
		return
	}
	winner := before[i]
	named := s.ranks[winner] > s.ranks[s.ours]
	// A namespace that has routes for its own calls goes by these on purpose, whatever others export.
	if !named || !winner.IsOwn(client) || s.ours.Namespace == client {
		s.note(contest{other: winner, named: named}, client, port.Number)
	}
}

// win notes that one of those after ours is without effect by it alone; one that is exported to fewer stands before the rest on purpose.
func (s *standing) win(before []*egress.Rival, loser *egress.Rival, client string, port egress.Port) {
	other := func(of *egress.Rival) bool { return of != s.ours && s.over(of, loser, port) }
	if s.ranks[s.ours] == s.ranks[loser] && s.over(s.ours, loser, port) && !slices.ContainsFunc(before, other) {
		s.note(contest{other: loser, won: true}, client, port.Number)
	}
}

func (s *standing) note(of contest, client string, port uint32) {
	of.ours = s.ours
	i := slices.IndexFunc(s.out, func(known contest) bool {
		return known.other == of.other && known.won == of.won && known.named == of.named
	})
	if i < 0 {
		i, s.out = len(s.out), append(s.out, of)
	}
	s.out[i].add(client, port)
}

// clients returns those of which each may go by another VirtualService; "" stands for all who see what is exported to everybody.
func (s *standing) clients() []string {
	out, all := egress.Clients(s.ours.ExportTo, s.ours.Namespace)
	if all {
		out = []string{""}
		for _, of := range s.others {
			names, _ := egress.Clients(of.ExportTo, of.Namespace)
			out = append(out, names...)
		}
		slices.Sort(out)
		out = slices.Compact(out)
	}
	return out[:min(len(out), maxClients)]
}

// measure notes whether a contest is about all clients and ports.
func (s *standing) measure(of *contest) {
	loser, _ := of.losing()
	names, all := egress.Clients(loser.ExportTo, loser.Namespace)
	if all {
		names = []string{""}
	}
	of.everybody = !slices.ContainsFunc(names, func(client string) bool { return !slices.Contains(of.clients, client) })
	of.everything = !slices.ContainsFunc(s.ports, func(port egress.Port) bool {
		return s.serving[loser].At(port) && !slices.Contains(of.ports, port.Number)
	})
}

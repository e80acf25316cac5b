package review

import (
	"slices"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// standing is a VirtualService beside others of a host that has some ports.
type standing struct {
	ours   *egress.Rival
	others []*egress.Rival
	host   string
	ports  []egress.Port
	out    []contest
}

// contests holds the one against the others, as each client sees them, port by port.
func (s *standing) contests() []contest {
	for _, client := range s.clients() {
		line := append(slices.DeleteFunc(slices.Clone(s.others), func(of *egress.Rival) bool { return of.Rank(client) == 0 }), s.ours)
		slices.SortFunc(line, func(a, b *egress.Rival) int { return a.Before(b, client) })
		at := slices.Index(line, s.ours)
		for _, port := range s.ports {
			s.lose(line[:at], client, port)
			for i := at + 1; i < len(line); i++ {
				s.win(line[:i], line[i], client, port)
			}
		}
	}
	for i := range s.out {
		s.out[i].measure(s.host, s.ports)
	}
	return s.out
}

// lose notes by which of those before it ours is without effect.
func (s *standing) lose(before []*egress.Rival, client string, port egress.Port) {
	i := slices.IndexFunc(before, func(of *egress.Rival) bool { return of.Over(s.ours, s.host, port) })
	if i < 0 {
		return
	}
	winner := before[i]
	named := winner.Rank(client) > s.ours.Rank(client)
	// A namespace that has routes for its own calls goes by these on purpose, whatever others export.
	if !named || !winner.IsOwn(client) || s.ours.Namespace == client {
		s.note(contest{other: winner, named: named}, client, port.Number)
	}
}

// win notes that one of those after ours is without effect by it alone; one that is exported to fewer stands before the rest on purpose.
func (s *standing) win(before []*egress.Rival, loser *egress.Rival, client string, port egress.Port) {
	other := func(of *egress.Rival) bool { return of != s.ours && of.Over(loser, s.host, port) }
	if s.ours.Over(loser, s.host, port) && s.ours.Rank(client) == loser.Rank(client) && !slices.ContainsFunc(before, other) {
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

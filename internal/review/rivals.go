package review

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// What is looked at of one object: people have a host twice, by mistake.
const (
	// maxShared is of how many hosts that others have, too, maxRivals how many others of a host, the oldest, and maxClients how many
	// namespaces that may each go by another of these.
	maxShared, maxRivals, maxClients = 100, 20, 20
)

// rivals tells of other VirtualServices of a host outside, of which Istio goes by one and says nothing. Whoever renames one applies the
// new before the old is gone, so that nothing is refused.
func rivals(s *subject) (out []egress.Finding) {
	ours := s.rival(s.Object)
	if ours == nil {
		return nil
	}
	shared, left := 0, newBudget()
	for i, written := range egress.Hosts(s.Object) {
		host := s.Mesh.Qualify(written, s.Namespace.Name)
		others := s.others(ours, host, left)
		if len(others) == 0 {
			continue
		}
		contests := s.contests(ours, others, host, left)
		if left.spent() {
			break
		}
		for _, of := range contests {
			out = append(out, of.finding(written, field.NewPath("spec", "hosts").Index(i)))
		}
		if shared++; shared == maxShared || len(out) >= MaxReasons {
			break
		}
	}
	return out[:min(len(out), MaxReasons)]
}

// others returns the oldest that name a host beside ours.
func (s *subject) others(ours *egress.Rival, host string, left *budget) []*egress.Rival {
	out := slices.DeleteFunc(s.View.Rivals(s.Namespace.Name, host), func(of *egress.Rival) bool {
		return of.Namespace == ours.Namespace && of.Name == ours.Name
	})
	left.spend(len(out))
	slices.SortFunc(out, func(a, b *egress.Rival) int { return a.Older(b) })
	return out[:min(len(out), maxRivals)]
}

// rival is an object of the subject beside others of its hosts; nil where it stands beside none.
func (s *subject) rival(of *unstructured.Unstructured) *egress.Rival {
	if of == nil || hop.IsClientRoute(of) {
		return nil
	}
	out := egress.ReadRival(of, s.Mesh)
	if out != nil {
		out.Namespace, out.Name = s.Namespace.Name, s.Object.GetName()
	}
	return out
}

// contest is what becomes of two VirtualServices of a host: for some clients and ports one of them is without effect.
type contest struct {
	ours, other *egress.Rival
	// won says that the other is, named that this is so since the one that counts is exported by name.
	won, named bool
	clients    []string
	ports      []uint32
	// everybody and everything say that this is so for all clients that see the one without effect, and for all ports that it has routes of.
	everybody, everything bool
}

// contests returns those of a host that are news to an author.
func (s *subject) contests(ours *egress.Rival, others []*egress.Rival, host string, left *budget) []contest {
	now := &standing{ours: ours, others: others, host: host, ports: s.portsOutside(host, left), left: left}
	stood := map[*egress.Rival]bool{}
	if before := s.rival(s.Old); before != nil && slices.Contains(before.Hosts, host) {
		for _, of := range (&standing{ours: before, others: others, host: host, ports: now.ports, left: left}).contests() {
			stood[of.other] = of.won
		}
	}
	out := slices.DeleteFunc(now.contests(), func(of contest) bool {
		// What the exportTo of the two says is meant once it is stored, and of the other the audit tells where it is judged itself.
		return s.Operation == Audit && (of.won || of.named) || of.won && stood[of.other]
	})
	for i := range out {
		now.measure(&out[i])
	}
	return out
}

// portsOutside returns the ports of the external entries of a host, and of those that a wildcard stands for, until the budget is spent.
func (s *subject) portsOutside(host string, left *budget) (out []egress.Port) {
	seen := map[egress.Port]bool{}
	for _, known := range s.View.Below(host) {
		for _, entry := range s.View.Entries(known) {
			if !left.spend(len(entry.Ports)) {
				return nil
			}
			for _, port := range entry.Ports {
				if entry.External && !seen[port] {
					seen[port] = true
					out = append(out, port)
				}
			}
		}
	}
	return out
}

func (c *contest) add(client string, port uint32) {
	if !slices.Contains(c.clients, client) {
		c.clients = append(c.clients, client)
	}
	if !slices.Contains(c.ports, port) {
		c.ports = append(c.ports, port)
	}
}

// losing returns the two, the one first that is without effect.
func (c *contest) losing() (loser, winner *egress.Rival) {
	if c.won {
		return c.other, c.ours
	}
	return c.ours, c.other
}

func (c *contest) finding(host string, at *field.Path) egress.Finding {
	other := "VirtualService " + c.other.Namespace + "/" + c.other.Name
	out := egress.Finding{
		Code: "duplicate-routes", Field: at.String(),
		Message: fmt.Sprintf("host %q is in %s, too, and Istio does not merge the two: that one counts, %s, and these routes are without effect%s", host, other, c.why(), c.scope()),
		Fix:     fmt.Sprintf("write these routes into %s and remove the host here, or delete that one if this takes its place", other),
	}
	if c.won {
		out.Message = fmt.Sprintf("host %q is in %s, too, and Istio does not merge the two: this one counts, %s, and the routes of that one are without effect%s from now on", host, other, c.why(), c.scope())
		out.Fix = fmt.Sprintf("write its routes in here and delete %s, or remove the host here", other)
	}
	if c.other.Namespace != c.ours.Namespace {
		out.Fix = fmt.Sprintf(`agree with the owners of %s on one of the two, or set exportTo: ["."], so that each is for the calls of its own namespace`, other)
	}
	return out
}

// why says of the one that counts why it does.
func (c *contest) why() string {
	loser, winner := c.losing()
	switch {
	case c.named:
		return "whose exportTo names the namespace"
	case winner.Created.Equal(loser.Created):
		return "which was made in the same second and comes first by its name"
	}
	return "which is older"
}

// scope says for whose calls, and to which ports, the other is without effect; empty for all.
func (c *contest) scope() (out string) {
	if !c.everything {
		numbers := make([]string, len(c.ports))
		for i, port := range c.ports {
			numbers[i] = fmt.Sprint(port)
		}
		out = " at port " + strings.Join(bounded(numbers), ", ")
	}
	if names := slices.DeleteFunc(slices.Clone(c.clients), func(name string) bool { return name == "" }); !c.everybody && len(names) > 0 {
		out += " for calls of namespace " + strings.Join(bounded(names), ", ")
	}
	return out
}

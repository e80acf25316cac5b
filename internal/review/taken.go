package review

import (
	"cmp"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// taken refuses an entry by which clients of another namespace would no longer find a host by the entry of a third: Istio shows a
// namespace one entry of a host, and says nothing of what the others have, and routes and rules beside that one are for its clients. What
// is stored already and is not made worse is not refused.
func taken(s *subject, intent *egress.ServiceEntry) (out hop.Refusals) {
	aged := *s.listens(intent) // which is not to be changed
	aged.Created = s.Object.GetCreationTimestamp().Time
	ours := &aged
	before, _ := s.listenedBefore()
	clients, all := egress.Clients(ours.ExportTo, ours.Namespace)
	if all {
		// One that has no entry of its own, and to which nobody exports by name.
		clients = []string{""}
	}
	for i, host := range ours.Hosts {
		stored := s.View.Entries(host)
		others := slices.DeleteFunc(slices.Clone(stored), s.is)
		was, without, now := egress.Servings(stored, clients), egress.Servings(others, clients), egress.Servings(with(others, ours), clients)
		allowed := map[taking]bool{}
		for _, client := range clients {
			theirs := without[client]
			if client == ours.Namespace || theirs == nil || theirs.Namespace == ours.Namespace || now[client] != ours {
				continue
			}
			of := taking{theirs, was[client] != nil && s.is(was[client])}
			if allowed[of] {
				continue
			}
			reason := lacks(ours, theirs)
			if allowed[of] = of.allowed(reason, before); allowed[of] {
				continue
			}
			out = append(out, egress.Finding{
				Code: "host-taken", Field: field.NewPath("spec", "hosts").Index(i).String(),
				Message: fmt.Sprintf("%s by ServiceEntry %s/%s, and would by this one, %s", callers(client, intent.Hosts[i]), theirs.Namespace, theirs.Name, cmp.Or(reason, "under whatever is said of it beside that")),
				Fix:     hostTakenFix,
			})
			break
		}
	}
	return append(out, takenBelow(s, ours, before)...)
}

// taking is that clients of an entry of another namespace find another, which they may do by what is stored.
type taking struct {
	theirs *egress.Entry
	stood  bool
}

// allowed says whether they may, where the other lacks something, and did so before: what is not made worse is not refused.
func (t taking) allowed(reason string, before *egress.Entry) bool {
	if t.stood {
		return reason == "" || before != nil && lacks(before, t.theirs) == reason
	}
	return reason == "" && (t.theirs.Observed || t.theirs.Terminating)
}

const hostTakenFix = `set exportTo: ["."], which leaves to others by which entry they call the host`

// takenBelow refuses hosts below a wildcard by which other namespaces call them, where one of the two is the mesh's own: their calls would end
// elsewhere. Of hosts outside below one outside the exits of both say so, and those that the entry's own namespace makes are its own to lead.
// The names of a registry are nobody's to hold against the hosts below.
func takenBelow(s *subject, ours, before *egress.Entry) (out hop.Refusals) {
	if !leadsOthers(ours) {
		return nil
	}
	for i, host := range ours.Hosts {
		if before != nil && slices.Contains(before.Hosts, host) && slices.Equal(before.ExportTo, ours.ExportTo) {
			continue
		}
		for _, wildcard := range egress.Patterns(host)[1:] {
			entries := s.View.Entries(wildcard)
			at := slices.IndexFunc(entries, func(theirs *egress.Entry) bool {
				names, all := ours.Both(theirs)
				elsewhere := !ours.External
				if !theirs.External {
					elsewhere = !egress.OfRegistry(wildcard)
				}
				return elsewhere && theirs.Namespace != ours.Namespace && (all || amongOthers(names, ours.Namespace))
			})
			if at < 0 {
				continue
			}
			out = append(out, egress.Finding{
				Code: "host-taken", Field: field.NewPath("spec", "hosts").Index(i).String(),
				Message: fmt.Sprintf("namespace %q calls host %q by ServiceEntry %s/%s for %q, and by this one its calls would %s", entries[at].Namespace, host, entries[at].Namespace, entries[at].Name, wildcard, end(ours, entries[at])),
				Fix:     hostTakenFix,
			})
			break
		}
	}
	return out
}

// with returns entries, oldest first, with one more; one that is not stored yet is the youngest.
func with(entries []*egress.Entry, entry *egress.Entry) []*egress.Entry {
	at := len(entries)
	if !entry.Created.IsZero() {
		at, _ = slices.BinarySearchFunc(entries, entry, (*egress.Entry).Older)
	}
	return slices.Insert(slices.Clone(entries), at, entry)
}

// lacks says what of one entry of a host another does not have for its clients, "" for nothing.
func lacks(entry, of *egress.Entry) string {
	if !entry.External || !of.External {
		return "by which their calls would " + end(entry, of)
	}
	if entry.Gateway != of.Gateway {
		return "which does not lead to the same egress gateway"
	}
	for _, port := range of.Ports {
		if !slices.ContainsFunc(entry.Ports, func(p egress.Port) bool { return p.Number == port.Number }) {
			return fmt.Sprintf("which has no port %d", port.Number)
		}
	}
	return ""
}

// end says where calls would end by an entry that do not by another.
func end(entry, of *egress.Entry) string {
	switch {
	case entry.External:
		return "leave the mesh"
	case of.External:
		return "stay in the mesh"
	}
	return "end elsewhere in the mesh"
}

// keepCalls tells of namespaces that an entry is exported to, and that go on calling a host by the entry of a third, which does not lead there.
func keepCalls(s *subject, intent *egress.ServiceEntry) (out []string) {
	ours, left := s.listens(intent), newBudget()
	for i, host := range ours.Hosts {
		others := slices.DeleteFunc(slices.Clone(s.View.Entries(host)), s.is)
		if !left.spend(compared(others)) {
			break
		}
		kept := callersOf(with(others, ours), ours)
		for _, theirs := range others {
			if theirs.Namespace == ours.Namespace {
				continue // Istio joins the two, or it is refused that it hides ports (apart)
			}
			client, keeps := kept[theirs]
			if !keeps || !left.spend(len(ours.Ports)) {
				continue
			}
			if reason := lacks(theirs, ours); reason != "" {
				out = append(out, fmt.Sprintf("spec.hosts[%d]: %s by ServiceEntry %s/%s, and not by this one, %s; ask its owners to remove the host",
					i, callers(client, intent.Hosts[i]), theirs.Namespace, theirs.Name, reason))
				break
			}
		}
	}
	return out
}

// callersOf returns the first client of ours, among those of other namespaces, of each entry that some find the host by.
func callersOf(entries []*egress.Entry, ours *egress.Entry) map[*egress.Entry]string {
	clients, all := egress.Clients(ours.ExportTo, ours.Namespace)
	if all {
		clients = slices.Sorted(slices.Values(egress.Askers(entries)))
	}
	found, out := egress.Servings(entries, clients), map[*egress.Entry]string{}
	for _, client := range clients {
		theirs := found[client]
		if theirs == nil || client == ours.Namespace || client == theirs.Namespace {
			continue
		}
		if _, known := out[theirs]; !known {
			out[theirs] = client
		}
	}
	return out
}

func callers(client, host string) string {
	if client == "" {
		return fmt.Sprintf("namespaces without an entry of host %q call it", host)
	}
	return fmt.Sprintf("namespace %q calls host %q", client, host)
}

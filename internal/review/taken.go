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
		for _, client := range clients {
			theirs := egress.Serving(others, client)
			if client == ours.Namespace || theirs == nil || theirs.Namespace == ours.Namespace || egress.Serving(with(others, ours), client) != ours {
				continue
			}
			reason := lacks(ours, theirs)
			if was := egress.Serving(stored, client); was != nil && s.is(was) {
				if reason == "" || before != nil && lacks(before, theirs) == reason {
					continue
				}
			} else if reason == "" && (theirs.Observed || theirs.Terminating) {
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
	ours := s.listens(intent)
	for i, host := range ours.Hosts {
		others := slices.DeleteFunc(slices.Clone(s.View.Entries(host)), s.is)
		for _, theirs := range others {
			if theirs.Namespace == ours.Namespace {
				continue // Istio joins the two, or it is refused that it hides ports (apart)
			}
			clients, all := egress.Clients(theirs.ExportTo, theirs.Namespace)
			if all {
				clients = []string{""}
			}
			at := slices.IndexFunc(clients, func(client string) bool {
				return client != ours.Namespace && client != theirs.Namespace && egress.Exports(ours.ExportTo, ours.Namespace, client) &&
					egress.Serving(with(others, ours), client) == theirs
			})
			if reason := lacks(theirs, ours); at >= 0 && reason != "" {
				out = append(out, fmt.Sprintf("spec.hosts[%d]: %s by ServiceEntry %s/%s, and not by this one, %s; ask its owners to remove the host",
					i, callers(clients[at], intent.Hosts[i]), theirs.Namespace, theirs.Name, reason))
				break
			}
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

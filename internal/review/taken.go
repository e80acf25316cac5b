package review

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// taken refuses an entry by which clients of another namespace would no longer find what they find of a host by the entry of
// a third: Istio shows a namespace one entry of a host, and says nothing of what the others have. What is stored already and
// is not made worse is not refused.
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
			was := egress.Serving(stored, client)
			if reason == "" || before != nil && was != nil && s.is(was) && lacks(before, theirs) == reason {
				continue
			}
			out = append(out, egress.Finding{
				Code: "host-taken", Field: field.NewPath("spec", "hosts").Index(i).String(),
				Message: fmt.Sprintf("%s by ServiceEntry %s/%s, and would by this one, %s", callers(client, intent.Hosts[i]), theirs.Namespace, theirs.Name, reason),
				Fix:     `set exportTo: ["."], or name namespaces that do not call the host yet`,
			})
			break
		}
	}
	if !intent.External() {
		out = append(out, takenBelow(s, ours, before)...)
	}
	return out
}

// takenBelow refuses hosts of the mesh's own below a wildcard by which other namespaces leave: their calls to it would stay in the mesh.
// Of a host outside the exits of both say so, and those that the entry's own namespace makes are its own to lead.
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
				return theirs.Gateway != "" && theirs.Namespace != ours.Namespace && (all || amongOthers(names, ours.Namespace))
			})
			if at < 0 {
				continue
			}
			out = append(out, egress.Finding{
				Code: "host-taken", Field: field.NewPath("spec", "hosts").Index(i).String(),
				Message: fmt.Sprintf("namespace %q calls host %q by ServiceEntry %s/%s for %q, and by this one its calls would stay in the mesh", entries[at].Namespace, host, entries[at].Namespace, entries[at].Name, wildcard),
				Fix:     `set exportTo: ["."], or name namespaces that do not call the host yet`,
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
	if entry.Gateway != of.Gateway && of.External {
		return "which does not lead to the same egress gateway"
	}
	for _, port := range of.Ports {
		if !slices.ContainsFunc(entry.Ports, func(p egress.Port) bool { return p.Number == port.Number }) {
			return fmt.Sprintf("which has no port %d", port.Number)
		}
	}
	return ""
}

func callers(client, host string) string {
	if client == "" {
		return fmt.Sprintf("namespaces without an entry of host %q call it", host)
	}
	return fmt.Sprintf("namespace %q calls host %q", client, host)
}

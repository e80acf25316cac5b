package review

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// conflicts finds hosts that another entry defines otherwise: the first comer keeps the exit, and may not change it
// under those who came after and agreed. What is stored already and is not made worse is no conflict of this write.
func conflicts(s *subject, intent *egress.ServiceEntry, sealed egress.Gateway) (out []egress.Conflict) {
	definition, was := s.defines(intent), before(s)
	for i, host := range intent.Hosts {
		canonical := egress.Canonical(host)
		if old, named := was[canonical]; named && old.Equal(definition) {
			continue
		}
		others := s.View.Exit(canonical, sealed.Namespace()).Without(s.Object.GetNamespace(), s.Object.GetName())
		if against := others.Against(definition.Under(s.View.Rule(s.Namespace.Name, canonical))); against.Owner != nil && !against.Owner.Observed {
			out = append(out, egress.Conflict{Contradiction: against, Host: host, Path: field.NewPath("spec", "hosts").Index(i)})
		}
	}
	return out
}

// apart refuses an entry beside another of its namespace whose ports clients would not see together: Istio says nothing
// of it.
func apart(s *subject, intent *egress.ServiceEntry) (out hop.Refusals) {
	resolution, _, _ := unstructured.NestedString(s.Object.Object, "spec", "resolution")
	ours := &egress.Entry{
		Labels: s.Object.GetLabels(), Resolution: resolution, ExportTo: s.exportTo(), Ports: intent.Ports,
		Namespace: s.Namespace.Name, Name: s.Object.GetName(), Created: s.Object.GetCreationTimestamp().Time,
	}
	for i, host := range intent.Hosts {
		for _, other := range s.View.Entries(egress.Canonical(host)) {
			if other.Namespace != s.Namespace.Name || s.is(other) {
				continue
			}
			older, younger := other, ours
			// One that is not stored yet is the youngest.
			if !ours.Created.IsZero() && ours.Older(other) < 0 {
				older, younger = ours, other
			}
			if port := egress.Hidden(older, younger); port != 0 {
				out = append(out, egress.Finding{
					Code: "split-host", Field: field.NewPath("spec", "hosts").Index(i).String(),
					Message: fmt.Sprintf("host %q is also in ServiceEntry %s/%s, and Istio would hide port %d of one of the two, since they differ in resolution, exportTo or labels",
						host, other.Namespace, other.Name, port),
					Fix: "merge the two into one ServiceEntry, or give both the same resolution, exportTo and labels",
				})
				break
			}
		}
	}
	return out
}

// overlaps refuses a host under somebody's wildcard, and a wildcard over somebody's host, that the gateway could not lead
// as both say: it takes the more specific for everyone.
func overlaps(s *subject, intent *egress.ServiceEntry, sealed egress.Gateway) (out hop.Refusals) {
	definition, was := s.defines(intent), before(s)
	for i, written := range intent.Hosts {
		host := egress.Canonical(written)
		if old, named := was[host]; named && old.Equal(definition) {
			continue
		}
		ours := s.Mesh.ExitOf([]*egress.Entry{{Gateway: sealed.Name, Namespace: s.Namespace.Name, Definition: definition}}, sealed.Namespace(),
			func(namespace string) *egress.Rule { return s.View.Rule(namespace, host) })
		if other, theirs, reason := overlapping(s.View, host, ours, s.Namespace.Name, sealed.Namespace()); reason != "" {
			out = append(out, egress.Finding{
				Code: "host-overlap", Field: field.NewPath("spec", "hosts").Index(i).String(),
				Message: fmt.Sprintf("host %q overlaps host %q of ServiceEntry %s/%s, and calls could not be led as both say: %s", written, other, theirs.Owner().Namespace, theirs.Owner().Name, reason),
				Fix:     fmt.Sprintf("declare the ports as they are there, or agree with the owners of %q", other),
			})
		}
	}
	return out
}

// overlapping returns the first host of other namespaces, over or under one of ours, that would have another exit than its owner or
// ours says, with its exit and the reason; empty for none. A wildcard is over the hosts that it matches.
func overlapping(view egress.View, host string, ours *egress.Exit, namespace, gateways string) (other string, theirs *egress.Exit, reason string) {
	over := egress.Patterns(host)[1:]
	var under []string
	if egress.IsWildcard(host) {
		under = view.Below(host)
	}
	for i, other := range slices.Concat(over, under) {
		theirs := view.Exit(other, gateways).WithoutNamespace(namespace)
		if theirs == nil || other == host {
			continue
		}
		if i < len(over) {
			reason = ours.Shadows(theirs)
		} else {
			reason = theirs.Shadows(ours)
		}
		if reason != "" {
			return other, theirs, reason
		}
	}
	return "", nil, ""
}

// before returns how the stored object defined its hosts; nothing where there is none, and of one that leads past the gateways: once it
// is sealed its calls need the exit.
func before(s *subject) map[string]egress.Definition {
	if s.oldIntent == nil {
		return nil
	}
	if _, sealed := hop.SealedTo(s.Old, s.Mesh); !sealed && s.seals() {
		return nil
	}
	parsed, err := hop.ParseEntry(s.oldIntent)
	if err != nil || !parsed.External() {
		return nil
	}
	out, definition := map[string]egress.Definition{}, parsed.Define()
	for _, host := range parsed.Hosts {
		out[egress.Canonical(host)] = definition
	}
	return out
}

// is says whether a stored entry is the object itself.
func (s *subject) is(entry *egress.Entry) bool {
	return entry.Namespace == s.Object.GetNamespace() && entry.Name == s.Object.GetName()
}

func refusalOf(conflict egress.Conflict, namespace string) egress.Finding {
	other := conflict.Owner.Namespace + "/" + conflict.Owner.Name
	fix := fmt.Sprintf("say of the host what ServiceEntry %s says, or agree with its owners on one definition", other)
	switch {
	case conflict.SecondTLS:
		fix = hop.SecondTLSFix
	case conflict.TooMany:
		fix = "name the ports that are called"
	case conflict.Encrypts && conflict.Owner.Namespace != namespace:
		fix = fmt.Sprintf("store a DestinationRule of the host in this namespace first, whose tls is as that of namespace %q, and then this entry; or agree with its owners", conflict.Owner.Namespace)
	case conflict.Owner.Namespace == namespace:
		fix = fmt.Sprintf("merge the two into one ServiceEntry, or say of the host what %s says", other)
	}
	return egress.Finding{
		Code: "host-conflict", Field: conflict.Path.String(),
		Message: fmt.Sprintf("host %q is already defined otherwise by ServiceEntry %s: %s", conflict.Host, other, conflict.Reason),
		Fix:     fix,
	}
}

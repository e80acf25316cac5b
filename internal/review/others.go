package review

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// What an entry finds of other namespaces that come to call by it: rules and routes that they wrote before, and that would be refused, or be
// told of, if they came now. They keep nobody from having an entry, so its author is told, who may not know of them; their own are told by
// the audit.

// ofOthers warns of rules and routes of other namespaces that their calls by an entry would not be as they say.
func ofOthers(s *subject) (out []egress.Finding) {
	intent, err := s.entry()
	if err != nil || s.Operation == Audit || !s.touched() {
		return nil
	}
	ours := *s.listens(intent) // which is not to be changed
	ours.External, ours.Definition, ours.Created = true, s.defines(intent), s.Object.GetCreationTimestamp().Time
	if ours.Gateway == "" || !leadsOthers(&ours) {
		return nil
	}
	left := newBudget()
	for i, host := range ours.Hosts {
		names := s.deciding(host, &ours)
		if len(names) == 0 {
			continue
		}
		entries := with(slices.DeleteFunc(slices.Clone(s.View.Entries(host)), s.is), &ours)
		if !left.spend(len(names) + compared(entries)) {
			break
		}
		// There may be thousands of entries.
		exit := sync.OnceValue(func() *egress.Exit { return s.exitOf(host, entries) })
		for _, client := range s.callingBy(names, &ours, entries) {
			if !left.spend(len(ours.Ports)) {
				return out
			}
			found := s.as(client).routesOver(intent, &ours, host)
			if rule := s.View.Rule(client, host); rule != nil {
				found = slices.Concat(ruleOver(rule, host, &ours, exit()), found)
			}
			for _, finding := range found {
				finding.Field = field.NewPath("spec", "hosts").Index(i).String()
				finding.Message = fmt.Sprintf("namespace %q wrote before how it calls the host, and its calls by this entry are not made so: %s", client, finding.Message)
				finding.Fix = fmt.Sprintf("let its owners know, as the audit does: %s", strings.TrimPrefix(finding.Fix, "first "))
				out = append(out, finding)
			}
			if len(out) >= MaxReasons {
				return out[:MaxReasons]
			}
		}
	}
	return out
}

// callingBy returns those of some namespaces that are governed, and find a host by an entry of ours, among all its entries, without one of
// their own.
func (s *subject) callingBy(names []string, ours *egress.Entry, entries []*egress.Entry) (out []string) {
	owns := map[string]bool{ours.Namespace: true}
	for _, entry := range entries {
		owns[entry.Namespace] = true
	}
	governed, found := s.View.Governed(), egress.Servings(entries, names)
	for _, name := range names {
		if _, known := governed.Index(name); !known || owns[name] {
			continue
		}
		if serving := found[name]; serving != nil && serving.Namespace == ours.Namespace {
			out = append(out, name)
		}
	}
	return out
}

// deciding returns the clients of ours that have a rule of a host, or routes that lead to it in a way that an entry may stand against, sorted.
func (s *subject) deciding(host string, ours *egress.Entry) (out []string) {
	for _, pattern := range egress.Patterns(host) {
		out = append(out, s.View.Ruled(pattern)...)
	}
	seen := slices.Clone(s.View.Astray(host))
	for _, onGateways := range []bool{false, true} {
		for _, needs := range []egress.Need{egress.NeedsAny, egress.NeedsBySNI, egress.NeedsSeveral} {
			seen = append(seen, s.View.Mapped(egress.Mapping{Host: host, Needs: needs, OnGateways: onGateways})...)
		}
		for _, port := range ours.Ports {
			for _, needs := range []egress.Need{egress.NeedsTLS, egress.NeedsSeveral} {
				seen = append(seen, s.View.Mapped(egress.Mapping{Host: host, Port: port.Number, Needs: needs, OnGateways: onGateways})...)
			}
		}
	}
	for _, by := range seen {
		out = append(out, by.Namespace)
	}
	slices.Sort(out)
	clients, all := egress.Clients(ours.ExportTo, ours.Namespace)
	return slices.DeleteFunc(slices.Compact(out), func(name string) bool {
		_, client := slices.BinarySearch(clients, name)
		return !all && !client
	})
}

// compared is how much there is to compare of entries that some namespaces find a host by.
func compared(entries []*egress.Entry) (out int) {
	for _, entry := range entries {
		out += 1 + len(entry.ExportTo)
	}
	return out
}

// as is the subject as a namespace would have written it, for what is asked of the routes that are there.
func (s *subject) as(namespace string) *subject {
	out := *s
	out.Namespace = Namespace{Name: namespace}
	return &out
}

// exitOf returns the exit of a host as entries make it.
func (s *subject) exitOf(host string, entries []*egress.Entry) *egress.Exit {
	return s.Mesh.ExitOf(entries, s.gateway.Namespace(), func(namespace string) *egress.Rule { return s.View.Rule(namespace, host) })
}

// routesOver is what stored routes of the subject's namespace would be refused for, if they came after an entry that it calls a host by.
func (s *subject) routesOver(intent *egress.ServiceEntry, ours *egress.Entry, host string) hop.Refusals {
	theirs := *ours
	theirs.Namespace, theirs.Hosts = s.Namespace.Name, []string{host}
	return slices.Concat(astray(s, &theirs), bySNI(s, intent, &theirs), unported(s, intent, &theirs), mapped(s, intent, &theirs))
}

// ruleOver is what a rule of another namespace would be refused for, or be told of, if it came after an entry that it calls a host by.
func ruleOver(rule *egress.Rule, host string, ours *egress.Entry, exit *egress.Exit) (out hop.Refusals) {
	name := fmt.Sprintf("DestinationRule %s/%s", rule.Namespace, rule.Name)
	if rule.Host != host {
		if coversCalls(rule, rule.InForce, ours) {
			out = append(out, wildcardRule("", fmt.Sprintf("%s with host %q covers host %q", name, rule.Host, host), host))
		}
		return out
	}
	for _, refusal := range hop.CheckRule(rule, ours.Transport) {
		refusal.Message, refusal.Fix = fmt.Sprintf("%s: %s: %s", name, refusal.Field, refusal.Message), "in the rule, "+refusal.Fix
		out = append(out, refusal)
	}
	if len(out) > 0 {
		return out
	}
	for _, port := range ours.Ports {
		if !ours.EncryptedAs(rule, port, exit) {
			return hop.Refusals{{
				Code:    codeRuleConflict,
				Message: fmt.Sprintf("%s encrypts calls of port %d, and the egress gateway does not do so, so that they fail", name, port.Number),
				Fix:     fmt.Sprintf("leave tls out there, or have the same written into a DestinationRule of namespace %q", ours.Namespace),
			}}
		}
	}
	for _, refusal := range unagreedBy(rule, exit, host, ours.Ports) {
		refusal.Message, refusal.Fix = fmt.Sprintf("%s: %s: %s", name, refusal.Field, refusal.Message), fmt.Sprintf("have it written into a DestinationRule of namespace %q", ours.Namespace)
		out = append(out, refusal)
	}
	return out
}

package review

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/policy"
)

// What a rule says of an exit that others share.

// codeRuleConflict is the code of what a rule and an exit that others share do not agree on.
const codeRuleConflict = "rule-conflict"

// ruleConflicts finds what a rule would change under others, who share the exit of its host.
func ruleConflicts(s *subject, rule *egress.Rule, serving *egress.Entry) (out hop.Refusals) {
	path := field.NewPath("spec", "trafficPolicy")
	written := s.Mesh.ReadRule(s.intent).Host
	if other := s.View.Rule(rule.Namespace, rule.Host); other.HasPolicy() && rule.HasPolicy() && other.Host == written && other.Name != rule.Name {
		out = append(out, egress.Finding{
			Code: "duplicate-rule", Field: path.String(),
			Message: fmt.Sprintf("DestinationRule %s/%s sets the policy of host %q already, and Istio takes one", other.Namespace, other.Name, rule.Host),
			Fix:     "change that rule, or remove the policy of one of the two",
		})
	}
	gw, _ := s.Mesh.GatewayByName(serving.Gateway)
	exit := s.View.Exit(rule.Host, gw.Namespace())
	for _, against := range s.against(rule, serving, exit) {
		out = append(out, egress.Finding{
			Code: codeRuleConflict, Field: path.String(),
			Message: fmt.Sprintf("host %q is reached by the exit of ServiceEntry %s/%s: %s", rule.Host, against.Owner.Namespace, against.Owner.Name, against.Reason),
			Fix:     "agree with its owners on one rule, or leave the settings to them",
		})
		break
	}
	return out
}

// against returns what of a rule contradicts the exit that its calls go by.
func (s *subject) against(rule *egress.Rule, serving *egress.Entry, exit *egress.Exit) (out []egress.Contradiction) {
	if serving.Namespace != rule.Namespace {
		return s.joining(exit, serving, rule)
	}
	if beside := s.Mesh.Beside(rule, s.View); beside != nil {
		gw, _ := s.Mesh.GatewayByName(beside.Gateway)
		out = s.joining(s.View.Exit(rule.Host, gw.Namespace()), beside, rule)
	}
	others := exit.WithoutNamespace(rule.Namespace)
	if others == nil {
		return out
	}
	for _, entry := range s.View.Entries(rule.Host) {
		if entry.Namespace == rule.Namespace && entry.Gateway == serving.Gateway {
			if against := others.Against(entry.Definition.Under(rule)); against.Owner != nil {
				out = append(out, against)
			}
		}
	}
	if exit.Owner().Namespace != rule.Namespace {
		return append(out, s.joining(others, others.Owner(), rule)...)
	}
	return out
}

// leave decides on the deletion of an object.
func (r *Reviewer) leave(req Request) (*Outcome, error) {
	out := &Outcome{}
	s, err := r.subject(req)
	var refusals hop.Refusals
	switch {
	case errors.As(err, &refusals):
		// What nobody can read, nothing is led by.
		out.Verdict = Allowed
		return out, nil
	case err != nil:
		return nil, err
	case s.kind.leave == nil:
		return nil, fmt.Errorf("nobody decides on the deletion of a %s", req.Object.GetKind())
	}
	out.add(policy.Decision{}, s.kind.leave(s), "")
	out.link(r.Mesh.DocsURL)
	return out, nil
}

// leaveRule finds what would come into force under others if a rule were gone.
func leaveRule(s *subject) hop.Refusals {
	if hop.IsClientRule(s.Object) {
		return nil
	}
	return uncovered(s, s.rule(), nil)
}

// movedRule is leaveRule for a rule that is for another host than before, or says nothing any more.
func movedRule(s *subject) hop.Refusals {
	if s.oldIntent == nil || hop.IsClientRule(s.Old) {
		return nil
	}
	before := s.Mesh.ReadRule(s.oldIntent)
	before.Namespace = s.Namespace.Name
	return uncovered(s, before, s.rule())
}

// uncovered returns what another rule of the namespace, before which one stood, would change of exits that others share. Settings
// that go and leave none are what everybody else has anyway.
func uncovered(s *subject, before, next *egress.Rule) (out hop.Refusals) {
	for _, host := range s.View.Below(before.Host) {
		now, after := s.View.Rule(before.Namespace, host), s.View.RuleAfter(before.Namespace, host, before.Name, next)
		if now == nil || now.Name != before.Name || !after.HasPolicy() || after.Name == before.Name {
			continue
		}
		exact := *after
		exact.Host = host
		for _, entry := range s.View.Entries(host) {
			if entry.Namespace != before.Namespace || entry.Gateway == "" {
				continue
			}
			gw, _ := s.Mesh.GatewayByName(entry.Gateway)
			for _, against := range s.against(&exact, entry, s.View.Exit(host, gw.Namespace())) {
				return append(out, egress.Finding{
					Code: codeRuleConflict, Field: "spec.host",
					Message: fmt.Sprintf("DestinationRule %s/%s would come into force in its place, and host %q is reached by the exit of ServiceEntry %s/%s: %s",
						after.Namespace, after.Name, host, against.Owner.Namespace, against.Owner.Name, against.Reason),
					Fix: fmt.Sprintf("change or delete DestinationRule %s first, or the namespace's ServiceEntries of the host", after.Name),
				})
			}
			break
		}
	}
	return out
}

// joining returns what a rule asks of an exit that is not its own to define, of all ports that the owner's namespace has of the host.
func (s *subject) joining(exit *egress.Exit, owner *egress.Entry, rule *egress.Rule) (out []egress.Contradiction) {
	if exit == nil {
		return nil
	}
	for _, port := range egress.PortsBeside(owner, s.View.Entries(rule.Host)) {
		if !owner.EncryptedAs(rule, port, exit) {
			out = append(out, egress.Contradiction{Owner: owner, Reason: fmt.Sprintf("port %d is not encrypted as here", port.Number)})
		}
	}
	return out
}

// underRules holds an entry against the rules that its calls are under, in whichever order the two came.
func underRules(s *subject, intent *egress.ServiceEntry, sealed egress.Gateway) (out hop.Refusals) {
	for i, written := range intent.Hosts {
		host, at := egress.Canonical(written), field.NewPath("spec", "hosts").Index(i).String()
		rule := s.View.Rule(s.Namespace.Name, host)
		if rule == nil {
			continue
		}
		if covers := s.covering(rule, host); covers != nil && sealed.Transport != egress.MutualTLS {
			out = append(out, wildcardRule(at, fmt.Sprintf("DestinationRule %s/%s with host %q covers host %q", covers.Namespace, covers.Name, covers.Host, host), host))
			continue
		}
		name := fmt.Sprintf("DestinationRule %s/%s", rule.Namespace, rule.Name)
		for _, refusal := range hop.CheckRule(rule, sealed.Transport) {
			out = append(out, egress.Finding{
				Code: refusal.Code, Field: at, Message: fmt.Sprintf("%s of this host: %s: %s", name, refusal.Field, refusal.Message),
				Fix: "in the rule, " + refusal.Fix,
			})
		}
		out = append(out, leavesInClear(s, intent, rule, host)...)
	}
	return out
}

// covering returns the wildcard rule of the namespace under which clients of the entry would call a host, nil for none that is in
// force; rule is what the namespace has for the host.
func (s *subject) covering(rule *egress.Rule, host string) *egress.Rule {
	entry := &egress.Entry{Namespace: s.Namespace.Name, ExportTo: egress.ExportTo(s.Object)}
	wildcard, patterns := rule, egress.Patterns(host)
	if rule.Host == host && len(patterns) > 1 {
		wildcard = s.View.Rule(s.Namespace.Name, patterns[1])
	}
	if wildcard == nil || !wildcard.InForce || rule.Host == host && (wildcard == rule || rule.Before(wildcard, entry)) {
		return nil
	}
	return wildcard
}

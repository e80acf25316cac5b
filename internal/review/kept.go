package review

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

const (
	// ledByHost and valuesByHost are how many hosts the VirtualServices of a namespace may lead to, and how many values its
	// DestinationRules may have, for each host that its entries may have: ten times of what people write, since all is kept.
	ledByHost    = 10
	valuesByHost = 50
)

// keptRoutesOf refuses more routes to hosts outside than are kept for a namespace. What is stored already may be written as it is.
func keptRoutesOf(s *subject) hop.Refusals {
	take := func(vs *unstructured.Unstructured) int { return len(egress.Leads(vs, s.Mesh)) }
	return s.kept(take(s.intent), take(s.before()), ledByHost, "spec.hosts", "hosts that VirtualServices lead to or are for", s.View.LedBy)
}

// keptSettingsOf refuses more settings of hosts outside than are kept for a namespace.
func keptSettingsOf(s *subject, rule *egress.Rule) hop.Refusals {
	return s.kept(s.Mesh.RuleValues(rule), s.Mesh.RuleValues(s.Mesh.ReadRule(s.before())), valuesByHost, "spec.trafficPolicy", "values in settings of DestinationRules for hosts outside", s.View.RuleValues)
}

// before is what the author wrote before, without anything where that was nothing.
func (s *subject) before() *unstructured.Unstructured {
	if s.oldIntent == nil {
		return &unstructured.Unstructured{}
	}
	return s.oldIntent
}

func (s *subject) kept(now, before, byHost int, at, what string, others func(namespace, except string) int) hop.Refusals {
	if s.Mesh.MaxHosts == 0 || now <= before {
		return nil
	}
	most := s.Mesh.MaxHosts * byHost
	if others(s.Namespace.Name, s.Object.GetName())+now <= most {
		return nil
	}
	return hop.Refusals{{
		Code: codeTooLarge, Field: at, Message: fmt.Sprintf("namespace %q would have more than %d %s", s.Namespace.Name, most, what),
		Fix: "remove what is not called, or ask the platform team for more (maxHostsPerNamespace)",
	}}
}

package review

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

const (
	// ledByHost, valuesByHost and namesByHost are how many hosts the VirtualServices of a namespace may lead to, how many values its
	// DestinationRules may have, and to how many namespaces its entries may be exported by name, for each host that its entries may have: ten
	// times of what people write, since all is kept.
	ledByHost    = 10
	valuesByHost = 50
	namesByHost  = 50
)

// keptRoutesOf refuses more routes to hosts outside than are kept for a namespace. What is stored already may be written as it is.
func keptRoutesOf(s *subject) hop.Refusals {
	take := func(vs *unstructured.Unstructured) int { return len(egress.Leads(vs, s.Mesh)) }
	return s.kept(take(s.intent), take, ledByHost, "spec.hosts", "hosts that VirtualServices lead to or are for", s.View.LedBy)
}

// keptSettingsOf refuses more settings of hosts outside than are kept for a namespace.
func keptSettingsOf(s *subject, rule *egress.Rule) hop.Refusals {
	take := func(rule *unstructured.Unstructured) int { return s.Mesh.RuleValues(s.Mesh.ReadRule(rule)) }
	return s.kept(s.Mesh.RuleValues(rule), take, valuesByHost, "spec.trafficPolicy", "values in settings of DestinationRules for hosts outside", s.View.RuleValues)
}

// keptNamesOf refuses to export entries to more namespaces by name than are kept of one.
func keptNamesOf(s *subject) hop.Refusals {
	take := func(entry *unstructured.Unstructured) int { return len(egress.ExportTo(entry)) }
	return s.kept(take(s.intent), take, namesByHost, "spec.exportTo", "names of namespaces that ServiceEntries are exported to", s.View.ExportedBy)
}

// kept refuses what there is now of an object, where that and what others have is too much, and take says that there was less before.
func (s *subject) kept(now int, take func(object *unstructured.Unstructured) int, byHost int, at, what string, others func(namespace, except string) int) hop.Refusals {
	most := s.Mesh.MaxHosts * byHost
	if most == 0 || now == 0 || others(s.Namespace.Name, s.Object.GetName())+now <= most || s.oldIntent != nil && now <= take(s.oldIntent) {
		return nil
	}
	return hop.Refusals{{
		Code: codeTooLarge, Field: at, Message: fmt.Sprintf("namespace %q would have more than %d %s", s.Namespace.Name, most, what),
		Fix: "remove what is not called, or ask the platform team for more (maxHostsPerNamespace)",
	}}
}

package controller

import (
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// rootRule is a DestinationRule of Istio's root namespace.
type rootRule struct {
	*egress.Rule
	exportTo []string
}

// rootRules returns those that reach other namespaces, oldest first.
func (p *Preflight) rootRules(ctx context.Context, mesh *meshSettings) (out []rootRule, err error) {
	list := emptyList(istio("DestinationRule"))
	if err := p.Live.List(ctx, list, client.InNamespace(mesh.RootNamespace)); err != nil {
		return nil, ifKnown(fmt.Errorf("rules of Istio's root namespace: %w", err))
	}
	for i := range list.Items {
		rule := p.Mesh.ReadRule(&list.Items[i])
		exportTo := egress.ExportTo(&list.Items[i])
		if len(exportTo) == 0 {
			exportTo = mesh.DefaultDestinationRuleExportTo
		}
		if !rule.Selects && egress.ReachesOthers(exportTo, rule.Namespace) {
			out = append(out, rootRule{rule, exportTo})
		}
	}
	slices.SortFunc(out, func(a, b rootRule) int { return a.Older(b.Rule) })
	return out, nil
}

// over returns the rule of Istio's root namespace that calls of some client of an entry are under, nil for none: of its own
// namespace none is, nor one of ours.
func over(mesh *egress.Mesh, view egress.View, rules []rootRule, host string, entry *egress.Entry) *egress.Rule {
	if spec, _ := hop.ClientRuleSpec(mesh, view, entry.Namespace, host); spec != nil || view.Rule(entry.Namespace, host) != nil {
		return nil
	}
	return reaching(rules, host, entry)
}

// reaching returns the rule that Istio puts on calls of some client of an entry where its namespace has none, nil for none:
// of the most specific host that a rule names, whoever that is exported to.
func reaching(rules []rootRule, host string, entry *egress.Entry) *egress.Rule {
	clients, everybody := egress.Clients(entry.ExportTo, entry.Namespace)
	for _, pattern := range egress.Patterns(host) {
		named := false
		for _, rule := range rules {
			if rule.Host != pattern {
				continue
			}
			named = true
			names, all := egress.Clients(rule.exportTo, rule.Namespace)
			meets := all || everybody || slices.ContainsFunc(names, func(name string) bool { return slices.Contains(clients, name) })
			if meets && rule.HasPolicy() {
				return rule.Rule
			}
		}
		if named {
			return nil
		}
	}
	return nil
}

// passedBy says which rules of Istio's root namespace lead calls to the addresses that apps dialled, past an egress gateway.
func passedBy(mesh *egress.Mesh, view egress.View, gw egress.Gateway, rules []rootRule) (out []egress.Finding) {
	if !slices.ContainsFunc(rules, func(rule rootRule) bool { return len(hop.CheckPassthrough(rule.Rule)) > 0 }) {
		// As nearly always: no entry has to be looked at.
		return nil
	}
	said := map[string]bool{}
	for _, host := range slices.Sorted(slices.Values(view.Below("*"))) {
		for _, entry := range view.Entries(host) {
			if entry.Leg() != gw.Leg() {
				continue
			}
			root := over(mesh, view, rules, host, entry)
			if root == nil || said[root.Name] || !slices.ContainsFunc(entry.Ports, func(port egress.Port) bool {
				balancer, _ := root.Settings(port.Number)["loadBalancer"].(map[string]any)
				return egress.IsPassthrough(balancer)
			}) {
				continue
			}
			said[root.Name] = true
			out = append(out, egress.Finding{
				Code: "root-rule-passthrough",
				Message: fmt.Sprintf("DestinationRule %s/%s of Istio's root namespace sets loadBalancer PASSTHROUGH for hosts behind egress gateway %q, such as %s: calls go to the address that the app dialled, past every egress gateway",
					root.Namespace, root.Name, gw.Name, host),
				Fix: "narrow the host or the exportTo of that rule, or remove the setting",
			})
		}
	}
	return out
}

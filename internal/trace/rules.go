package trace

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// tls returns how a proxy encrypts what it sends to a destination, nil where no rule says, and whether the destination's subset is
// there.
func (p *proxy) tls(to cluster, of *service) (settings fields, has bool) {
	has = to.subset == ""
	take := func(policy fields) {
		if found := fieldsOf(policy, "tls"); found != nil {
			settings = found
		}
		for _, level := range listOf(policy, "portLevelSettings") {
			if found := fieldsOf(level, "tls"); found != nil && numberOf(level, "port", "number") == to.port {
				settings = found
			}
		}
	}
	rules := joined(p.rule(to.host, of))
	if at := slices.IndexFunc(rules, hasPolicy); at >= 0 {
		take(fieldsOf(rules[at].Object, "spec", "trafficPolicy"))
	}
	for _, rule := range rules {
		for _, subset := range listOf(rule.Object, "spec", "subsets") {
			if !has && textOf(subset, "name") == to.subset {
				has = true
				take(fieldsOf(subset, "trafficPolicy"))
			}
		}
	}
	return settings, has
}

// joined returns those of rules, which come oldest first, by which proxies go: Istio takes those that are exported alike for one, with the policy of
// the oldest that has one, and of several such the newest; those for some workloads alone before all others.
func joined(rules []*unstructured.Unstructured) []*unstructured.Unstructured {
	var groups [][]*unstructured.Unstructured
	for _, rule := range rules {
		at := slices.IndexFunc(groups, func(group []*unstructured.Unstructured) bool {
			return selects(group[0]) == selects(rule) && exportedAlike(group[0], rule)
		})
		if at >= 0 {
			groups[at] = append(groups[at], rule)
		} else {
			groups = append(groups, []*unstructured.Unstructured{rule})
		}
	}
	if at := slices.IndexFunc(groups, func(group []*unstructured.Unstructured) bool { return selects(group[0]) }); at >= 0 {
		return groups[at]
	}
	if len(groups) == 0 {
		return nil
	}
	return groups[len(groups)-1]
}

func selects(rule *unstructured.Unstructured) bool {
	return fieldsOf(rule.Object, "spec", "workloadSelector") != nil
}

// exportedAlike says whether a rule is seen by all who see an older one that names them, or like it by everybody.
func exportedAlike(older, rule *unstructured.Unstructured) bool {
	of, has := egress.ExportTo(older), egress.ExportTo(rule)
	covers := !slices.ContainsFunc(of, func(to string) bool { return !slices.Contains(has, to) })
	return covers && (len(of) > 0 || len(has) == 0)
}

func hasPolicy(rule *unstructured.Unstructured) bool {
	return fieldsOf(rule.Object, "spec", "trafficPolicy") != nil
}

// encryptedBy returns the rule by which a proxy encrypts calls to a destination as the host takes them; nil where it does not.
func (p *proxy) encryptedBy(to cluster, of *service) *Object {
	settings, _ := p.tls(to, of)
	if mode := textOf(settings, "mode"); mode != "SIMPLE" && mode != "MUTUAL" {
		return nil
	}
	rules := joined(p.rule(to.host, of))
	rule := rules[max(0, slices.IndexFunc(rules, hasPolicy))]
	return &Object{Kind: "DestinationRule", Namespace: rule.GetNamespace(), Name: rule.GetName()}
}

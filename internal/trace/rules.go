package trace

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// rule returns the DestinationRules that proxies go by for a host, of the client's namespace, else of the host's, else of the root
// namespace: those of the most specific host.
func (p *proxy) rule(host string, of *service) (out []*unstructured.Unstructured) {
	namespaces := []string{p.namespace}
	if of != nil {
		namespaces = append(namespaces, of.Namespace)
	}
	for i, namespace := range append(namespaces, p.mesh.IstioNamespace) {
		for _, pattern := range egress.Patterns(host) {
			for _, rule := range p.rules {
				named := p.mesh.Qualify(textOf(rule.Object, "spec", "host"), rule.GetNamespace())
				if rule.GetNamespace() != namespace || named != pattern || i > 0 && p.sees(egress.ExportTo(rule), namespace) == 0 {
					continue
				}
				if egress.Selects(labelsOf(rule.Object, "spec", "workloadSelector", "matchLabels"), p.labels) {
					out = append(out, rule)
				}
			}
			if len(out) > 0 {
				return out
			}
		}
	}
	return nil
}

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
	rules := p.rule(to.host, of)
	// Of several, Istio takes the policy of the oldest that has one.
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

func hasPolicy(rule *unstructured.Unstructured) bool {
	return fieldsOf(rule.Object, "spec", "trafficPolicy") != nil
}

// encryptedBy returns the rule by which a proxy encrypts calls to a destination as the host takes them; nil where it does not.
func (p *proxy) encryptedBy(to cluster, of *service) *Object {
	settings, _ := p.tls(to, of)
	if mode := textOf(settings, "mode"); mode != "SIMPLE" && mode != "MUTUAL" {
		return nil
	}
	rules := p.rule(to.host, of)
	rule := rules[max(0, slices.IndexFunc(rules, hasPolicy))]
	return &Object{Kind: "DestinationRule", Namespace: rule.GetNamespace(), Name: rule.GetName()}
}

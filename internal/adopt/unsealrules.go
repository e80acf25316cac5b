package adopt

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/dryrun"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/manifest"
)

// clientRules returns the names of the client rules by which the entry's calls come to a gateway by mutual TLS, and of those without which they
// come there as well while it is held: not those that stand before a wildcard of the namespace's own.
func (b *back) clientRules(of Return) (beside, before []string) {
	mesh := b.session.Mesh()
	leg, sealed := hop.SealedLeg(of.Unstructured, mesh)
	gw, _ := mesh.GatewayByName(leg.Gateway)
	if !sealed || of.Intent == nil || leg.Transport != egress.MutualTLS {
		return nil, nil
	}
	for _, host := range hostsOf(of.Unstructured) {
		name := hop.ClientRuleName(host)
		beside = append(beside, name)
		if gw.Transport == egress.MutualTLS && !covered(b.rules[of.GetNamespace()], host) {
			before = append(before, name)
		}
	}
	return beside, before
}

// covered says whether the one of a namespace's rules that is for a host is a wildcard's, with a policy.
func covered(rules []*egress.Rule, host string) bool {
	for _, pattern := range egress.Patterns(host) {
		named := func(rule *egress.Rule) bool { return rule.Host == pattern }
		if slices.ContainsFunc(rules, named) {
			return pattern != host && slices.ContainsFunc(rules, func(rule *egress.Rule) bool { return named(rule) && rule.HasPolicy() })
		}
	}
	return false
}

// encrypts says whether a rule encrypts calls of one of an entry's ports.
func encrypts(rule *egress.Rule, entry *unstructured.Unstructured) bool {
	parsed, err := egress.ParseServiceEntry(entry)
	return err != nil || slices.ContainsFunc(parsed.Ports, func(port egress.Port) bool { return rule.TLS(port.Number) != nil })
}

// rulesOf returns the rules of authors, as they were written, by namespace.
func rulesOf(session *dryrun.Session, stored []manifest.Object) map[string][]*egress.Rule {
	out := map[string][]*egress.Rule{}
	for _, object := range stored {
		if object.GetKind() != "DestinationRule" || session.Keeps(object.Unstructured) {
			continue
		}
		if intent, err := session.Intent(object); err == nil {
			out[object.GetNamespace()] = append(out[object.GetNamespace()], session.Mesh().ReadRule(intent))
		}
	}
	return out
}

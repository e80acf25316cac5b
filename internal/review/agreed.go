package review

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// What a gateway does not call a host by, since namespaces that share its exit do not agree on it.

// unagreed tells the author of a rule which of its settings the gateway does not call the host by.
func unagreed(s *subject, rule *egress.Rule) hop.Refusals {
	if !rule.HasPolicy() {
		return nil
	}
	return ofGoverned(s, rule, func(host string, serving *egress.Entry) []egress.Finding {
		gw, _ := s.Mesh.GatewayByName(serving.Gateway)
		return unagreedBy(rule, s.View.Exit(host, gw.Namespace()), host, serving.Ports)
	})
}

// toldOf are findings as changes are told.
func toldOf(findings []egress.Finding) (out []string) {
	for _, finding := range findings {
		out = append(out, fmt.Sprintf("%s: %s; %s", finding.Field, finding.Message, finding.Fix))
	}
	return out
}

// ruleStands warns of what is stored already of a rule and would be refused, or told of, if it came now: that nobody refused it before keeps
// nobody from writing it again. An audit refuses it itself, and whoever has an entry of the host is told by that of settings that are not agreed on.
func ruleStands(s *subject) (out []egress.Finding) {
	rule := s.rule()
	serving := s.Mesh.Governing(rule, s.View)
	if serving == nil {
		return nil
	}
	if s.restated() {
		out = slices.Concat(ruleConflicts(s, rule, serving), inClear(s, rule, serving))
	}
	gw, _ := s.Mesh.GatewayByName(serving.Gateway)
	if !s.changed() || s.Operation == Audit && !s.View.Exit(rule.Host, gw.Namespace()).HasPart(rule.Namespace) {
		out = append(out, unagreed(s, rule)...)
	}
	return out
}

// ofGoverned returns what is to be said of the first host whose calls to a gateway are under a rule: of those below a wildcard, none that
// another namespace's entry serves, or for which there is a closer rule.
func ofGoverned[T any](s *subject, rule *egress.Rule, say func(host string, serving *egress.Entry) []T) []T {
	for _, host := range slices.Sorted(slices.Values(s.View.Below(rule.Host))) {
		exact := *rule
		exact.Host = host
		serving := s.Mesh.Governing(&exact, s.View)
		if serving == nil || host != rule.Host && serving.Namespace != rule.Namespace {
			continue
		}
		if closer := s.View.Rule(rule.Namespace, host); host != rule.Host && closer != nil && closer.Host == host {
			continue
		}
		if out := say(host, serving); len(out) > 0 {
			return out
		}
	}
	return nil
}

// unagreedBy has each setting once, for the first port of which it is. A namespace that calls by another's entry has no say; its sidecars
// pool connections all the same.
func unagreedBy(rule *egress.Rule, exit *egress.Exit, host string, ports []egress.Port) (out hop.Refusals) {
	who, fix := "namespace %s has an entry of the host, too", "agree on one that all namespaces of the host write alike"
	keys := egress.AgreedSettings()
	if !exit.HasPart(rule.Namespace) {
		who, fix = "no entry of this namespace has part in its exit, one of namespace %s has", "have the setting written there"
		keys = egress.ReplacedSettings()
	}
	for _, key := range keys {
		for _, port := range ports {
			value := rule.Chosen(port.Number, key)
			if value == nil {
				continue
			}
			if other := exit.Disagrees(rule.Namespace, port.Number, key, value); other != "" {
				out = append(out, egress.Finding{
					Code: codeRuleConflict, Field: settingPath(rule, port.Number).Child(key).String(), Fix: fix,
					Message: fmt.Sprintf("the egress gateway does not call %s by it, port %d: "+who+", and its DestinationRule says otherwise of %s, or nothing", host, port.Number, other, key),
				})
				break
			}
		}
	}
	return out
}

// settingPath is where a rule has its settings of a port.
func settingPath(rule *egress.Rule, port uint32) *field.Path {
	policy := field.NewPath("spec", "trafficPolicy")
	levels, _ := rule.Policy["portLevelSettings"].([]any)
	for i, item := range levels {
		if level, _ := item.(map[string]any); egress.PortOf(level) == port {
			return policy.Child("portLevelSettings").Index(i)
		}
	}
	return policy
}

// underUnagreed tells the author of an entry that comes to others' the same of rules that were there before: those of its own namespace
// that have no effect, and those of the others that have none any more.
func underUnagreed(s *subject, intent *egress.ServiceEntry, gw egress.Gateway) (out []string) {
	for i, written := range intent.Hosts {
		host := egress.Canonical(written)
		exit := s.View.Exit(host, gw.Namespace())
		if exit == nil {
			continue
		}
		rule := s.View.Rule(s.Namespace.Name, host)
		for _, key := range egress.AgreedSettings() {
			for _, port := range intent.Ports {
				if said := unagreedWith(s.Namespace.Name, rule, exit, key, port.Number); said != "" {
					out = append(out, fmt.Sprintf("spec.hosts[%d]: the egress gateway does not call %s, port %d, by %s", i, host, port.Number, said))
					break
				}
			}
		}
	}
	return out
}

// unagreedWith says of which rule the gateway leaves out a setting; empty for none.
func unagreedWith(namespace string, rule *egress.Rule, exit *egress.Exit, key string, port uint32) string {
	own, theirs := rule.Chosen(port, key), exit.Rule.Chosen(port, key)
	if own != nil {
		if other := exit.Disagrees(namespace, port, key, own); other != "" {
			return fmt.Sprintf("%s of DestinationRule %s/%s: the rule of namespace %s, which has an entry of the host, too, says otherwise, or nothing; agree on one that all namespaces of the host write alike",
				key, rule.Namespace, rule.Name, other)
		}
	}
	if theirs != nil && !egress.SameValue(theirs, own) {
		return fmt.Sprintf("%s of DestinationRule %s/%s any more, since namespace %s, which has an entry of the host now, has none like it; write the same there to keep it", key, exit.Rule.Namespace, exit.Rule.Name, namespace)
	}
	return ""
}

package review

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// unusedLevels tells the author of a rule which of its settings are for ports that no entry of the host has: commonly for the
// targetPort, where apps call another.
func unusedLevels(s *subject, rule *egress.Rule, serving *egress.Entry) (out []string) {
	if serving == nil || egress.IsWildcard(rule.Host) {
		return nil
	}
	for i, port := range portsBeside(rule, s.portsOf(rule.Host, serving, nil)) {
		if port != 0 {
			at := field.NewPath("spec", "trafficPolicy", "portLevelSettings").Index(i).Child("port", "number")
			out = append(out, fmt.Sprintf("%s: no ServiceEntry by which the namespace calls %s has port %d, so that no call is made under these settings; name the port that apps call", at, rule.Host, port))
		}
	}
	return out
}

// underUnusedLevels tells the author of an entry the same of rules that were there before.
func underUnusedLevels(s *subject, intent *egress.ServiceEntry) (out []string) {
	for i, written := range intent.Hosts {
		host := egress.Canonical(written)
		rule := s.View.Rule(s.Namespace.Name, host)
		if rule == nil || rule.Host != host {
			continue
		}
		for _, port := range portsBeside(rule, s.portsOf(host, nil, intent.Ports)) {
			if port != 0 {
				out = append(out, fmt.Sprintf("spec.hosts[%d]: DestinationRule %s/%s has settings for port %d of %s, which no ServiceEntry of the namespace has, so that no call is made under them; name there the port that apps call",
					i, rule.Namespace, rule.Name, port, host))
			}
		}
	}
	return out
}

// portsBeside returns, for each level of a rule's settings, its port where that is none of some ports, 0 for any other.
func portsBeside(rule *egress.Rule, ports []egress.Port) []uint32 {
	levels, _ := rule.Policy["portLevelSettings"].([]any)
	out := make([]uint32, len(levels))
	for i, item := range levels {
		level, _ := item.(map[string]any)
		number := egress.PortOf(level)
		if !slices.ContainsFunc(ports, func(port egress.Port) bool { return port.Number == number }) {
			out[i] = number
		}
	}
	return out
}

// portsOf returns those by which the namespace calls a host: of its own entries, of the one that serves it, nil for none, and some
// beside.
func (s *subject) portsOf(host string, serving *egress.Entry, beside []egress.Port) []egress.Port {
	out := slices.Clone(beside)
	for _, entry := range s.View.Entries(host) {
		if entry == serving || entry.Namespace == s.Namespace.Name {
			out = append(out, entry.Ports...)
		}
	}
	return out
}

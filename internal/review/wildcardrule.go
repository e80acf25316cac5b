package review

import (
	"fmt"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// coveredHosts refuses a wildcard rule that would be applied to calls of a sealed host: it covers others too, and cannot
// be right for both.
func coveredHosts(s *subject, rule *egress.Rule) (out hop.Refusals) {
	if !egress.IsWildcard(rule.Host) {
		return nil
	}
	inForce := hop.RuleInForce(s.intent)
	for _, host := range s.View.Below(rule.Host) {
		exact := *rule
		exact.Host = host
		serving := s.Mesh.Governing(&exact, s.View)
		if host == rule.Host || serving == nil || serving.Led {
			continue
		}
		if !coversCalls(rule, inForce, serving) {
			continue
		}
		if closer := s.View.Rule(rule.Namespace, host); closer != nil && closer.Host == host && closer.Before(rule, serving) {
			continue
		}
		return hop.Refusals{wildcardRule("spec.host", fmt.Sprintf("%q covers host %q", rule.Host, host), host)}
	}
	return nil
}

func wildcardRule(at, what, host string) egress.Finding {
	return egress.Finding{
		Code: "wildcard-rule", Field: at,
		Message: what + ", whose calls go to an egress gateway, which must not be called under its settings",
		Fix:     fmt.Sprintf("write a DestinationRule for host %s itself, without workloadSelector and exported to all who call the host: it stands before the wildcard", host),
	}
}

// coversCalls says whether a wildcard rule, which is in force or not, would have a gateway called otherwise than by the entry that serves its
// namespace.
func coversCalls(rule *egress.Rule, inForce bool, serving *egress.Entry) bool {
	// By mutual TLS a rule of ours stands before it, where the entry is the namespace's own; where it is another's, the
	// wildcard stands before that.
	mutual := serving.Transport == egress.MutualTLS
	if mutual && serving.Namespace == rule.Namespace || !mutual && !inForce {
		return false
	}
	// Without a policy it says nothing of how the gateway is called, and for HTTP nor would a rule of ours.
	return rule.HasPolicy() || len(egress.PortsOf(serving.Ports, egress.FamilyHTTP)) != len(serving.Ports)
}

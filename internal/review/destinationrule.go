package review

import (
	"errors"
	"fmt"
	"reflect"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// boundRule refuses a DestinationRule that is too much work to look at.
func boundRule(rule *unstructured.Unstructured) hop.Refusals {
	levels, _, _ := unstructured.NestedSlice(rule.Object, "spec", "trafficPolicy", "portLevelSettings")
	return bound(1+len(listOf(rule, "subsets")), len(levels), "settings of ports")
}

func ruleIntent(_ *subject, rule *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return hop.RuleIntent(rule)
}

// rule is the subject as a DestinationRule.
func (s *subject) rule() *egress.Rule {
	out := s.Mesh.ReadRule(s.intent)
	out.Namespace = s.Namespace.Name
	return out
}

// keptRule says whether the subject is the client rule that the controller keeps, as it is to be.
func keptRule(s *subject) bool {
	return hop.IsClientRule(s.Object) && equality.Semantic.DeepEqual(s.Object.Object["spec"], clientRule(s))
}

// clientRule returns the spec of the client rule that the subject says it is, nil where there is none to be.
func clientRule(s *subject) any {
	spec, _ := hop.ClientRuleSpec(s.Mesh, s.View, s.Namespace.Name, s.Object.GetAnnotations()[hop.HostAnnotation])
	if spec == nil {
		return nil
	}
	return spec
}

// sealRule seals the rule of a sealed host. That of any other stays as its author wrote it.
func sealRule(s *subject) (*unstructured.Unstructured, error) {
	out := s.intent.DeepCopy()
	if hop.IsClientRule(s.Object) {
		// Whoever writes it, there is one form.
		if spec := clientRule(s); spec != nil {
			out.Object["spec"] = spec
		}
		return out, nil
	}
	rule := s.rule()
	serving := s.Mesh.Governing(rule, s.View)
	if serving == nil || (serving.Namespace != rule.Namespace && !s.Mesh.Seals(rule, s.View)) {
		return out, nil
	}
	return out, hop.SealRuleIntent(out, serving, s.Mesh, s.View)
}

func examineRule(s *subject) (egress.Facts, hop.Refusals) {
	rule := s.rule()
	facts := egress.RuleFacts(rule, s.gateway, s.Mesh, s.View)
	var refusals hop.Refusals
	serving := s.Mesh.Governing(rule, s.View)
	sealed := s.intent.DeepCopy()
	if err := hop.SealRuleIntent(sealed, serving, s.Mesh, s.View); errors.As(err, &refusals) {
		return facts, refusals
	}
	// Either form may be stored: the entry of the host may have come since, or be known to another replica alone, and the
	// controller of rules has the last word.
	if !equality.Semantic.DeepEqual(sealed.Object["spec"], s.Object.Object["spec"]) && !equality.Semantic.DeepEqual(s.intent.Object["spec"], s.Object.Object["spec"]) {
		refusals = append(refusals, egress.Finding{
			Code: "not-sealed", Field: "spec.trafficPolicy", Message: "the rule was changed after it was sealed",
			Fix: "apply it again; if this stays, another mutating webhook rewrites DestinationRules",
		})
	}
	if hop.IsClientRule(s.Object) {
		refusals = append(refusals, egress.Finding{
			Code: "client-rule", Field: "metadata.labels", Message: "the rule has the marks of one that egress-governor keeps for a host that leaves by mutual TLS, and there is none to be",
			Fix: "remove the label " + hop.ManagedByLabel + " and the annotation " + hop.HostAnnotation,
		})
	}
	refusals = append(refusals, coveredHosts(s, rule)...)
	if gw, is := s.Mesh.GatewayByService(rule.Host); is && hop.RuleInForce(s.intent) {
		return facts, append(refusals, egress.Finding{
			Code: "gateway-rule", Field: "spec.host",
			Message: fmt.Sprintf("egress gateway %q has settings of its own for how it is called, and under these it could not be called at all", gw.Name),
			Fix:     "remove tls and outlierDetection; to encrypt calls to an external host, set tls in a DestinationRule for that host",
		})
	}
	if serving != nil {
		refusals = append(refusals, onExit(s, rule, serving)...)
	}
	return facts, append(refusals, onOwnExits(s, rule, serving)...)
}

// onExit returns what the exit of a rule's host cannot have of the rule.
func onExit(s *subject, rule *egress.Rule, entry *egress.Entry) hop.Refusals {
	out := hop.CheckRule(rule)
	if s.oldIntent == nil || !equality.Semantic.DeepEqual(s.oldIntent.Object["spec"], s.intent.Object["spec"]) {
		out = append(out, ruleConflicts(s, rule, entry)...)
	}
	return out
}

// onOwnExits is onExit for the hosts of the namespace's own entries, which are under the rule whoever sees them, and by a
// wildcard as well; but for that of the serving one. A rule that stands before the wildcard may go without asking. The
// first host with something to say is enough.
func onOwnExits(s *subject, rule *egress.Rule, serving *egress.Entry) hop.Refusals {
	for _, host := range s.View.Below(rule.Host) {
		if host == rule.Host && serving != nil && serving.Namespace == rule.Namespace {
			continue
		}
		exact := *rule
		if exact.Host = host; host != rule.Host {
			// Subsets are the clients' alone.
			exact.Subsets = nil
		}
		for _, entry := range s.View.Entries(host) {
			if entry.Namespace != rule.Namespace || entry.Gateway == "" {
				continue
			}
			if out := onExit(s, &exact, entry); len(out) > 0 {
				return out
			}
			break
		}
	}
	return nil
}

// coveredHosts refuses a wildcard rule that would be applied to calls of a sealed host: it covers others too, and cannot
// be right for both.
func coveredHosts(s *subject, rule *egress.Rule) (out hop.Refusals) {
	if !egress.IsWildcard(rule.Host) || !rule.HasPolicy() {
		return nil
	}
	inForce := hop.RuleInForce(s.intent)
	for _, host := range s.View.Below(rule.Host) {
		exact := *rule
		exact.Host = host
		serving := s.Mesh.Governing(&exact, s.View)
		if host == rule.Host || serving == nil {
			continue
		}
		// By mutual TLS a rule of ours stands before it, where the entry is the namespace's own; where it is another's, the
		// wildcard stands before that.
		mutual := serving.Transport == egress.MutualTLS
		if mutual && serving.Namespace == rule.Namespace || !mutual && !inForce {
			continue
		}
		if closer := s.View.Rule(rule.Namespace, host); closer != nil && closer.Host == host {
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
		Fix:     fmt.Sprintf("write a DestinationRule for host %s itself, which stands before the wildcard", host),
	}
}

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
			Code: "rule-conflict", Field: path.String(),
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
		return joining(exit, serving, rule)
	}
	others := exit.WithoutNamespace(rule.Namespace)
	if others == nil {
		return nil
	}
	for _, entry := range s.View.Entries(rule.Host) {
		if entry.Namespace == rule.Namespace && entry.Gateway == serving.Gateway {
			if against := others.Against(entry.Definition.Under(rule)); against.Owner != nil {
				out = append(out, against)
			}
		}
	}
	if exit.Owner().Namespace != rule.Namespace {
		return append(out, joining(others, others.Owner(), rule)...)
	}
	for _, port := range exit.Definition.Ports {
		if !reflect.DeepEqual(rule.Beyond(port.Number), exit.Rule.Beyond(port.Number)) {
			out = append(out, egress.Contradiction{Owner: others.Owner(), Reason: fmt.Sprintf("it shares the exit, and its calls to port %d would be made under other settings", port.Number)})
		}
	}
	return out
}

// joining returns what a rule asks of an exit that is not its own to define.
func joining(exit *egress.Exit, owner *egress.Entry, rule *egress.Rule) (out []egress.Contradiction) {
	if exit == nil {
		return nil
	}
	for _, port := range owner.Ports {
		if tls := rule.TLS(port.Number); tls != nil && egress.FamilyOf(port.Protocol) == egress.FamilyHTTP && !reflect.DeepEqual(tls, exit.Definition.TLS[port.Number]) {
			out = append(out, egress.Contradiction{Owner: owner, Reason: fmt.Sprintf("port %d is not encrypted as here", port.Number)})
		}
	}
	return append(out, ejecting(exit, owner, rule)...)
}

// ejecting returns the ports whose endpoints a rule would eject, which clients of a gateway do not see, other than the
// exit does.
func ejecting(exit *egress.Exit, owner *egress.Entry, rule *egress.Rule) (out []egress.Contradiction) {
	for _, port := range owner.Ports {
		here, there := rule.Beyond(port.Number)["outlierDetection"], exit.Rule.Beyond(port.Number)["outlierDetection"]
		if here != nil && !reflect.DeepEqual(here, there) {
			out = append(out, egress.Contradiction{Owner: owner, Reason: fmt.Sprintf("outlierDetection of port %d is its owner's", port.Number)})
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
		name := fmt.Sprintf("DestinationRule %s/%s", rule.Namespace, rule.Name)
		if rule.Host != host && rule.InForce && sealed.Transport != egress.MutualTLS {
			out = append(out, wildcardRule(at, fmt.Sprintf("%s with host %q covers host %q", name, rule.Host, host), host))
			continue
		}
		for _, refusal := range hop.CheckRule(rule) {
			out = append(out, egress.Finding{
				Code: refusal.Code, Field: at, Message: fmt.Sprintf("%s of this host: %s: %s", name, refusal.Field, refusal.Message),
				Fix: "in the rule, " + refusal.Fix,
			})
		}
		exit := s.View.Exit(host, sealed.Namespace()).Without(s.Object.GetNamespace(), s.Object.GetName())
		if owner := exit.Owner(); owner != nil && owner.Namespace != s.Namespace.Name {
			for _, against := range ejecting(exit, owner, rule) {
				out = append(out, egress.Finding{
					Code: "rule-conflict", Field: at,
					Message: fmt.Sprintf("host %q is reached by the exit of ServiceEntry %s/%s, and %s asks otherwise of it: %s", written, owner.Namespace, owner.Name, name, against.Reason),
					Fix:     "agree with its owners on one rule, or leave the settings to them",
				})
				break
			}
		}
	}
	return out
}

func ruleChanges(s *subject) []string {
	if !hop.RuleInForce(s.intent) || equality.Semantic.DeepEqual(s.intent.Object["spec"], s.Object.Object["spec"]) {
		return nil
	}
	how := "as the app speaks"
	if hop.RuleByMutualTLS(s.Object) {
		how = "by the mesh's mutual TLS"
	}
	out := []string{"spec.trafficPolicy: the egress gateway calls the host under these settings; clients call the gateway " + how}
	for _, name := range hop.Credentials(s.intent) {
		out = append(out, fmt.Sprintf("spec.trafficPolicy: the egress gateway takes the certificate from Secret %s/%s; until it is there, calls fail",
			s.gateway.Namespace(), egress.Credential(s.Namespace.Name, name)))
	}
	return out
}

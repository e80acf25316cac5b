package review

import (
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

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
	if !s.restated() {
		refusals = slices.Concat(refusals, hop.CheckSettings(rule), sortingRule(s, rule))
	}
	refusals = append(refusals, keptSettingsOf(s, rule)...)
	if !ruleForm(s, sealed) {
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
	if gw, is := ruledGateway(s, rule); is && hop.GatewayRuleInForce(s.intent) {
		if past := hop.CheckPassthrough(rule); len(past) > 0 {
			return facts, append(refusals, past...)
		}
		return facts, append(refusals, egress.Finding{
			Code: "gateway-rule", Field: "spec.host",
			Message: fmt.Sprintf("egress gateway %q has settings of its own for how it is called, and under these it could not be called at all", gw.Name),
			Fix:     "remove tls and outlierDetection; to encrypt calls to an external host, set tls in a DestinationRule for that host",
		})
	}
	if serving != nil {
		refusals = append(refusals, onExit(s, rule, serving)...)
	}
	refusals = append(refusals, onOwnExits(s, rule, serving)...)
	refusals = append(refusals, movedRule(s)...)
	refusals = append(refusals, pastEntries(s, rule, refusals)...)
	if s.restated() && hop.RuleSealed(s.Object) {
		// What was stored past the webhook is sealed by the controller of rules, and no call goes by it any more.
		refusals = slices.DeleteFunc(refusals, isPassthrough)
	}
	return facts, refusals
}

func isPassthrough(refusal egress.Finding) bool { return refusal.Code == hop.CodePassthrough }

// pastEntries refuses a rule that leads calls to the address that the app dialled, before there is an entry whose calls these
// would be: sidecars know both before a rule is rewritten. A Service's calls are the mesh's business, an egress gateway's are not.
func pastEntries(s *subject, rule *egress.Rule, said hop.Refusals) hop.Refusals {
	ofGateway := slices.ContainsFunc(s.Mesh.Gateways, func(gw egress.Gateway) bool {
		return slices.Contains(egress.Patterns(gw.Service), rule.Host)
	})
	if !s.Mesh.Carries() || !ofGateway && s.Mesh.InMesh(rule.Host, s.View) ||
		slices.ContainsFunc(said, isPassthrough) {
		return nil
	}
	return hop.CheckPassthrough(rule)
}

// ruledGateway returns the egress gateway that clients would call under a rule. Where routes alone lead to it, all calls are to
// its Service, and a wildcard is as good as the name.
func ruledGateway(s *subject, rule *egress.Rule) (egress.Gateway, bool) {
	for _, gw := range s.Mesh.Gateways {
		if rule.Host == gw.Service || s.Mesh.ByRoutes() && slices.Contains(egress.Patterns(gw.Service), rule.Host) {
			return gw, true
		}
	}
	return egress.Gateway{}, false
}

// ruleForm says whether the subject is in a form that may be stored: sealed, not sealed, or sealed for other ports. The entry
// of the host may have come or changed since, or be known to another replica alone; the controller of rules has the last word.
func ruleForm(s *subject, sealed *unstructured.Unstructured) bool {
	spec := s.Object.Object["spec"]
	return equality.Semantic.DeepEqual(sealed.Object["spec"], spec) || equality.Semantic.DeepEqual(s.intent.Object["spec"], spec) ||
		hop.SealedByMutualTLS(s.Object, s.intent, s.Mesh)
}

// onExit returns what the exit of a rule's host cannot have of the rule.
func onExit(s *subject, rule *egress.Rule, entry *egress.Entry) hop.Refusals {
	out := hop.CheckRule(rule, entry.Transport)
	if !s.restated() {
		out = slices.Concat(out, ruleConflicts(s, rule, entry), inClear(s, rule, entry))
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

// leftOut tells of settings that are stored already, and that a gateway does not call the host by, since others share it.
func leftOut(s *subject, rule *egress.Rule) (out []string) {
	for _, refusal := range append(hop.CheckSettings(rule), sortingRule(s, rule)...) {
		out = append(out, fmt.Sprintf("%s: the egress gateway calls the host without it: %s", refusal.Field, refusal.Message))
	}
	return out
}

// ofNobody tells the author of a rule that nothing has its host: commonly a name that is misspelt. Of one that is new nothing is said, since helm
// and Argo CD apply the rules of a release before its entries.
func ofNobody(s *subject, rule *egress.Rule) []string {
	known := func(host string) bool { return len(s.View.Entries(host)) > 0 }
	if s.Operation == Create || egress.IsWildcard(rule.Host) || s.Mesh.InMesh(rule.Host, s.View) || slices.ContainsFunc(egress.Patterns(rule.Host), known) {
		return nil
	}
	return []string{fmt.Sprintf("spec.host: no ServiceEntry or Service names %s, and no call is under this rule until one does", rule.Host)}
}

func ruleChanges(s *subject) (out []string) {
	rule := s.rule()
	serving := s.Mesh.Governing(rule, s.View)
	if serving != nil {
		written, _, _ := unstructured.NestedString(s.intent.Object, "spec", "host")
		if host := egress.Canonical(written); host != written {
			out = append(out, fmt.Sprintf("spec.host: sidecars know the host as %q, and apply subsets and settings of this rule to no call of their own; write it so", host))
		}
		out = append(out, leftOut(s, rule)...)
	}
	out = slices.Concat(out, ofNobody(s, rule), toldOf(unagreed(s, rule)), unusedLevels(s, rule, serving), underOwnTLS(s, rule), unencrypted(s, rule))
	if !hop.RuleInForce(s.intent) || equality.Semantic.DeepEqual(s.intent.Object["spec"], s.Object.Object["spec"]) {
		return out
	}
	return append(out, onGateway(rule, "spec.trafficPolicy: ", s.gateway, s.calledBy(rule.Host, serving), hop.RuleByMutualTLS(s.Object))...)
}

package hop

import (
	"fmt"
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// A DestinationRule on a sealed host is for the exit leg, while sidecars would apply it to the gateway. What a gateway
// cannot be called with is replaced; the exit has it instead.

// ruleSlots are the fields that are replaced, wherever the rule may hold them: encryption, since the gateway takes calls
// as the app speaks, ejection, since the gateway would be ejected for what the host answers, and load balancing, where it
// would choose among endpoints of the host and find none.
func ruleSlots(rule *unstructured.Unstructured) (out []slot) {
	spec, _ := rule.Object["spec"].(map[string]any)
	policy, _ := spec["trafficPolicy"].(map[string]any)
	subsets, _ := spec["subsets"].([]any)
	everySettings(policy, subsets, func(holder map[string]any, path *field.Path) {
		for _, key := range replacedSettings {
			if _, given := holder[key].(map[string]any); given {
				out = append(out, slot{path.Child(key).String(), holder, key})
			}
		}
	})
	return out
}

// everySettings visits the settings of a rule's policy and of its subsets' policies, each with those that it has for ports.
func everySettings(policy map[string]any, subsets []any, visit func(settings map[string]any, path *field.Path)) {
	spec := field.NewPath("spec")
	settingsOf(policy, spec.Child("trafficPolicy"), visit)
	for i, item := range subsets {
		subset, _ := item.(map[string]any)
		of, _ := subset["trafficPolicy"].(map[string]any)
		settingsOf(of, spec.Child("subsets").Index(i).Child("trafficPolicy"), visit)
	}
}

// settingsOf visits the settings of a policy, and those that it has for ports.
func settingsOf(policy map[string]any, path *field.Path, visit func(settings map[string]any, path *field.Path)) {
	visit(policy, path)
	levels, _ := policy["portLevelSettings"].([]any)
	for i, item := range levels {
		level, _ := item.(map[string]any)
		visit(level, path.Child("portLevelSettings").Index(i))
	}
}

// replacedSettings are those of a policy that are for the exit leg alone.
var replacedSettings = []string{"loadBalancer", "outlierDetection", "tls"}

// unruled returns what stands in the place of a field. It differs from what an author would write for the same, so that a
// correction is seen.
func unruled(key string) map[string]any {
	switch key {
	case "tls":
		return map[string]any{}
	case "loadBalancer":
		return map[string]any{"localityLbSetting": map[string]any{"enabled": false}}
	}
	return map[string]any{"consecutive5xxErrors": int64(0)}
}

// inForce says whether a field has an effect that a gateway must not see.
func inForce(s slot) bool {
	value, _ := s.parent[s.key].(map[string]any)
	switch s.key {
	case "tls":
		return value["mode"] != nil && value["mode"] != "DISABLE"
	case "loadBalancer":
		return balances(value)
	}
	return !reflect.DeepEqual(value, unruled(s.key))
}

// RuleIntent returns a DestinationRule as its author wrote it; one that was not sealed comes back as it is. The error is
// Refusals when the annotation does not decode. The result shares nothing with the object.
func RuleIntent(rule *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	out := rule.DeepCopy()
	known, err := decode(take(out))
	if err != nil {
		return nil, badAnnotation(err)
	}
	slots := ruleSlots(out)
	if levels, given := levelsSlot(out); given {
		slots = append(slots, levels)
	}
	if spec, ok := out.Object["spec"].(map[string]any); ok {
		slots = append(slots, policySlot(spec))
	}
	known.restore(slots)
	return out, nil
}

// levelsSlot is the field of all settings by port; false where the rule has no policy.
func levelsSlot(rule *unstructured.Unstructured) (slot, bool) {
	policy, given, _ := unstructured.NestedFieldNoCopy(rule.Object, "spec", "trafficPolicy")
	of, isMap := policy.(map[string]any)
	return slot{policyPath + ".portLevelSettings", of, "portLevelSettings"}, given && isMap
}

const policyPath = "spec.trafficPolicy"

// policySlot is the field of a rule's policy.
func policySlot(spec map[string]any) slot { return slot{policyPath, spec, "trafficPolicy"} }

// SealRuleIntent rewrites, in place, a DestinationRule as its author wrote it into the form in which sidecars may apply
// it to an egress gateway that they reach by an entry. The error is Refusals when it is too large.
func SealRuleIntent(rule *unstructured.Unstructured, serving *egress.Entry, mesh *egress.Mesh, view egress.View) error {
	if serving != nil && serving.Led {
		// Calls to the gateway are not under it, and those that no route leads there must not be made in clear.
		return nil
	}
	var known recorder
	if serving != nil && serving.Transport == egress.MutualTLS {
		host := mesh.ReadRule(rule).Host
		entries := egress.ByMutualTLS(view.Entries(host), serving.Namespace)
		known.byMutualTLS(rule, namedPorts(mesh, view, serving.Namespace, host), mutual(identities(mesh, entries)))
	} else {
		for _, s := range ruleSlots(rule) {
			if inForce(s) {
				known.replace(s, unruled(s.key))
			}
		}
	}
	if len(known.record) == 0 {
		return nil
	}
	return known.keep(rule, field.NewPath("spec"), "give fewer settings, or spread them over several rules")
}

// NamesPorts says whether a rule of the host of an entry, once it is written anew, has calls of some port made under a name by which a gateway tells
// it.
func NamesPorts(mesh *egress.Mesh, view egress.View, rule *egress.Rule) bool {
	serving := mesh.Governing(rule, view)
	return serving != nil && serving.Transport == egress.MutualTLS && mesh.Seals(rule, view) && len(namedPorts(mesh, view, serving.Namespace, rule.Host)) > 0
}

// namedPorts are the settings of the ports of a namespace's entries of a host that a gateway tells by a name; none while the entries
// pass.
func namedPorts(mesh *egress.Mesh, view egress.View, namespace, host string) map[uint32]map[string]any {
	if Passing(view, namespace, host) {
		return nil
	}
	return portsBySNI(mesh, egress.ByMutualTLS(view.Entries(host), namespace), host)
}

// EncryptsItself says whether a rule, as its author wrote it, says how calls are encrypted: by mutual TLS it has them made so whatever their ports
// are named by.
func EncryptsItself(rule *egress.Rule) (itself bool) {
	settingsOf(rule.Policy, field.NewPath("spec"), func(settings map[string]any, _ *field.Path) { itself = itself || settings["tls"] != nil })
	return itself
}

// byMutualTLS replaces what of a rule's policy is not how a gateway is called: by tls, and by what each port has of its own. Where a port has
// something, a rule without a policy is given one: Istio goes by it in the place of ours if it is the newer one and not exported alike.
func (r *recorder) byMutualTLS(rule *unstructured.Unstructured, ports map[uint32]map[string]any, tls map[string]any) {
	levels, given := levelsSlot(rule)
	if !given {
		if spec, _ := rule.Object["spec"].(map[string]any); spec != nil && spec["trafficPolicy"] == nil && len(ports) > 0 {
			r.replace(policySlot(spec), clientPolicy(nil, ports, tls))
		}
		return
	}
	now := clientPolicy(levels.parent, ports, tls)
	for _, key := range replacedSettings {
		r.replace(slot{policyPath + "." + key, levels.parent, key}, now[key])
	}
	r.replace(levels, now[levels.key])
}

// SealedByMutualTLS says whether a rule, as it is stored, is what its author wrote as a replica seals it that knows of other
// entries of the host: called as a gateway of ours, its ports by no names but their own.
func SealedByMutualTLS(rule, intent *unstructured.Unstructured, mesh *egress.Mesh) bool {
	host := mesh.ReadRule(intent).Host
	var known []any
	for _, gw := range mesh.Gateways {
		if gw.Transport == egress.MutualTLS {
			known = append(known, mesh.IdentityOf(gw))
		}
	}
	names, called := calledAs(rule)
	if len(known) == 0 || called && len(names) == 0 || slices.ContainsFunc(names, func(name any) bool { return !slices.Contains(known, name) }) {
		return false
	}
	levels, _, _ := unstructured.NestedSlice(rule.Object, "spec", "trafficPolicy", "portLevelSettings")
	ports := map[uint32]map[string]any{}
	for _, item := range levels {
		level, _ := item.(map[string]any)
		port := egress.PortOf(level)
		if sni, _, _ := unstructured.NestedString(level, "tls", "sni"); sni == portSNI(host, port) {
			ports[port] = mutualByName(names, sni)
		}
	}
	sealed := intent.DeepCopy()
	(&recorder{}).byMutualTLS(sealed, ports, mutual(names))
	return reflect.DeepEqual(sealed.Object["spec"], rule.Object["spec"])
}

// calledAs returns the names of the gateways that a rule, as it is stored, has called by mutual TLS, false where it has none called so. Without
// names whoever answers is taken for the gateway.
func calledAs(rule *unstructured.Unstructured) (out []any, called bool) {
	for _, s := range ruleSlots(rule) {
		if of, _ := s.parent[s.key].(map[string]any); s.key == "tls" && of["mode"] == "ISTIO_MUTUAL" {
			out, _ = of["subjectAltNames"].([]any)
			return out, true
		}
	}
	return nil, false
}

// RuleByMutualTLS says whether a rewrite has put calls to a gateway by mutual TLS into a rule as it is stored.
func RuleByMutualTLS(rule *unstructured.Unstructured) bool {
	return rule.GetAnnotations()[IntentAnnotation] != "" && slices.ContainsFunc(ruleSlots(rule), func(s slot) bool {
		value, _ := s.parent[s.key].(map[string]any)
		return value["mode"] == "ISTIO_MUTUAL"
	})
}

// RuleSealed says whether sidecars may apply a rule, as it is stored, to an egress gateway.
func RuleSealed(rule *unstructured.Unstructured) bool {
	return !slices.ContainsFunc(ruleSlots(rule), inForce)
}

// Credentials returns the credentialNames of a rule.
func Credentials(rule *egress.Rule) (out []string) {
	everySettings(rule.Policy, rule.Subsets, func(settings map[string]any, _ *field.Path) {
		tls, _ := settings["tls"].(map[string]any)
		if name, _ := tls["credentialName"].(string); name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	})
	return out
}

// GatewayRuleInForce is RuleInForce of a rule for an egress gateway's own Service, whose pods have localities to choose among.
func GatewayRuleInForce(intent *unstructured.Unstructured) bool {
	return slices.ContainsFunc(ruleSlots(intent), func(s slot) bool {
		balancer, _ := s.parent[s.key].(map[string]any)
		return inForce(s) && (s.key != "loadBalancer" || egress.IsPassthrough(balancer))
	})
}

// RuleInForce says whether a rule, as its author wrote it, has something that calls to an egress gateway must not be
// under.
func RuleInForce(intent *unstructured.Unstructured) bool {
	return slices.ContainsFunc(ruleSlots(intent), inForce)
}

// CheckRule returns what the exit leg of a sealed host, by the transport of its entry, cannot have of a rule, as its author wrote it.
func CheckRule(rule *egress.Rule, transport egress.Transport) (out Refusals) {
	spec := field.NewPath("spec")
	// By mutual TLS it stands in the place of a client rule, whatever it says.
	if rule.Selects && (rule.HasPolicy() || transport == egress.MutualTLS) {
		out.add("rule-selector", spec.Child("workloadSelector"), "an egress gateway does not know which workload calls, so the rule cannot be for some of them",
			"remove the selector")
	}
	checkPolicy(&out, rule.Policy, spec.Child("trafficPolicy"))
	out = append(out, CheckPassthrough(rule)...)
	for i, item := range rule.Subsets {
		subset, _ := item.(map[string]any)
		at := spec.Child("subsets").Index(i)
		if labels, _ := subset["labels"].(map[string]any); len(labels) > 0 {
			out.add("subset-labels", at.Child("labels"),
				"clients reach the egress gateway, which has no such labels, so the subset would be empty", "give each subset a host of its own")
		}
		if policy, _ := subset["trafficPolicy"].(map[string]any); len(policy) > 0 {
			out.add("subset-policy", at.Child("trafficPolicy"),
				"the egress gateway does not know by which subset it is called", "put the settings into spec.trafficPolicy, or give the subset a host of its own")
		}
	}
	return out
}

func checkPolicy(out *Refusals, policy map[string]any, path *field.Path) {
	const spoken, fix = "it would be spoken to the egress gateway, and not to the host", "remove it"
	if policy["proxyProtocol"] != nil {
		out.add("rule-proxy-protocol", path.Child("proxyProtocol"), spoken, fix)
	}
	if policy["tunnel"] != nil {
		out.add("rule-tunnel", path.Child("tunnel"), spoken, fix)
	}
	settingsOf(policy, path, func(settings map[string]any, path *field.Path) { checkTLS(out, settings, path) })
}

// checkTLS refuses what a client has and a gateway has not, or must not lend.
func checkTLS(out *Refusals, holder map[string]any, path *field.Path) {
	tls, _ := holder["tls"].(map[string]any)
	path = path.Child("tls")
	if mode := tls["mode"]; mode == "ISTIO_MUTUAL" {
		out.add("tls-mode", path.Child("mode"), "ISTIO_MUTUAL speaks the mesh's own TLS, which no host outside the mesh does",
			"set mode SIMPLE to encrypt calls to the host, or remove tls")
	} else if mode == nil || mode == "DISABLE" {
		return
	}
	if name, given := tls["credentialName"].(string); given && len(validation.IsDNS1123Subdomain(name)) > 0 {
		out.add("tls-credential", path.Child("credentialName"), fmt.Sprintf("%q is not the name of a Secret", name), "name a Secret")
	}
	const secret = "name a Secret with %s by credentialName, which beside the gateway is <namespace>.<name>"
	for _, each := range []struct{ key, fix string }{
		{"caCertificates", "remove it, and the gateway trusts the certificate authorities of its own system; or " + fmt.Sprintf(secret, "ca.crt")},
		{"caCrl", "remove it; or " + fmt.Sprintf(secret, "ca.crt and ca.crl")},
		{"clientCertificate", "remove it, and " + fmt.Sprintf(secret, "tls.crt, tls.key and ca.crt")},
		{"privateKey", "remove it, and " + fmt.Sprintf(secret, "tls.crt, tls.key and ca.crt")},
	} {
		if file, given := tls[each.key].(string); given && file != "" && file != "system" {
			out.add("tls-file", path.Child(each.key), fmt.Sprintf("file %q is the client's, and the egress gateway makes the connection", file), each.fix)
		}
	}
}

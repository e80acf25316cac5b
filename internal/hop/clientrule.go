package hop

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// portSNI is what the gateway goes by where calls carry no host that it could read: a name for each port of a host.
// Nobody can have an entry of such a name, so a wildcard's is nobody else's.
func portSNI(host string, port uint32) string {
	kind := ".port"
	if rest, wildcard := strings.CutPrefix(host, "*."); wildcard {
		host, kind = rest, ".wildcard-port"
	}
	return egress.Reserved(fmt.Sprintf("p%d.%s%s", port, host, kind))
}

// IsClientRule says whether a DestinationRule has the name and the marks of one that ClientRule makes.
func IsClientRule(rule *unstructured.Unstructured) bool {
	host, marked := rule.GetAnnotations()[HostAnnotation]
	return marked && rule.GetLabels()[ManagedByLabel] == Manager && rule.GetName() == ClientRuleName(host)
}

// ClientRuleName returns the name of the ClientRule of a host.
func ClientRuleName(host string) string { return exitName(host, "client/"+host) }

// ClientRule returns the object of a ClientRuleSpec, nil for none.
func ClientRule(namespace, host string, spec map[string]any, gateway string) Object {
	if spec == nil {
		return nil
	}
	of := meta(namespace, ClientRuleName(host), host)
	of.Labels[GatewayLabel] = gateway
	return untyped("DestinationRule", of, spec)
}

// ClientRuleSpec returns the spec of the DestinationRule of ours by which clients of a namespace's own entries of a host call their
// egress gateway by mutual TLS, and the gateway's name: it gives the calls of each port that needs one an SNI, and stands
// before wildcard rules that would have the gateway called otherwise. Istio goes by it in the place of an author's wherever the two
// are not exported alike, so it has what that says. While the entries are passing there is none. A namespace
// without an entry that has a rule of the host, with no policy, is given one as well. Without need of either it is nil.
func ClientRuleSpec(mesh *egress.Mesh, view egress.View, namespace, host string) (spec map[string]any, gateway string) {
	if Passing(view, namespace, host) {
		return nil, ""
	}
	rule, entries := view.Rule(namespace, host), seen(egress.ByMutualTLS(view.Entries(host), namespace))
	exportTo := exportedBy(entries, namespace)
	if len(entries) == 0 {
		entries, exportTo = hidden(rule, view, namespace, host), []any{"."}
	}
	sni := portsBySNI(mesh, entries, host)
	covered := rule.HasPolicy() && rule.Host != host
	if len(entries) == 0 || len(sni) == 0 && !covered {
		return nil, ""
	}
	var policy map[string]any
	if rule.HasPolicy() {
		policy = rule.Policy
	}
	gw, _ := mesh.GatewayByName(entries[0].Gateway)
	spec = map[string]any{"host": host, "trafficPolicy": clientPolicy(policy, sni, mutual(identities(mesh, entries)))}
	if len(exportTo) > 0 {
		spec["exportTo"] = exportTo
	}
	if subsets := bareSubsets(rule); len(subsets) > 0 {
		spec["subsets"] = subsets
	}
	return spec, gw.Name
}

// hidden returns the entries of another namespace by which a governed one finds a host, where a rule of its own for the host has
// Istio look for none beside them. One that sets a policy is sealed, and calls the gateway as ours would; wildcards may cover any
// number of hosts, and are refused.
func hidden(rule *egress.Rule, view egress.View, namespace, host string) []*egress.Entry {
	serving := egress.Serving(view.Entries(host), namespace)
	if rule == nil || rule.Host != host || rule.HasPolicy() || view.GatewayOf(namespace) == "" ||
		serving == nil || serving.Namespace == namespace || serving.Gateway == "" || serving.Transport != egress.MutualTLS || Passing(view, serving.Namespace, host) {
		return nil
	}
	return seen(egress.ByMutualTLS(view.Entries(host), serving.Namespace))
}

// seen leaves out the entries that are exported to nobody.
func seen(entries []*egress.Entry) (out []*egress.Entry) {
	for _, entry := range entries {
		if names, all := egress.Clients(entry.ExportTo, entry.Namespace); all || len(names) > 0 {
			out = append(out, entry)
		}
	}
	return out
}

// bareSubsets returns those of a rule that are names and no more, to which routes may lead.
func bareSubsets(rule *egress.Rule) (out []any) {
	if rule == nil {
		return nil
	}
	seen := map[string]bool{}
	for _, item := range rule.Subsets {
		subset, _ := item.(map[string]any)
		name, _ := subset["name"].(string)
		if seen[name] || len(subset) != 1 || len(validation.IsDNS1123Label(strings.ToLower(name))) > 0 {
			continue
		}
		seen[name] = true
		out = append(out, map[string]any{"name": name})
	}
	return out
}

// exportedBy returns who must see the rule: whoever sees some of the entries; empty for everybody. The namespace itself and others are not
// named together: to some of those whom it names, Istio would not show a rule of which an older one names the others. Nobody goes by it who
// does not see the entries.
func exportedBy(entries []*egress.Entry, namespace string) (out []any) {
	for _, entry := range entries {
		names, all := egress.Clients(entry.ExportTo, namespace)
		if all {
			return nil
		}
		for _, name := range names {
			if !slices.Contains(out, any(name)) {
				out = append(out, name)
			}
		}
	}
	if len(out) > 1 && slices.Contains(out, any(namespace)) {
		return nil
	}
	return out
}

// identities returns the names of the egress gateways by mutual TLS that entries are sealed to, and move to: whoever moves is called by
// one rule before and after.
func identities(mesh *egress.Mesh, entries []*egress.Entry) (out []any) {
	var names []string
	for _, entry := range entries {
		for _, leg := range []egress.Leg{entry.Leg(), entry.Moving} {
			if gw, known := mesh.GatewayByName(leg.Gateway); known && leg.Transport == egress.MutualTLS {
				names = append(names, mesh.IdentityOf(gw))
			}
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		out = append(out, name)
	}
	return out
}

// mutual are the settings by which proxies call egress gateways of these names, where they do not find them by themselves.
func mutual(names []any) map[string]any {
	return map[string]any{"mode": "ISTIO_MUTUAL", "subjectAltNames": names}
}

// mutualByName are the same for a port that the gateway tells by a name.
func mutualByName(names []any, sni string) map[string]any {
	out := mutual(names)
	out["sni"] = sni
	return out
}

// portsBySNI returns the settings of each port of one host's entries that a gateway tells by its SNI, by number.
func portsBySNI(mesh *egress.Mesh, entries []*egress.Entry, host string) map[uint32]map[string]any {
	out, names := map[uint32]map[string]any{}, identities(mesh, entries)
	for _, entry := range entries {
		for _, port := range entry.Ports {
			if egress.FamilyOf(port.Protocol) != egress.FamilyHTTP && out[port.Number] == nil {
				out[port.Number] = mutualByName(names, portSNI(host, port.Number))
			}
		}
	}
	return out
}

// clientPolicy returns an author's traffic policy as calls to an egress gateway by mutual TLS may be under it: encrypted as
// the gateway takes them, without ejection, since the gateway would be ejected for what the host answers, and without a choice
// among endpoints of the host. What is
// replaced stays in its place, so that a correction of the author's is seen. It shares nothing with the policy.
func clientPolicy(policy map[string]any, sni map[uint32]map[string]any, tls map[string]any) map[string]any {
	out := runtime.DeepCopyJSON(policy)
	if out == nil {
		out = map[string]any{}
	}
	replace := func(settings map[string]any) {
		if settings["tls"] != nil {
			settings["tls"] = runtime.DeepCopyJSON(tls)
		}
		if settings["outlierDetection"] != nil {
			settings["outlierDetection"] = unruled("outlierDetection")
		}
		if balancer, _ := settings["loadBalancer"].(map[string]any); balances(balancer) {
			settings["loadBalancer"] = unruled("loadBalancer")
		}
	}
	replace(out)
	levels, _ := out["portLevelSettings"].([]any)
	given := map[uint32]bool{}
	for _, item := range levels {
		level, _ := item.(map[string]any)
		number := egress.PortOf(level)
		given[number] = true
		replace(level)
		if of, needs := sni[number]; needs {
			level["tls"] = of
		}
	}
	for _, number := range slices.Sorted(maps.Keys(sni)) {
		if given[number] {
			continue
		}
		// The settings of a port stand in the place of all general ones.
		level := map[string]any{"port": map[string]any{"number": int64(number)}}
		for _, key := range egress.PortSettings {
			if value, has := out[key]; has {
				level[key] = runtime.DeepCopyJSONValue(value)
			}
		}
		level["tls"] = sni[number]
		levels = append(levels, level)
	}
	if len(levels) > 0 {
		out["portLevelSettings"] = levels
	}
	return out
}

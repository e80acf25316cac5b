package egress

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Rule is the part of a DestinationRule that governs egress, as its author wrote it.
type Rule struct {
	Namespace, Name string
	// Created orders rules: of several for one host in a namespace, Istio takes the policy of the oldest that has one.
	Created time.Time
	// Host is canonical, a short name expanded; it may be a wildcard.
	Host string
	// Policy is spec.trafficPolicy, nil for none.
	Policy map[string]any
	// Subsets are spec.subsets.
	Subsets []any
	// Selects says that the rule is for some workloads of its clients alone.
	Selects bool
	// ExportTo is as written.
	ExportTo []string
	// InForce says that it has something that calls to an egress gateway must not be under, Sealed that the stored form
	// has nothing of it.
	InForce, Sealed bool
	// ByMutualTLS says that the stored form calls a gateway by mutual TLS.
	ByMutualTLS bool
}

// ReadRule reads a DestinationRule; what is not as Istio's API has it is left out.
func (m *Mesh) ReadRule(object *unstructured.Unstructured) *Rule {
	spec, _ := object.Object["spec"].(map[string]any)
	host, _ := spec["host"].(string)
	out := &Rule{
		Namespace: object.GetNamespace(), Name: object.GetName(), Created: object.GetCreationTimestamp().Time,
		Host: m.Qualify(host, object.GetNamespace()), ExportTo: ExportTo(object),
	}
	out.Policy, _ = spec["trafficPolicy"].(map[string]any)
	out.Subsets, _ = spec["subsets"].([]any)
	_, out.Selects = spec["workloadSelector"].(map[string]any)
	return out
}

// Older orders rules: negative where r comes before another.
func (r *Rule) Older(other *Rule) int {
	return cmp.Or(r.Created.Compare(other.Created), cmp.Compare(r.Name, other.Name))
}

// Before says whether a rule of a host stands before a wildcard of its namespace for all who call the host by an entry: others
// than the namespace itself see of the two what is exported to them, and no rule that is for some workloads.
func (r *Rule) Before(wildcard *Rule, entry *Entry) bool {
	if entry.Namespace != r.Namespace {
		// Whoever else calls by it looks for the rules of its namespace.
		return true
	}
	own, everybody := Clients(r.ExportTo, r.Namespace)
	if r.Selects {
		own, everybody = nil, false
	}
	var needed []string
	callers, all := Clients(entry.ExportTo, entry.Namespace)
	covered, allCovered := Clients(wildcard.ExportTo, wildcard.Namespace)
	switch {
	case all && allCovered:
		return everybody
	case all:
		needed = covered
	case allCovered:
		needed = callers
	default:
		needed = slices.DeleteFunc(callers, func(name string) bool { return !slices.Contains(covered, name) })
	}
	return everybody || !slices.ContainsFunc(needed, func(name string) bool { return name != r.Namespace && !slices.Contains(own, name) })
}

// HasPolicy says whether calls are under a traffic policy; not so under a nil rule.
func (r *Rule) HasPolicy() bool { return r != nil && r.Policy != nil }

// HasSubset says whether the rule names a subset; not so a nil rule.
func (r *Rule) HasSubset(name string) bool {
	return r != nil && slices.ContainsFunc(r.Subsets, func(item any) bool {
		subset, _ := item.(map[string]any)
		return subset["name"] == name
	})
}

// Same says whether two rules say the same of the same host.
func (r *Rule) Same(other *Rule) bool { return reflect.DeepEqual(r, other) }

// PortSettings are those of a policy that may be given for each port.
var PortSettings = []string{"connectionPool", "loadBalancer", "outlierDetection", "tls"}

// Settings returns what the rule says of a port, nil for nothing. Like Istio's, the settings of a port stand in the place of all general
// ones.
func (r *Rule) Settings(port uint32) map[string]any {
	if r == nil {
		return nil
	}
	from := r.Policy
	levels, _ := r.Policy["portLevelSettings"].([]any)
	for _, item := range levels {
		level, _ := item.(map[string]any)
		if PortOf(level) == port {
			from = level
			break
		}
	}
	var out map[string]any
	for _, key := range PortSettings {
		if value, ok := from[key].(map[string]any); ok {
			if out == nil {
				out = map[string]any{}
			}
			out[key] = value
		}
	}
	return out
}

// PortOf returns the port of the settings of one.
func PortOf(level map[string]any) uint32 {
	of, _ := level["port"].(map[string]any)
	return Number(of["number"])
}

// TLS returns the settings by which the rule encrypts calls of a port, as a gateway has them; nil where it does not.
func (r *Rule) TLS(port uint32) map[string]any {
	tls, _ := r.Settings(port)["tls"].(map[string]any)
	if mode, _ := tls["mode"].(string); mode == "" || mode == "DISABLE" {
		return nil
	}
	if name, _ := tls["credentialName"].(string); name != "" {
		tls = maps.Clone(tls)
		tls["credentialName"] = Credential(r.Namespace, name)
	}
	return tls
}

// OwnTLS returns those of some ports that apps speak TLS to themselves, though the rule would encrypt their calls: a gateway passes these on
// as they are, and so encrypts HTTP calls alone that a route leads there.
func (r *Rule) OwnTLS(ports []Port) (out []Port) {
	for _, port := range ports {
		if FamilyOf(port.Protocol) == FamilyTLS && r.TLS(port.Number) != nil {
			out = append(out, port)
		}
	}
	return out
}

// Credential returns the name of the Secret in the gateway's namespace that stands for a credentialName of a namespace's
// rule. No namespace can name another's.
func Credential(namespace, name string) string { return namespace + "." + name }

// Beyond returns what the rule says of a port that is not about encryption, nil for nothing.
func (r *Rule) Beyond(port uint32) map[string]any {
	out := r.Settings(port)
	delete(out, "tls")
	if balancer, _ := out["loadBalancer"].(map[string]any); IsPassthrough(balancer) {
		// What calls come to a gateway by is its own address.
		delete(out, "loadBalancer")
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// IsPassthrough says whether settings of load balancing lead calls to the address that was dialled.
func IsPassthrough(balancer map[string]any) bool { return balancer["simple"] == "PASSTHROUGH" }

// Under returns the definition as it is under the rule of its clients; nil is none.
func (d Definition) Under(rule *Rule) Definition {
	tls := map[uint32]map[string]any{}
	for _, port := range d.Ports {
		if settings := d.encryptedBy(rule, port.Number); settings != nil {
			tls[port.Number] = settings
		}
	}
	if len(tls) == 0 {
		return d
	}
	d.TLS = tls
	return d.digested()
}

// encryptedBy returns how calls of a port are encrypted under a rule, nil where they are not.
func (d Definition) encryptedBy(rule *Rule, port uint32) map[string]any {
	tls := rule.TLS(port)
	if tls == nil {
		return nil
	}
	return withAltNames(tls, d.altNames)
}

// EncryptedAs says whether an exit encrypts calls that come by the entry to an HTTP port as a rule would have it; true where the
// rule has nothing of it.
func (e *Entry) EncryptedAs(rule *Rule, port Port, exit *Exit) bool {
	tls := e.Definition.encryptedBy(rule, port.Number)
	return tls == nil || FamilyOf(port.Protocol) != FamilyHTTP || sameTLS(tls, exit.Definition.TLS[port.Number])
}

// withAltNames has the names of the entry where the rule gives none, as Istio does.
func withAltNames(tls map[string]any, names []string) map[string]any {
	if tls["subjectAltNames"] != nil || len(names) == 0 {
		return tls
	}
	out := maps.Clone(tls)
	out["subjectAltNames"] = list(names)
	return out
}

// ByCertificate says whether a port is encrypted with a client's certificate.
func (d Definition) ByCertificate(port uint32) bool { return d.TLS[port]["mode"] == "MUTUAL" }

// encrypted says in a word how calls of a port go on from the gateway.
func encrypted(tls map[string]any) string {
	if tls == nil {
		return "in clear"
	}
	mode, _ := tls["mode"].(string)
	return "by TLS " + mode
}

func sameTLS(a, b map[string]any) bool {
	return len(a) == len(b) && (len(a) == 0 || reflect.DeepEqual(a, b))
}

// mergedTLS is the union of two, where a port that both encrypt is the first's.
func mergedTLS(first, second map[uint32]map[string]any) map[uint32]map[string]any {
	if len(second) == 0 {
		return first
	}
	out := maps.Clone(second)
	maps.Copy(out, first)
	return out
}

// Governing returns the entry by which calls that are under a rule reach its host through an egress gateway, nil for none: the rule is
// then no business of a gateway's.
func (m *Mesh) Governing(rule *Rule, view View) *Entry {
	concerned := Concerned(view.Entries(rule.Host), rule.Namespace)
	if concerned == nil || concerned.Gateway == "" {
		return nil
	}
	return concerned
}

// Beside returns the entry of another namespace by which a rule's own reaches its host through an egress gateway, while the one that
// governs it is for others alone; nil for none.
func (m *Mesh) Beside(rule *Rule, view View) *Entry {
	entries := view.Entries(rule.Host)
	serving := Serving(entries, rule.Namespace)
	if serving == nil || serving.Gateway == "" || serving == Concerned(entries, rule.Namespace) {
		return nil
	}
	return serving
}

// Seals says whether a rule's settings can be left to the exit of its host: it has one, and encrypts as the rule does.
// Otherwise clients keep them, and calls fail at the gateway rather than leave in clear.
func (m *Mesh) Seals(rule *Rule, view View) bool {
	governing, beside := m.Governing(rule, view), m.Beside(rule, view)
	return governing != nil && m.leftToExit(rule, governing, view) && (beside == nil || m.leftToExit(rule, beside, view))
}

// leftToExit says whether the settings can be left to the exit by which the calls of an entry go.
func (m *Mesh) leftToExit(rule *Rule, entry *Entry, view View) bool {
	if entry.Led {
		return false
	}
	gw, _ := m.GatewayByName(entry.Gateway)
	exit := view.Exit(rule.Host, gw.Namespace())
	if exit == nil {
		return false
	}
	return !slices.ContainsFunc(PortsBeside(entry, view.Entries(rule.Host)), func(port Port) bool { return !entry.EncryptedAs(rule, port, exit) })
}

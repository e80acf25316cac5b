package hop

import (
	"slices"
	"strconv"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// WaypointPolicyName returns the name of the WaypointPolicy of an entry.
func WaypointPolicyName(entry string) string { return exitName(entry, "waypoint/"+entry) }

// WaypointPolicySpec returns the spec of the AuthorizationPolicy of ours by which the waypoint of an entry turns away who may not call
// all of its ports: whom no entry of some host lets in, since ztunnel goes by one entry for all that have none of their own; and calls
// for other hosts, to which the gateway would lead them, since it goes by what a call asks for, and the waypoint by the address that
// the app dialled. It denies, so that no policy of a tenant's lets in more. Where the entry is bound to no waypoint, it is nil.
func WaypointPolicySpec(mesh *egress.Mesh, view egress.View, entry *egress.Entry) map[string]any {
	gw, known := mesh.GatewayByName(entry.Gateway)
	if !known || entry.Waypoint.Name == "" {
		return nil
	}
	governed := func(namespace string) bool { return view.GatewayOf(namespace) != "" }
	exit := func(host string) *egress.Exit { return view.Exit(host, gw.Namespace()) }
	may := egress.Callers{Anyone: true}
	for _, host := range entry.Hosts {
		of := exit(host)
		for _, port := range entry.Ports {
			may = may.And(of.Callers(port.Number, entry.Leg(), governed))
		}
	}
	rules := otherHosts(entry, exit)
	if !may.Anyone {
		// Without a condition it is for all.
		others := map[string]any{}
		if principals := (callers{egress.Grants{entry.Namespace: may}, mesh, view}).principals(); len(principals) > 0 {
			others["from"] = []any{map[string]any{"source": map[string]any{"notPrincipals": principals}}}
		}
		rules = append([]any{others}, rules...)
	}
	return map[string]any{
		"targetRefs": []any{map[string]any{"group": "networking.istio.io", "kind": "ServiceEntry", "name": entry.Name}},
		"action":     "DENY",
		"rules":      rules,
	}
}

// otherHosts returns the rules for calls that ask for other hosts than the entry's, or for other ports of them, by Host and by SNI. Each
// leaves out the ports of the other kind, on which Istio overlooks its condition, and so would have it deny all.
func otherHosts(entry *egress.Entry, exit func(host string) *egress.Exit) (out []any) {
	if len(egress.PortsOf(entry.Ports, egress.FamilyHTTP)) > 0 {
		operation := map[string]any{"notHosts": asked(entry, exit)}
		if others := besides(entry.Ports, egress.FamilyHTTP); len(others) > 0 {
			operation["notPorts"] = others
		}
		out = append(out, map[string]any{"to": []any{map[string]any{"operation": operation}}})
	}
	if len(egress.PortsOf(entry.Ports, egress.FamilyTLS)) > 0 {
		names := make([]any, len(entry.Hosts))
		for i, host := range entry.Hosts {
			names[i] = host
		}
		rule := map[string]any{"when": []any{map[string]any{"key": "connection.sni", "notValues": names}}}
		if others := besides(entry.Ports, egress.FamilyTLS); len(others) > 0 {
			rule["to"] = []any{map[string]any{"operation": map[string]any{"notPorts": others}}}
		}
		out = append(out, rule)
	}
	return out
}

// asked returns what HTTP calls by the entry have in their Host header: a host with each of its ports, and without one where the
// gateway leads that to a port of the entry.
func asked(entry *egress.Entry, exit func(host string) *egress.Exit) (out []any) {
	has80 := func(ports []egress.Port) bool { return slices.Contains(egress.PortsOf(ports, egress.FamilyHTTP), 80) }
	for _, host := range entry.Hosts {
		if of := exit(host); has80(entry.Ports) || of == nil || !has80(of.Definition.Ports) {
			out = append(out, host)
		}
		for _, port := range entry.Ports {
			out = append(out, host+":"+number(port))
		}
	}
	return out
}

// besides returns the numbers of the ports that are not of a family.
func besides(ports []egress.Port, family egress.Family) (out []any) {
	for _, port := range ports {
		if egress.FamilyOf(port.Protocol) != family {
			out = append(out, number(port))
		}
	}
	return out
}

func number(port egress.Port) string { return strconv.FormatUint(uint64(port.Number), 10) }

// principals returns the callers as AuthorizationPolicies name them: service accounts, or all of a namespace.
func (c callers) principals() (out []any) {
	for _, name := range c.bounded(func(namespace string, accounts []string) []string {
		of := c.mesh.TrustDomain + "/ns/" + namespace + "/sa/"
		if accounts == nil {
			return []string{of + "*"}
		}
		out := make([]string, len(accounts))
		for i, account := range accounts {
			out[i] = of + account
		}
		return out
	}) {
		out = append(out, name)
	}
	return out
}

// WaypointPolicy returns the object of a WaypointPolicySpec, nil for none.
func WaypointPolicy(entry *egress.Entry, spec map[string]any) Object {
	if spec == nil {
		return nil
	}
	of := meta(entry.Namespace, WaypointPolicyName(entry.Name), "")
	of.Labels[GatewayLabel] = entry.Gateway
	of.Annotations = map[string]string{EntryAnnotation: entry.Name}
	out := untyped("AuthorizationPolicy", of, spec)
	out.SetAPIVersion("security.istio.io/v1")
	return out
}

package hop

import (
	"github.com/egress-governor/egress-governor/internal/egress"
)

// WaypointPolicyName returns the name of the WaypointPolicy of an entry.
func WaypointPolicyName(entry string) string { return exitName(entry, "waypoint/"+entry) }

// WaypointPolicySpec returns the spec of the AuthorizationPolicy of ours by which the waypoint of an entry turns everybody away but
// those who may call all of its ports: whom some entry of each host lets in, since ztunnel goes by one entry for all that have none
// of their own. It denies, so that no policy of a tenant's lets in more. Where everybody may call, or the entry is bound to no
// waypoint, it is nil.
func WaypointPolicySpec(mesh *egress.Mesh, view egress.View, entry *egress.Entry) map[string]any {
	gw, known := mesh.GatewayByName(entry.Gateway)
	if !known || entry.Waypoint.Name == "" {
		return nil
	}
	governed := func(namespace string) bool { return view.GatewayOf(namespace) != "" }
	may := egress.Callers{Anyone: true}
	for _, host := range entry.Hosts {
		exit := view.Exit(host, gw.Namespace())
		for _, port := range entry.Ports {
			may = may.And(exit.Callers(port.Number, entry.Leg(), governed))
		}
	}
	if may.Anyone {
		return nil
	}
	// Without a condition it is for all.
	rule := map[string]any{}
	if principals := (callers{egress.Grants{entry.Namespace: may}, mesh, view}).principals(); len(principals) > 0 {
		rule["from"] = []any{map[string]any{"source": map[string]any{"notPrincipals": principals}}}
	}
	return map[string]any{
		"targetRefs": []any{map[string]any{"group": "networking.istio.io", "kind": "ServiceEntry", "name": entry.Name}},
		"action":     "DENY",
		"rules":      []any{rule},
	}
}

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

package egress

import (
	"cmp"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Document returns the facts as the policy input has them (docs/policies.md).
func (f Facts) Document(mesh *Mesh) map[string]any {
	hosts, routes, conflicts := make([]any, len(f.Hosts)), make([]any, len(f.Routes)), make([]any, len(f.Conflicts))
	clients := make([]any, len(f.Clients))
	for i, name := range f.Clients {
		client := map[string]any{"namespace": name}
		if f.Accounts != nil {
			client["serviceAccounts"] = list(f.Accounts[name])
		}
		clients[i] = client
	}
	for i, h := range f.Hosts {
		host := map[string]any{
			"host": h.Host, "canonical": h.Canonical, "wildcard": IsWildcard(h.Canonical), "ip": IsIP(h.Canonical),
			"stored": cmp.Or(h.Stored, h.Host), "patterns": patterns(h.Canonical), "inMesh": h.InMesh, "leaves": h.Leaves, "endpoint": h.Endpoint, "field": h.Path.String(),
		}
		if h.Owner != nil {
			host["owner"] = ownerDocument(h.Owner)
		}
		hosts[i] = host
	}
	for i, r := range f.Routes {
		routes[i] = map[string]any{
			"host": r.Host, "port": int64(r.Port), "protocol": r.Protocol, "from": r.From, "via": r.Via, "gateway": r.Gateway,
			"field": r.Path.String(),
		}
	}
	for i, c := range f.Conflicts {
		conflicts[i] = map[string]any{"host": c.Host, "owner": ownerDocument(c.Owner), "reason": c.Reason, "field": c.Path.String()}
	}
	return map[string]any{
		"clusterDomain": mesh.ClusterDomain, "gateway": f.Gateway, "internal": f.Internal, "clients": clients, "allClients": f.AllClients,
		"hosts": hosts, "routes": routes, "conflicts": conflicts,
		"onGateways": paths(f.OnGateways), "onGatewaysForOthers": paths(f.ForOthers),
	}
}

func paths(of []*field.Path) []any {
	out := make([]any, len(of))
	for i, path := range of {
		out[i] = path.String()
	}
	return out
}

func patterns(canonical string) []any { return list(Patterns(canonical)) }

// list is a list of an object.
func list(of []string) []any {
	out := make([]any, len(of))
	for i, item := range of {
		out[i] = item
	}
	return out
}

func ownerDocument(owner *Entry) map[string]any {
	return map[string]any{"namespace": owner.Namespace, "name": owner.Name}
}

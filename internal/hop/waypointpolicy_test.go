package hop

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// TestWhomAWaypointTurnsAway: everybody but those whom some entry of each host lets in, on each port.
func TestWhomAWaypointTurnsAway(t *testing.T) {
	t.Parallel()
	http, tls := egress.Port{Number: 80, Name: "http", Protocol: "HTTP"}, egress.Port{Number: 443, Name: "tls", Protocol: "TLS"}
	const host = "api.example.com"
	entry := func(namespace string, exportTo []string, ports ...egress.Port) *egress.Entry {
		out := egresstest.Sealed(host, ports...)
		out.Namespace, out.ExportTo = namespace, exportTo
		return out
	}
	askOthers := map[string]any{"to": []any{map[string]any{"operation": map[string]any{"notHosts": []any{host, host + ":80"}}}}}
	not := func(principals ...any) []any {
		if len(principals) == 0 {
			return []any{map[string]any{}, askOthers}
		}
		return []any{map[string]any{"from": []any{map[string]any{"source": map[string]any{"notPrincipals": principals}}}}, askOthers}
	}
	beside := []any{
		map[string]any{"to": []any{map[string]any{"operation": map[string]any{"notHosts": []any{host, host + ":80", host + ":443"}, "notPorts": []any{"443"}}}}},
		map[string]any{"when": []any{map[string]any{"key": "connection.sni", "notValues": []any{host}}}, "to": []any{map[string]any{"operation": map[string]any{"notPorts": []any{"80"}}}}},
	}
	const a, b, c = "cluster.local/ns/a/sa/*", "cluster.local/ns/b/sa/*", "cluster.local/ns/c/sa/*"
	for name, tc := range map[string]struct {
		own    *egress.Entry
		others []*egress.Entry
		want   []any
	}{
		"its own namespace":         {entry("a", []string{"."}, http), nil, not(a)},
		"those it is exported to":   {entry("a", []string{".", "b", "nobody-governs"}, http), nil, not(a, b)},
		"everybody":                 {entry("a", nil, http), nil, []any{askOthers}},
		"those of others' entries":  {entry("a", []string{"."}, http), []*egress.Entry{entry("b", []string{"c"}, http)}, not(a, b, c)},
		"not of others' own ports":  {entry("a", []string{"."}, http, tls), []*egress.Entry{entry("b", []string{"."}, http)}, append(not(a)[:1], beside...)},
		"of a suspended one nobody": {func() *egress.Entry { out := entry("a", []string{"."}, http); out.Suspended = true; return out }(), nil, not()},
	} {
		mesh := egresstest.Ambient()
		cluster := egresstest.NewCluster()
		cluster.Mesh, cluster.Leaving = mesh, map[string]string{"a": "default", "b": "default", "c": "default"}
		cluster.Known = append([]*egress.Entry{tc.own}, tc.others...)
		assert.Nil(t, WaypointPolicySpec(mesh, cluster, tc.own), "%s: one that is bound to none", name)
		tc.own.Waypoint = egress.Waypoint{Namespace: "egress", Name: "waypoint"}
		spec := WaypointPolicySpec(mesh, cluster, tc.own)
		assert.Equal(t, map[string]any{
			"action": "DENY", "rules": tc.want,
			"targetRefs": []any{map[string]any{"group": "networking.istio.io", "kind": "ServiceEntry", "name": host}},
		}, spec, name)
	}
}

// TestWhatAWaypointIsAskedFor: a host without a port is what the gateway takes for port 80 of it, so that entries of other ports are
// asked for by it only where nobody has that.
func TestWhatAWaypointIsAskedFor(t *testing.T) {
	t.Parallel()
	http, alt := egress.Port{Number: 80, Name: "http", Protocol: "HTTP"}, egress.Port{Number: 8080, Name: "alt", Protocol: "GRPC"}
	const host = "api.example.com"
	entry := func(namespace string, ports ...egress.Port) *egress.Entry {
		out := egresstest.Sealed(host, ports...)
		out.Namespace, out.Waypoint = namespace, egress.Waypoint{Namespace: "egress", Name: "waypoint"}
		return out
	}
	to := func(operation map[string]any) []any { return []any{map[string]any{"operation": operation}} }
	for name, tc := range map[string]struct {
		own   *egress.Entry
		other []*egress.Entry
		want  []any
	}{
		"the only port":         {entry("a", alt), nil, []any{map[string]any{"to": to(map[string]any{"notHosts": []any{host, host + ":8080"}})}}},
		"another one's port 80": {entry("a", alt), []*egress.Entry{entry("b", http)}, []any{map[string]any{"to": to(map[string]any{"notHosts": []any{host + ":8080"}})}}},
	} {
		cluster := egresstest.NewCluster()
		cluster.Mesh, cluster.Leaving = egresstest.Ambient(), map[string]string{"a": "default", "b": "default"}
		cluster.Known = append([]*egress.Entry{tc.own}, tc.other...)
		assert.Equal(t, tc.want, WaypointPolicySpec(cluster.Mesh, cluster, tc.own)["rules"], name)
	}
}

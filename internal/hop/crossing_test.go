package hop_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// TestWhatCrosses are the calls that a rule encrypts and apps do not, and by mutual TLS those under a wildcard's rule, before which one of ours
// stands; none that a gateway does not carry.
func TestWhatCrosses(t *testing.T) {
	t.Parallel()
	const simple, off, pool = `{tls: {mode: SIMPLE}}`, `{tls: {mode: DISABLE}}`, `{connectionPool: {tcp: {maxConnections: 9}}}`
	for name, each := range map[string]struct {
		host, policy, protocol string
		plain, mutual          bool
	}{
		"HTTP":                        {"api.example.com", simple, "HTTP", true, true},
		"GRPC":                        {"api.example.com", simple, "GRPC", true, true},
		"TCP":                         {"api.example.com", simple, "TCP", false, true},
		"TLS of the app's":            {"api.example.com", simple, "TLS", false, false},
		"not encrypted":               {"api.example.com", off, "HTTP", false, false},
		"another port's":              {"api.example.com", `{portLevelSettings: [{port: {number: 81}, tls: {mode: SIMPLE}}]}`, "HTTP", false, false},
		"by a certificate":            {"api.example.com", `{portLevelSettings: [{port: {number: 80}, tls: {mode: MUTUAL}}]}`, "HTTP", true, true},
		"a wildcard that encrypts":    {"*.example.com", simple, "HTTP", true, true},
		"TLS under a wildcard":        {"*.example.com", pool, "TLS", false, true},
		"TCP under a wildcard":        {"*.example.com", pool, "TCP", false, true},
		"HTTP under a wildcard":       {"*.example.com", pool, "HTTP", false, false},
		"TLS twice under a wildcard":  {"*.example.com", simple, "TLS", false, false},
		"TLS under the host's rule":   {"api.example.com", pool, "TLS", false, false},
		"a rule without a policy":     {"*.example.com", `null`, "TCP", false, false},
		"a protocol that has no name": {"api.example.com", simple, "UDP", false, false},
	} {
		mesh := egresstest.Mesh()
		rule := mesh.ReadRule(object(t, fmt.Sprintf(`{kind: DestinationRule, metadata: {name: r, namespace: payments}, spec: {host: %q, trafficPolicy: %s}}`, each.host, each.policy)))
		port := egress.Port{Number: 80, Protocol: each.protocol}
		assert.Equal(t, each.plain, hop.Crosses(rule, "api.example.com", port, mesh.Gateways[0]), "%s, by Plain", name)
		assert.Equal(t, each.mutual, hop.Crosses(rule, "api.example.com", port, egresstest.MutualTLS().Gateways[0]), "%s, by MutualTLS", name)
	}
	mesh := egresstest.Mesh()
	port := egress.Port{Number: 80, Protocol: "HTTP"}
	assert.False(t, hop.Crosses(nil, "api.example.com", port, mesh.Gateways[0]))
	encrypts := mesh.ReadRule(object(t, `{kind: DestinationRule, metadata: {name: r, namespace: payments}, spec: {host: api.example.com, trafficPolicy: {tls: {mode: SIMPLE}}}}`))
	mesh.Gateways[0].HTTPPort = 0
	assert.False(t, hop.Crosses(encrypts, "api.example.com", port, mesh.Gateways[0]), "the gateway takes none")
}

// TestACrossing takes the clusters of a host's port away, its subsets' too, and puts its own in their place, which lead to the gateway: as the app
// speaks, or by the certificates of the mesh to nobody but the gateway.
func TestACrossing(t *testing.T) {
	t.Parallel()
	for _, mesh := range []*egress.Mesh{egresstest.Mesh(), egresstest.MutualTLS()} {
		gw := mesh.Gateways[0]
		crossed := []hop.Crossed{
			{Gateway: gw, Host: "api.example.com", Port: egress.Port{Number: 8080, Protocol: "HTTP"}, Subsets: []string{"v1"}},
			{Gateway: gw, Host: "*.example.com", Port: egress.Port{Number: 50051, Protocol: "GRPC"}},
		}
		if gw.Transport == egress.MutualTLS {
			crossed = append(crossed, hop.Crossed{Gateway: gw, Host: "db.example.com", Port: egress.Port{Number: 5432, Protocol: "TCP"}})
		}
		out := hop.Crossing(mesh, "shop", "payments", crossed)
		assert.Equal(t, "shop/egress-governor-crossing-payments", out.GetNamespace()+"/"+out.GetName())
		assert.Equal(t, "payments", out.GetLabels()[hop.CrossingLabel])
		assert.NotContains(t, out.Object["spec"], "workloadSelector", "for all proxies of the namespace")
		patches := out.Object["spec"].(map[string]any)["configPatches"].([]any)
		var names []string
		for i := 0; i+1 < len(patches); i += 2 {
			gone, instead := patches[i].(map[string]any), patches[i+1].(map[string]any)
			name := gone["match"].(map[string]any)["cluster"].(map[string]any)["name"]
			value := instead["patch"].(map[string]any)["value"].(map[string]any)
			assert.Equal(t, "REMOVE", gone["patch"].(map[string]any)["operation"])
			assert.Equal(t, "ADD", instead["patch"].(map[string]any)["operation"])
			assert.Equal(t, name, value["name"])
			for _, each := range []map[string]any{gone, instead} {
				assert.Equal(t, "SIDECAR_OUTBOUND", each["match"].(map[string]any)["context"], "a gateway's own clusters are left alone")
			}
			raw, err := yaml.Marshal(value)
			require.NoError(t, err)
			said := string(raw)
			tcp := strings.Contains(said, "5432")
			assert.Contains(t, said, "address: "+gw.Service)
			assert.Contains(t, said, fmt.Sprintf("port_value: %d\n", map[bool]int{false: 80, true: 443}[tcp]))
			assert.Equal(t, strings.Contains(said, "50051"), strings.Contains(said, "http2_protocol_options"))
			assert.Equal(t, gw.Transport == egress.MutualTLS, strings.Contains(said, "UpstreamTlsContext"))
			assert.Equal(t, gw.Transport == egress.MutualTLS, strings.Contains(said, "exact: "+mesh.IdentityOf(gw)))
			assert.Equal(t, tcp, strings.Contains(said, "sni: p5432.db.example.com.port.egress-governor.internal"), "the name of a door")
			names = append(names, name.(string))
		}
		want := []string{"outbound|8080||api.example.com", "outbound|8080|v1|api.example.com", "outbound|50051||*.example.com", "outbound|5432||db.example.com"}
		assert.Equal(t, want[:len(names)], names)
		assert.NotPanics(t, func() { out.DeepCopy() })
	}
}

// TestWhatIsKnownForACrossing is what Crossing makes, HTTP that is led to a TLS port by MutualTLS among it, and nothing that asks for another host.
func TestWhatIsKnownForACrossing(t *testing.T) {
	t.Parallel()
	mesh := egresstest.MutualTLS()
	for _, protocol := range []string{"HTTP", "GRPC"} {
		for _, led := range []bool{false, true} {
			of := hop.Crossed{Gateway: mesh.Gateways[0], Host: "api.example.com", Port: egress.Port{Number: 443, Protocol: protocol}, Led: led}
			filter := hop.Crossing(mesh, "shop", "payments", []hop.Crossed{of})
			got, is := hop.CrossedBy(filter, mesh)
			assert.True(t, is)
			assert.Equal(t, []hop.Crossed{of}, got)
			raw, err := filter.MarshalJSON()
			require.NoError(t, err)
			assert.Equal(t, led, strings.Contains(string(raw), `replace(\":authority\", \"api.example.com:443\")`), "what its calls ask for")
			forged := object(t, strings.Replace(string(raw), "api.example.com:443", "api.example.com:80", 1))
			_, is = hop.CrossedBy(forged, mesh)
			assert.Equal(t, !led, is)
		}
	}
}

// TestHTTPCrossesAsItIsLed: what a rule encrypts at a TLS port, where the host has a port of HTTP, by which it goes in the end.
func TestHTTPCrossesAsItIsLed(t *testing.T) {
	t.Parallel()
	http, tls := egress.Port{Number: 80, Protocol: "HTTP2"}, egress.Port{Number: 443, Protocol: "TLS"}
	both := []egress.Port{tls, http}
	for name, each := range map[string]struct {
		policy string
		host   string
		port   egress.Port
		ports  []egress.Port
		plain  bool
		want   string
	}{
		"encrypted":       {`{tls: {mode: SIMPLE}}`, "api.example.com", tls, both, false, "HTTP2"},
		"by its own port": {`{portLevelSettings: [{port: {number: 443}, tls: {mode: SIMPLE}}]}`, "api.example.com", tls, both, false, "HTTP2"},
		"by Plain":        {`{tls: {mode: SIMPLE}}`, "api.example.com", tls, both, true, ""},
		"not encrypted":   {`{tls: {mode: DISABLE}}`, "api.example.com", tls, both, false, ""},
		"no rule":         {``, "api.example.com", tls, both, false, ""},
		"no HTTP":         {`{tls: {mode: SIMPLE}}`, "api.example.com", tls, []egress.Port{tls}, false, ""},
		"HTTP itself":     {`{tls: {mode: SIMPLE}}`, "api.example.com", http, both, false, ""},
		"a wildcard":      {`{tls: {mode: SIMPLE}}`, "*.example.com", tls, both, false, ""},
	} {
		mesh := egresstest.MutualTLS()
		if each.plain {
			mesh = egresstest.Mesh()
		}
		var rule *egress.Rule
		if each.policy != "" {
			rule = mesh.ReadRule(object(t, fmt.Sprintf(`{kind: DestinationRule, metadata: {name: r, namespace: payments}, spec: {host: %q, trafficPolicy: %s}}`, each.host, each.policy)))
		}
		got, is := hop.CrossesAs(rule, each.host, each.port, each.ports, mesh.Gateways[0])
		assert.Equal(t, each.want, got, name)
		assert.Equal(t, each.want != "", is, name)
	}
}

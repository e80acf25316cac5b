package routing

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"istio.io/istio/pilot/pkg/simulation"
	"istio.io/istio/pilot/test/xdstest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/test/proof"
)

const (
	vaultGateway = "vault-egress"
	vaultHost    = "vault-egress.vault-egress.svc.cluster.local"
	// intruder has no entry at all.
	intruder = "spiffe://cluster.local/ns/keys-c/sa/default"
)

// let returns the clusters to which a gateway leads a call by mutual TLS; none where it lets the caller not in.
func let(t *testing.T, gateway *proxy, c call) []string {
	t.Helper()
	port := 80
	if c.tls || c.raw {
		port = 443
	}
	names, err := clusters(t, gateway, c, port, simulation.CallModeGateway)
	if err != nil {
		return nil
	}
	return names
}

// TestStrangersOfNoNameAreLetIn, whatever is in it that looks like the name of one who may call.
func TestStrangersOfNoNameAreLetIn(t *testing.T) {
	gateway := ofCase(t, "identity/service-accounts", "MutualTLS").gateway(t, "")
	calls := []call{
		{host: "db.example.com", port: 80, mutual: &mutual{sni: "outbound_.80_._.db.example.com"}},
		{host: "db.example.com", port: 5432, raw: true, mutual: &mutual{sni: "p5432.db.example.com.port.egress-governor.internal"}},
	}
	for _, c := range calls {
		c.mutual.caller = "spiffe://cluster.local/ns/app-a/sa/batch"
		assert.NotEmpty(t, let(t, gateway, c), c)
		for _, other := range []string{
			"spiffe://cluster.local/ns/app-c/sa/batch", "spiffe://cluster.local/ns/app-a/sa/default/../batch", "spiffe://cluster.local/ns/app-a/sa/batch2",
			"spiffe://other.domain/ns/app-a/sa/batch", "spiffe://cluster.local/ns/app-a/sa/", "spiffe://cluster.local/ns/x,URI=spiffe://cluster.local/ns/app-a/sa/batch",
		} {
			c.mutual.caller = other
			assert.Empty(t, let(t, gateway, c), "%v: %s is let in", c, other)
		}
	}
}

// TestNothingElseIsOpen: in clear, under the names that plain gateways go by, or those that proxies use by themselves.
func TestNothingElseIsOpen(t *testing.T) {
	gateway := ofCase(t, "protocols/databases", "MutualTLS").gateway(t, "")
	for _, c := range []call{{host: "db.example.com", port: 80}, {host: "db.example.com", port: 443, tls: true}} {
		for _, port := range []int{80, 443} {
			found, err := clusters(t, gateway, c, port, simulation.CallModeGateway)
			assert.True(t, err != nil || len(found) == 0, "%v at %d: %v", c, port, found)
		}
	}
	const caller = "spiffe://cluster.local/ns/app-a/sa/default"
	for _, name := range []string{"db.example.com", "outbound_.5432_._.db.example.com", "p5432.db.example.com", "p5433.db.example.com.port.egress-governor.internal"} {
		assert.Empty(t, let(t, gateway, call{host: "db.example.com", raw: true, mutual: &mutual{caller, name}}), name)
	}
	assert.Empty(t, let(t, gateway, call{host: "evil.test", port: 80, mutual: &mutual{caller, "outbound_.80_._.evil.test"}}))
}

// TestTheSNIOfProxiesIsNotExact is why ports have names of their own: that which proxies use by themselves, as a server of
// the form "*.<host>" takes it, also names the hosts below and every port.
func TestTheSNIOfProxiesIsNotExact(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("testdata", "wildcard-door.yaml"))
	require.NoError(t, err)
	gateway := newMesh(t, string(raw)).routerOf(t, "vault-egress", vaultGateway)
	for _, name := range []string{"outbound_.5671_._.example.com", "outbound_.443_._.example.com", "outbound_.443_._.api.example.com"} {
		for _, found := range let(t, gateway, call{raw: true, mutual: &mutual{intruder, name}}) {
			assert.Equal(t, []string{"example.com:5671"}, addresses(gateway, found), name)
		}
		assert.NotEmpty(t, let(t, gateway, call{raw: true, mutual: &mutual{intruder, name}}), name)
	}
}

// spoken returns how a cluster speaks to its endpoints: as their labels have it, where it depends on them; nil in clear.
func spoken(t *testing.T, sim *proxy, name string) *tlsv3.UpstreamTlsContext {
	t.Helper()
	found := xdstest.ExtractCluster(name, sim.Clusters)
	socket := found.GetTransportSocket()
	for _, match := range found.GetTransportSocketMatches() {
		if matches(found, match) {
			socket = match.TransportSocket
			break
		}
	}
	if socket == nil || socket.GetTypedConfig() == nil || !strings.HasSuffix(socket.GetTypedConfig().TypeUrl, "UpstreamTlsContext") {
		return nil
	}
	out := &tlsv3.UpstreamTlsContext{}
	require.NoError(t, socket.GetTypedConfig().UnmarshalTo(out))
	return out
}

// shows says whether a proxy that speaks so shows the certificate that the mesh gave it.
func shows(context *tlsv3.UpstreamTlsContext) bool {
	return slices.ContainsFunc(context.GetCommonTlsContext().GetTlsCertificateSdsSecretConfigs(), func(of *tlsv3.SdsSecretConfig) bool { return of.GetName() == "default" })
}

// matches says whether a cluster's endpoints have the labels of a way to speak to them.
func matches(of *cluster.Cluster, match *cluster.Cluster_TransportSocketMatch) bool {
	for key, want := range match.GetMatch().GetFields() {
		for _, locality := range of.GetLoadAssignment().GetEndpoints() {
			for _, endpoint := range locality.GetLbEndpoints() {
				have := endpoint.GetMetadata().GetFilterMetadata()["envoy.transport_socket_match"].GetFields()[key]
				if have.GetStringValue() != want.GetStringValue() {
					return false
				}
			}
		}
	}
	return true
}

// names returns the names that a server's certificate must have one of.
func names(context *tlsv3.UpstreamTlsContext) (out []string) {
	validation := context.GetCommonTlsContext().GetCombinedValidationContext().GetDefaultValidationContext()
	for _, matcher := range validation.GetMatchTypedSubjectAltNames() {
		out = append(out, matcher.GetMatcher().GetExact())
	}
	for _, matcher := range validation.GetMatchSubjectAltNames() { //nolint:staticcheck // Istio writes these
		out = append(out, matcher.GetExact())
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// admits says whether a filter chain of mutual TLS takes a caller's certificate.
func admits(t *testing.T, chain *listener.FilterChain, caller string) bool {
	t.Helper()
	if chain.GetTransportSocket() == nil {
		return false
	}
	var context tlsv3.DownstreamTlsContext
	require.NoError(t, chain.GetTransportSocket().GetTypedConfig().UnmarshalTo(&context))
	allowed := names(&tlsv3.UpstreamTlsContext{CommonTlsContext: context.GetCommonTlsContext()})
	return len(allowed) == 0 || slices.Contains(allowed, caller)
}

// TestOfTwoRulesEitherIsTheOlder: Istio goes by the newer one of those that are not exported alike, and ours is as old as the entry.
func TestOfTwoRulesEitherIsTheOlder(t *testing.T) {
	all, err := proof.Load(filepath.Join("cases", "rules", "exported-otherwise"))
	require.NoError(t, err)
	of := all[0]
	stored, err := of.Store(t.Context(), "MutualTLS")
	require.NoError(t, err)
	ours := 0
	for _, object := range stored.Objects {
		if object.GetKind() == "DestinationRule" && hop.IsClientRule(object) {
			object.SetCreationTimestamp(metav1.NewTime(time.Unix(1, 0)))
			ours++
		}
	}
	require.NotZero(t, ours)
	prove(t, of, "MutualTLS", stored)
}

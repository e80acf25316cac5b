package routing

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"istio.io/istio/pilot/pkg/simulation"
	"istio.io/istio/pilot/test/xdstest"
)

const (
	vaultGateway  = "vault-egress"
	vaultHost     = "vault-egress.vault-egress.svc.cluster.local"
	vaultIdentity = "spiffe://cluster.local/ns/vault-egress/sa/vault-egress"
	// intruder has no entry at all.
	intruder = "spiffe://cluster.local/ns/keys-c/sa/default"
)

func tcp(host string, port int, exit ...string) expectation {
	return expectation{call: call{namespace: "keys", host: host, port: port, raw: true}, exit: exit}
}

func keys(e expectation) expectation { return from("keys", e) }

// as is a call by another service account than the default one.
func as(account string, e expectation) expectation {
	e.by = account
	return e
}

func vaultExpectations() map[string][]expectation {
	const db, queue = "db.example.com", "queue.example.com"
	out := map[string][]expectation{
		"vault-databases": {
			keys(http(db, 80, db+":80")), keys(tls(db, 443, db+":443")), keys(tls(db, 8443, db+":8443")), tcp(db, 5432, db+":5432"),
			tcp(db, 27017, db+":27017"), tcp(db, 3306, db+":3306"), tcp(db, 6379, db+":6379"),
		},
		"vault-ports-of-two": {
			keys(tls(queue, 5671, queue+":5671")), from("keys-b", tls(queue, 443, queue+":443")), from("keys-b", http(queue, 8080, queue+":8080")),
		},
		"vault-exported": {
			as("batch", keys(http(db, 80, db+":80"))), as("batch", tcp(db, 5432, db+":5432")),
			as("batch", from("keys-b", http(db, 80, db+":80"))), as("batch", from("keys-b", tcp(db, 5432, db+":5432"))),
		},
		"vault-parent": {
			keys(tls("example.com", 5671, "example.com:5671")), keys(tls(api, 443, webs)), keys(tls("de.wiki.test", 443, "www.wiki.test:443")),
		},
		"vault-rule": {encrypted(keys(http(db, 443, db+":443"))), encrypted(tcp(db, 5432, db+":5432"))},
	}
	for shape, calls := range expectations() {
		if strings.HasPrefix(shape, "two-gateways") || strings.HasPrefix(shape, "guide-hop") {
			continue
		}
		var moved []expectation
		for _, want := range calls {
			want.namespace = strings.NewReplacer("app-a", "keys", "app-b", "keys-b").Replace(want.namespace)
			for i, name := range want.mesh {
				want.mesh[i] = strings.ReplaceAll(name, "app-a", "keys")
			}
			moved = append(moved, want)
		}
		out[shape+"@vault"] = moved
	}
	return out
}

// TestEveryCallLeavesByMutualTLS walks every route of every call, at the client and then at the gateway, which lets in the
// clients of the host's entries and nobody else.
func TestEveryCallLeavesByMutualTLS(t *testing.T) {
	for shape, calls := range vaultExpectations() {
		t.Run(shape, func(t *testing.T) {
			m := stored(t, shape)
			for _, want := range calls {
				t.Run(want.String(), func(t *testing.T) {
					client, gateway := m.sidecar(t, want.namespace), m.routerOf(t, "vault-egress", vaultGateway)
					account := "default"
					if want.by != "" {
						account = want.by
					}
					for _, name := range targets(t, client, want.call, want.port, simulation.CallModeOutbound) {
						if slices.Contains(want.mesh, name) {
							continue
						}
						port := "80"
						if want.tls || want.raw {
							port = "443"
						}
						assert.Equal(t, []string{vaultHost + ":" + port}, slices.Compact(addresses(client, name)), name)
						context := spoken(t, client, name)
						require.NotNil(t, context, "%s speaks mutual TLS", name)
						assert.Equal(t, []string{vaultIdentity}, names(context), name)
						arrived := arriving(t, client, want.call)
						arrived.mutual = &mutual{"spiffe://cluster.local/ns/" + want.namespace + "/sa/" + account, context.Sni}
						ends(t, gateway, arrived, want)
						for _, other := range []string{intruder, "spiffe://cluster.local/ns/" + want.namespace + "/sa/batch/../default", "spiffe://other.domain/ns/" + want.namespace + "/sa/" + account} {
							arrived.mutual = &mutual{other, context.Sni}
							assert.Empty(t, let(t, gateway, arrived), "%s is let in", other)
						}
						if want.by != "" {
							arrived.mutual = &mutual{"spiffe://cluster.local/ns/" + want.namespace + "/sa/default", context.Sni}
							assert.Empty(t, let(t, gateway, arrived), "the other service account is let in")
						}
					}
				})
			}
		})
	}
}

// ends requires that the gateway leads a call to the exit.
func ends(t *testing.T, gateway *proxy, c call, want expectation) {
	t.Helper()
	found := let(t, gateway, c)
	require.NotEmpty(t, found, "%v under SNI %s", c, c.mutual.sni)
	for _, name := range found {
		assert.Equal(t, want.exit, addresses(gateway, name), name)
		assert.Equal(t, want.encrypted, sni(t, gateway, name) != "", name)
	}
}

// let returns the clusters to which a gateway leads a call by mutual TLS; none where it lets the caller not in.
func let(t *testing.T, gateway *proxy, c call) []string {
	t.Helper()
	port := 8080
	if c.tls || c.raw {
		port = 8443
	}
	names, err := clusters(t, gateway, c, port, simulation.CallModeGateway)
	if err != nil {
		return nil
	}
	return names
}

// TestOneHostsCallersUseNoPortOfAnothers: each namespace's entry opens its own ports, by whatever SNI it calls.
func TestOneHostsCallersUseNoPortOfAnothers(t *testing.T) {
	gateway := stored(t, "vault-ports-of-two").routerOf(t, "vault-egress", vaultGateway)
	const caller = "spiffe://cluster.local/ns/keys/sa/default"
	assert.NotEmpty(t, let(t, gateway, call{host: "queue.example.com", raw: true, mutual: &mutual{caller, "p5671.queue.example.com.port.egress-governor.internal"}}))
	assert.Empty(t, let(t, gateway, call{host: "queue.example.com", raw: true, mutual: &mutual{caller, "p443.queue.example.com.port.egress-governor.internal"}}))
	assert.Empty(t, let(t, gateway, call{host: "queue.example.com", port: 8080, mutual: &mutual{caller, "outbound_.8080_._.queue.example.com"}}))
}

// TestNothingElseIsOpen: in clear, under the names that plain gateways go by, or those that proxies use by themselves.
func TestNothingElseIsOpen(t *testing.T) {
	gateway := stored(t, "vault-databases").routerOf(t, "vault-egress", vaultGateway)
	for _, c := range []call{{host: "db.example.com", port: 80}, {host: "db.example.com", port: 443, tls: true}} {
		for _, port := range []int{8080, 8443} {
			found, err := clusters(t, gateway, c, port, simulation.CallModeGateway)
			assert.True(t, err != nil || len(found) == 0, "%v at %d: %v", c, port, found)
		}
	}
	const caller = "spiffe://cluster.local/ns/keys/sa/default"
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

// TestNoProxyRejectsAListenerByMutualTLS as TestNoProxyRejectsAListener.
func TestNoProxyRejectsAListenerByMutualTLS(t *testing.T) {
	for shape := range vaultExpectations() {
		t.Run(shape, func(t *testing.T) {
			m := stored(t, shape)
			for name, sim := range map[string]*proxy{"client": m.sidecar(t, "keys"), "other client": m.sidecar(t, "keys-b"), "gateway": m.routerOf(t, "vault-egress", vaultGateway)} {
				assert.Empty(t, overlapping(sim), name)
			}
		})
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

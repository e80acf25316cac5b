package routing

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/simulation"
	"istio.io/istio/pilot/test/xdstest"
	meshdefaults "istio.io/istio/pkg/config/mesh"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/test/proof"
)

// TestCases has every case of the folder CASES, by default cases, decided on by the product's own code, and asks Istio's
// generator where its calls go.
func TestCases(t *testing.T) {
	all, err := proof.Load(cmp.Or(os.Getenv("CASES"), "cases"))
	require.NoError(t, err)
	for _, each := range all {
		for _, by := range each.By() {
			t.Run(strings.TrimSuffix(each.Family+"/"+each.Name+"/"+by, "/"), func(t *testing.T) {
				stored, err := each.Store(t.Context(), by)
				require.NoError(t, err)
				prove(t, each, by, stored)
			})
		}
	}
}

// prove holds the calls of a case against what the generator makes of the stored objects.
func prove(t *testing.T, of *proof.Case, by string, stored *proof.Stored) {
	s := newSetting(t, of, stored)
	for _, document := range s.mesh.istio {
		istioTakes(t, document)
	}
	for _, call := range of.Calls {
		if !proof.Concerns(call.Transports, by) {
			continue
		}
		t.Run(call.String(), func(t *testing.T) { assert.Empty(t, s.judge(t, call)) })
	}
}

func meshOf(t *testing.T, of *proof.Case, stored *proof.Stored) *mesh {
	t.Helper()
	written := map[string]any{"outboundTrafficPolicy": map[string]any{"mode": "REGISTRY_ONLY"}}
	for key, value := range of.Mesh {
		written[key] = value
	}
	raw, err := yaml.Marshal(written)
	require.NoError(t, err)
	configuration, err := meshdefaults.ApplyMeshConfigDefaults(string(raw))
	require.NoError(t, err)
	var manifests []string
	for _, object := range stored.Objects {
		if object.GetKind() == "EgressPolicy" {
			// None of istiod's.
			continue
		}
		raw, err := yaml.Marshal(object.Object)
		require.NoError(t, err)
		manifests = append(manifests, string(raw))
	}
	return newMeshUnder(t, configuration, strings.Join(manifests, "\n---\n"))
}

// setting is a case as it stands.
type setting struct {
	*proof.Stored
	mesh *mesh
	of   *proof.Case
	// labels are those of the namespaces.
	labels map[string]map[string]string
}

func newSetting(t *testing.T, of *proof.Case, stored *proof.Stored) *setting {
	t.Helper()
	out := &setting{mesh: meshOf(t, of, stored), Stored: stored, of: of, labels: map[string]map[string]string{}}
	for _, object := range stored.Objects {
		if object.GetKind() == "Namespace" {
			out.labels[object.GetName()] = object.GetLabels()
		}
	}
	return out
}

// leg is one way of a call, to where it ends.
type leg struct {
	ends proof.Ends
	// to is where the last proxy leads it, as host:port.
	to []string
	// encrypted says that it speaks TLS by itself.
	encrypted bool
	// by names the gateway that it comes to.
	by string
	// path is how it went, for people.
	path string
}

// judge returns what is wrong with how a call ends.
func (s *setting) judge(t *testing.T, want proof.Call) (wrong []string) {
	t.Helper()
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	var to []string
	met := false
	legs := s.follow(t, want)
	for _, leg := range legs {
		switch {
		case leg.ends == want.Ends:
			met = true
		case len(leg.to) > 0 && leg.ends != proof.AtGateway && leg.ends != proof.Straight && within(leg.to, want.Beside):
			continue
		default:
			add("it must end %s, and ends %s: %s", want.Ends, leg.ends, leg.path)
			continue
		}
		if want.Ends == proof.AtGateway || want.Ends == proof.Straight {
			if !within(leg.to, want.Exits()) {
				add("it must be led to %v, and is led to %v: %s", want.Exits(), leg.to, leg.path)
			}
			if want.Encrypted != leg.encrypted {
				add("that the last proxy encrypts it by itself must be %v, and is %v: %s", want.Encrypted, leg.encrypted, leg.path)
			}
			to = append(to, leg.to...)
		}
		namespace, _ := want.Caller()
		if by := cmp.Or(want.Gateway, s.gatewayOf(namespace).Name); want.Ends == proof.AtGateway && by != leg.by {
			add("it must leave by gateway %q, and leaves by %q: %s", by, leg.by, leg.path)
		}
	}
	if !met {
		add("no way of it ends %s", want.Ends)
	} else if to != nil && !within(want.Exits(), to) {
		add("it must be led to all of %v, and is led to %v", want.Exits(), to)
	}
	return append(wrong, s.untraced(t, want, legs)...)
}

func within(some, all []string) bool {
	return !slices.ContainsFunc(some, func(item string) bool { return !slices.Contains(all, item) })
}

func intersection(a, b []string) (out []string) {
	for _, item := range a {
		if slices.Contains(b, item) {
			out = append(out, item)
		}
	}
	return out
}

// gatewayOf is the one by which a namespace leaves.
func (s *setting) gatewayOf(namespace string) egress.Gateway {
	gw, _ := s.Mesh.GatewayFor(s.labels[namespace])
	return gw
}

// follow walks every way of a call, first from the client's sidecar, then from the gateway.
func (s *setting) follow(t *testing.T, want proof.Call) (out []leg) {
	t.Helper()
	namespace, account := want.Caller()
	target := want.Target()
	asked := call{
		namespace: namespace, host: target.Host, port: target.Port, tls: target.Protocol == proof.TLS, raw: target.Protocol == proof.TCP, address: want.Address,
	}
	identity := s.Mesh.Identity(namespace, account)
	client, port, mode := s.client(t, namespace, want.Labels), asked.port, simulation.CallModeOutbound
	if want.Ingress != nil {
		client, port, mode = s.router(t, namespace, want.Ingress), s.behind(namespace, want.Ingress, port), simulation.CallModeGateway
	}
	assert.Empty(t, overlapping(client), "the client's proxy rejects its listeners")
	if want.Dials != "" {
		return s.dial(t, want, asked, identity)
	}
	found, err := ways(t, client, asked, port, mode)
	if err != nil {
		return []leg{{ends: proof.Blocked, path: err.Error()}}
	}
	for _, way := range found {
		out = append(out, s.onward(t, client, asked, way, identity)...)
	}
	if len(found) == 0 {
		out = append(out, leg{ends: proof.Blocked, path: "nothing takes it"})
	}
	return out
}

func (s *setting) client(t *testing.T, namespace string, labels map[string]string) *proxy {
	metadata := &model.NodeMetadata{Namespace: namespace, Labels: labels}
	if s.Captures {
		metadata.DNSCapture = true
	}
	return s.mesh.proxy(t, &model.Proxy{
		Type: model.SidecarProxy, ID: "client." + namespace, ConfigNamespace: namespace, IPAddresses: []string{"10.1.0.1"}, Labels: labels, Metadata: metadata,
	})
}

// onward follows a way of a client's call.
func (s *setting) onward(t *testing.T, client *proxy, asked call, from way, identity string) []leg {
	t.Helper()
	switch {
	case from.cluster == "":
		return []leg{{ends: proof.Blocked, path: "the client's proxy answers by itself", to: []string{proof.OwnProxy}}}
	case from.cluster == "BlackHoleCluster":
		return []leg{{ends: proof.Blocked, path: from.cluster}}
	case from.cluster == "PassthroughCluster":
		return []leg{{ends: proof.Straight, path: from.cluster, to: []string{fmt.Sprintf("%s:%d", asked.host, asked.port)}}}
	case xdstest.ExtractCluster(from.cluster, client.Clusters) == nil:
		return []leg{{ends: proof.Blocked, path: from.cluster + " does not exist"}}
	}
	gw, port, leads := s.leads(client, from.cluster)
	if !leads {
		return []leg{s.elsewhere(t, client, from.cluster)}
	}
	arrived := asked
	arrived.asks = from.asks
	if context := s.spoken(t, client, from.cluster); context != nil {
		if gw.Transport == egress.MutualTLS && !shows(context) {
			return []leg{{ends: proof.Blocked, by: gw.Name, path: from.cluster + " shows no certificate, and the gateway lets in nobody without"}}
		}
		assert.Equal(t, []string{s.Mesh.IdentityOf(gw)}, names(context), "%s: whom the client takes for the gateway", from.cluster)
		arrived.mutual = &mutual{identity, context.Sni}
	}
	return s.arrive(t, gw, port, arrived, from.cluster)
}

// leads returns the gateway, and the port of its Service, that a client's cluster leads to and to nothing else.
func (s *setting) leads(client *proxy, name string) (gw egress.Gateway, port string, leads bool) {
	parts := strings.Split(name, "|")
	if xdstest.ExtractCluster(name, client.Clusters).GetType() == cluster.Cluster_ORIGINAL_DST {
		// To whatever address the app dialled.
		return gw, "", false
	}
	if gw, is := s.Mesh.GatewayByService(parts[len(parts)-1]); is {
		return gw, parts[1], true
	}
	found := slices.Compact(addresses(client, name))
	if len(found) != 1 {
		return gw, "", false
	}
	host, port, _ := strings.Cut(found[0], ":")
	gw, leads = s.Mesh.GatewayByService(host)
	return gw, port, leads
}

// spoken returns how a cluster speaks to its endpoints. A gateway's own pods have no label by which proxies speak the mesh's
// mutual TLS to them unasked, which sidecars alone have.
func (s *setting) spoken(t *testing.T, client *proxy, name string) *tlsv3.UpstreamTlsContext {
	t.Helper()
	parts := strings.Split(name, "|")
	if _, is := s.Mesh.GatewayByService(parts[len(parts)-1]); is && xdstest.ExtractCluster(name, client.Clusters).GetTransportSocket() == nil {
		return nil
	}
	return spoken(t, client, name)
}

// elsewhere is a way to a cluster that is no gateway's.
func (s *setting) elsewhere(t *testing.T, client *proxy, name string) leg {
	t.Helper()
	parts := strings.Split(name, "|")
	host := parts[len(parts)-1]
	if _, ofGateway := s.Mesh.GatewayByService(host); !ofGateway && strings.HasSuffix(host, ".svc."+s.Mesh.ClusterDomain) {
		return leg{ends: proof.InMesh, to: []string{host + ":" + parts[1]}, path: name}
	}
	to, found := addresses(client, name), xdstest.ExtractCluster(name, client.Clusters)
	if known := found.GetType() == cluster.Cluster_EDS || found.GetType() == cluster.Cluster_STATIC; known && found.GetClusterType() == nil && len(to) == 0 {
		return leg{ends: proof.Blocked, path: name + " has no endpoints"}
	}
	if !slices.ContainsFunc(to, func(address string) bool { return !strings.Contains(address, ".svc."+s.Mesh.ClusterDomain+":") }) && len(to) > 0 {
		return leg{ends: proof.InMesh, to: to, path: fmt.Sprintf("%s at %v", name, to)}
	}
	return leg{ends: proof.Straight, to: to, encrypted: sni(t, client, name) != "", path: fmt.Sprintf("%s at %v", name, to)}
}

// arrive follows a call that comes to a gateway.
func (s *setting) arrive(t *testing.T, gw egress.Gateway, port string, c call, path string) (out []leg) {
	t.Helper()
	at := s.router(t, gw.Namespace(), gw.Selector)
	assert.Empty(t, overlapping(at), "the gateway rejects its listeners")
	number, err := strconv.Atoi(port)
	require.NoError(t, err)
	found, err := ways(t, at, c, number, simulation.CallModeGateway)
	if err != nil || len(found) == 0 {
		return []leg{{ends: proof.Blocked, by: gw.Name, path: fmt.Sprintf("%s, and nothing at the gateway takes it: %v", path, err)}}
	}
	for _, way := range found {
		next := path + " → " + way.cluster
		to := led(t, at, way.cluster, c)
		if way.cluster == "" || way.cluster == "BlackHoleCluster" || len(to) == 0 {
			out = append(out, leg{ends: proof.Blocked, by: gw.Name, path: next})
			continue
		}
		out = append(out, leg{ends: proof.AtGateway, by: gw.Name, to: to, encrypted: sni(t, at, way.cluster) != "", path: fmt.Sprintf("%s at %v", next, to)})
	}
	return out
}

// router is the proxy of a gateway's pods.
func (s *setting) router(t *testing.T, namespace string, labels map[string]string) *proxy {
	return s.mesh.proxy(t, &model.Proxy{
		Type: model.Router, ID: "gateway." + namespace, ConfigNamespace: namespace, IPAddresses: []string{"10.1.0.2"},
		Labels: labels, Metadata: &model.NodeMetadata{Namespace: namespace, Labels: labels},
	})
}

// behind returns the port of a gateway's pods behind a port of their Service, that port itself where they have none.
func (s *setting) behind(namespace string, labels map[string]string, port int) int {
	for _, object := range s.Objects {
		selector, _, _ := unstructured.NestedStringMap(object.Object, "spec", "selector")
		ports, _, _ := unstructured.NestedSlice(object.Object, "spec", "ports")
		if object.GetKind() != "Service" || object.GetNamespace() != namespace || len(selector) == 0 || !contains(labels, selector) {
			continue
		}
		for _, item := range ports {
			of, _ := item.(map[string]any)
			if number, _, _ := unstructured.NestedInt64(of, "port"); number == int64(port) {
				target, _, _ := unstructured.NestedInt64(of, "targetPort")
				return int(cmp.Or(target, number))
			}
		}
	}
	return port
}

func contains(all, some map[string]string) bool {
	for key, value := range some {
		if all[key] != value {
			return false
		}
	}
	return true
}

// dial has a caller go past its sidecar to the gateway itself, with all that an honest client's sidecar would say.
func (s *setting) dial(t *testing.T, want proof.Call, asked call, identity string) []leg {
	t.Helper()
	namespace, _ := want.Caller()
	gw := s.gatewayOf(namespace)
	if named, is := s.Mesh.GatewayByName(want.Gateway); is {
		gw = named
	}
	port := gw.HTTPPort
	if asked.tls || asked.raw {
		port = gw.TLSPort
	}
	if gw.Transport == egress.MutualTLS {
		asked.mutual = &mutual{identity, s.honestSNI(t, want, asked)}
	}
	return s.arrive(t, gw, fmt.Sprint(port), asked, "to the gateway itself")
}

// honestSNI is the one by which a client that may call is heard: of another call of the case that goes to the same place.
func (s *setting) honestSNI(t *testing.T, want proof.Call, asked call) string {
	t.Helper()
	for _, other := range s.of.Calls {
		if other.To != want.To || other.Dials != "" || other.Ingress != nil {
			continue
		}
		namespace, _ := other.Caller()
		client := s.client(t, namespace, other.Labels)
		asked.namespace = namespace
		found, err := ways(t, client, asked, asked.port, simulation.CallModeOutbound)
		require.NoError(t, err)
		for _, way := range found {
			if context := s.spoken(t, client, way.cluster); context != nil {
				return context.Sni
			}
		}
	}
	require.Fail(t, "the case has no other call of "+want.To+" whose SNI could be stolen")
	return ""
}

package window

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// Where calls of a client go.
const (
	straight = "straight out"
	led      = "to the gateway"
	nowhere  = "nowhere"
	apart    = "straight out and to the gateway"
)

// handover watches how calls go over from leading straight out to leading by a gateway, or back, by what a client and the gateway
// are told.
type handover struct {
	mu    sync.Mutex
	calls []Call
	// encrypted are those that the client itself encrypts for the host as long as they lead straight out, by a rule of its namespace.
	encrypted map[Call]bool
	// from is what calls were, to what they become: none goes back.
	from, to string
	client   map[Call]string
	gateway  map[Call]bool
}

// way says where a call goes by what a client was told.
func way(state *State, call Call) string {
	if !state.Knows(call) {
		return nowhere
	}
	out := nowhere
	for _, address := range state.addresses(fmt.Sprintf("outbound|%d||%s", call.Port, call.Host)) {
		next := straight
		if mesh().Gateways[address] {
			next = led
		}
		if out != nowhere && out != next {
			return apart
		}
		out = next
	}
	return out
}

// ofClient takes in what a client was told, and returns what is wrong with it.
func (h *handover) ofClient(state *State) (out []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, call := range h.calls {
		was, is := h.client[call], way(state, call)
		h.client[call] = is
		switch {
		case was == "" && is == nowhere:
			// It was not told of it yet.
			delete(h.client, call)
		case is == nowhere, is == apart, was == h.to && is == h.from:
			out = append(out, fmt.Sprintf("%v went %s and goes %s", call, was, is))
		case is == led && !h.gateway[call]:
			out = append(out, fmt.Sprintf("%v goes to a gateway that has no exit", call))
		}
		if ruled := state.Encrypts(call); h.encrypted[call] && is == straight && !ruled {
			out = append(out, fmt.Sprintf("%v goes straight out in clear", call))
		} else if is == led && ruled {
			out = append(out, fmt.Sprintf("%v goes to the gateway, encrypted for the host", call))
		}
	}
	return out
}

// ofGateway takes in what the gateway was told, and returns what is wrong with it.
func (h *handover) ofGateway(state *State) (out []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, call := range h.calls {
		if h.gateway[call] = state.Reaches(call, mesh()); !h.gateway[call] && h.client[call] == led {
			out = append(out, fmt.Sprintf("%v goes to the gateway, which has no exit any more", call))
		}
	}
	return out
}

func (h *handover) turn(from, to string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.from, h.to = from, to
}

// TestNoPushOfAnAdoptionLeadsNowhere: by each that a client and its gateway were told while their namespace was adopted, and went back, a
// call had somewhere to go; none went straight again that had gone by the gateway; and those that a rule encrypts were encrypted for the
// host as long as they went straight, and not for it at the gateway. istiod tells of every change by itself, as far as it can, so that what lies
// between an entry and its rule is seen.
func TestNoPushOfAnAdoptionLeadsNowhere(t *testing.T) {
	binary, err := controlplane.BuildEgressctl(root)
	require.NoError(t, err)
	for gateway, labels := range map[string]map[string]string{
		controlplane.GatewayNamespace: {"egress-governor.io/mode": "Observe"}, vault: {"egress-governor.io/mode": "Observe", "egress": "vault"},
	} {
		t.Run(gateway, func(t *testing.T) {
			namespace := "adopted-" + gateway
			calls, encrypted := living(t, namespace, labels)
			if gateway == vault {
				calls = append(calls, covered(t, namespace, encrypted)...)
			}
			written := ruledWrites(t, namespace)
			h := &handover{calls: calls, encrypted: encrypted, from: straight, to: led, client: map[Call]string{}, gateway: map[Call]bool{}}
			sidecar, router := h.sail(t, namespace, gateway)
			all := func(where string) func(*State) bool {
				return func(state *State) bool {
					for _, call := range calls {
						if way(state, call) != where {
							return false
						}
					}
					return true
				}
			}
			await(t, sidecar.Until(all(straight)), "it leads straight out")
			run := func(args ...string) {
				args = append(args, "--apply", "--rate", "5", "--settle", "2s", "--kubeconfig", plane.Kubeconfig)
				out, err := exec.CommandContext(t.Context(), binary, args...).CombinedOutput() //nolint:gosec // what was just built
				require.NoError(t, err, string(out))
			}
			run("adopt", "-n", namespace)
			await(t, sidecar.Until(all(led)), "it leads to the gateway")
			between := written.both(t, gateway+", there", len(encrypted))
			h.turn(led, straight)
			patch := []byte(`{"metadata":{"labels":{"egress-governor.io/mode":"Observe"}}}`)
			require.NoError(t, plane.Client.Patch(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, client.RawPatch(types.MergePatchType, patch)))
			run("unseal", namespace)
			await(t, sidecar.Until(all(straight)), "it leads straight out again")
			between += written.both(t, gateway+", back", len(encrypted))
			await(t, router.Until(func(state *State) bool {
				return !state.Reaches(calls[0], mesh()) && !state.Reaches(calls[len(calls)-1], mesh())
			}), "the exits are gone")
			pushes := 0
			for _, proxy := range []*Proxy{sidecar, router} {
				found, judged := proxy.Found()
				pushes += judged
				for _, finding := range found {
					t.Errorf("%s after %s: %s", proxy.Node, finding.Push, strings.Join(finding.What, "; "))
				}
			}
			tell(t, "adopted and gone back: %d calls by %s, %d pushes judged; %d rules were written further from their entries than istiod gathers changes for", len(calls), gateway, pushes, between)
		})
	}
}

// living makes an observed namespace with a client and entries, and returns their calls, and those of them that a rule of the namespace
// encrypts.
func living(t *testing.T, namespace string, labels map[string]string) (calls []Call, encrypted map[Call]bool) {
	t.Helper()
	for _, object := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: labels}},
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "default"}},
	} {
		require.NoError(t, plane.Client.Create(t.Context(), object))
	}
	for i := range 8 {
		host := fmt.Sprintf("l%d.%s.test", i, namespace)
		calls = append(calls, Call{host, 80}, Call{host, 443})
		require.NoError(t, tenant.Create(t.Context(), drawer{namespace: namespace}.object("ServiceEntry", fmt.Sprintf("l%d", i), map[string]any{
			"hosts": []any{host}, "exportTo": []any{"."}, "resolution": "DNS",
			"ports": []any{map[string]any{"number": int64(80), "name": "http", "protocol": "HTTP"}, map[string]any{"number": int64(443), "name": "tls", "protocol": "TLS"}},
		})))
	}
	encrypted = map[Call]bool{}
	for i := range originated {
		name, host := fmt.Sprintf("r%d", i), fmt.Sprintf("r%d.%s.test", i, namespace)
		calls, encrypted[Call{host, 80}] = append(calls, encryptedEntry(t, namespace, name, host)), true
		require.NoError(t, tenant.Create(t.Context(), drawer{namespace: namespace}.object("DestinationRule", name, encrypting(host))))
	}
	return calls, encrypted
}

// sail starts an istiod that gathers changes for hardly any time, and connects a client of the namespace and its gateway.
func (h *handover) sail(t *testing.T, namespace, gateway string) (sidecar, router *Proxy) {
	t.Helper()
	istiod, err := plane.StartIstiod(t.Context(), filepath.Join(root, ".run", "tools", "pilot-discovery"), fmt.Sprintf("PILOT_DEBOUNCE_AFTER=%s", gathered), "PILOT_DEBOUNCE_MAX=10ms")
	require.NoError(t, err)
	conn, err := grpc.NewClient(istiod.Address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, conn.Close())
		assert.NoError(t, istiod.Stop())
	})
	connect := func(node Node, judge func(*State) []string) *Proxy {
		out, err := Connect(context.WithoutCancel(t.Context()), conn, node, judge)
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, out.Close()) })
		return out
	}
	for _, node := range nodes() {
		if node.Kind == "router" && node.Namespace == gateway {
			router = connect(node, h.ofGateway)
		}
	}
	return connect(Node{Kind: "sidecar", Pod: "client", Namespace: namespace, IP: "10.1.0.9"}, h.ofClient), router
}

// TestAHandoverIsJudged: what would be lost, or go astray, is found.
func TestAHandoverIsJudged(t *testing.T) {
	call := Call{"api.example.com", 443}
	told := func(addresses ...string) *State {
		out := NewState()
		assignment := &endpoint.ClusterLoadAssignment{Endpoints: []*endpoint.LocalityLbEndpoints{{}}}
		for _, address := range addresses {
			assignment.Endpoints[0].LbEndpoints = append(assignment.Endpoints[0].LbEndpoints, &endpoint.LbEndpoint{HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{
				Address: &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{Address: address}}}}}})
		}
		name := "outbound|443||api.example.com"
		out.Clusters[name] = &cluster.Cluster{Name: name, ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_STRICT_DNS}, LoadAssignment: assignment}
		out.Chains["0.0.0.0_443"] = []Chain{{Port: 443, Anywhere: true, Names: []string{call.Host}, Clusters: []string{name}}}
		return out
	}
	h := &handover{calls: []Call{call}, from: straight, to: led, client: map[Call]string{}, gateway: map[Call]bool{}}
	assert.Empty(t, h.ofClient(NewState()), "not told yet")
	assert.Empty(t, h.ofClient(told(call.Host)))
	assert.Len(t, h.ofClient(told(gatewayHost)), 1, "before the exit")
	assert.Empty(t, h.ofGateway(told(call.Host)))
	assert.Empty(t, h.ofClient(told(gatewayHost)))
	assert.Len(t, h.ofGateway(NewState()), 1, "the exit goes")
	assert.Empty(t, h.ofGateway(told(call.Host)))
	assert.Len(t, h.ofClient(told(call.Host)), 1, "straight again")
	assert.Len(t, h.ofClient(told(call.Host, gatewayHost)), 1, "both ways")
	assert.Len(t, h.ofClient(told()), 1, "nowhere")
	assert.Len(t, h.ofClient(NewState()), 1, "known no more")
	h.turn(led, straight)
	assert.Empty(t, h.ofClient(told(gatewayHost)))
	assert.Empty(t, h.ofClient(told(call.Host)))
	assert.Len(t, h.ofClient(told(gatewayHost)), 1)
}

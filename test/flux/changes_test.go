package flux

import (
	"encoding/json"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// whatGitChanges: after each change in Git, what is stored is what would be stored of it in a cluster that never had another. (Whether an
// author has written what was set for him before, nobody can tell.)
func whatGitChanges(t *testing.T) {
	t.Parallel()
	specs := map[string][]string{
		"networking.istio.io/v1 ServiceEntry": {
			`{hosts: [HOST, rule.HOST], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}`,
			`{hosts: [HOST, rule.HOST], resolution: DNS, endpoints: [{address: one.example.org}], ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}`,
			`{hosts: [HOST, rule.HOST], resolution: DNS, endpoints: [{address: one.example.org, ports: {tls: 8443}}, {address: two.example.org}], ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}`,
			`{hosts: [HOST, rule.HOST], resolution: DNS, ports: [{number: 80, name: web, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}`,
			`{hosts: [HOST], location: MESH_EXTERNAL, resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}`,
			`{hosts: [HOST, rule.HOST], resolution: STATIC, endpoints: [{address: 203.0.113.7}], ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}`,
		},
		"networking.istio.io/v1 VirtualService": {
			`{hosts: [HOST], http: [{timeout: 3s, route: [{destination: {host: HOST, port: {number: 80}}}]}]}`,
			`{hosts: [HOST], http: [{match: [{uri: {prefix: /a}}], route: [{destination: {host: HOST, port: {number: 80}}}]}, {route: [{destination: {host: HOST, port: {number: 80}}}]}]}`,
			`{hosts: [HOST], tls: [{match: [{sniHosts: [HOST], port: 443}], route: [{destination: {host: HOST, port: {number: 443}}}]}]}`,
			`{hosts: [HOST], http: [{fault: {abort: {httpStatus: 503, percentage: {value: 1}}}, route: [{destination: {host: HOST, port: {number: 80}}}]}]}`,
		},
		"networking.istio.io/v1 DestinationRule": {
			`{host: rule.HOST, trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3}, connectionPool: {tcp: {maxConnections: 10}}}}`,
			`{host: rule.HOST, trafficPolicy: {connectionPool: {tcp: {maxConnections: 10}}}}`,
			`{host: rule.HOST, trafficPolicy: {outlierDetection: {interval: 5s}, loadBalancer: {simple: LEAST_REQUEST}}}`,
			`{host: rule.HOST}`,
		},
	}
	first := map[string]string{}
	for kind, of := range specs {
		first[kind] = of[0]
	}
	living := tenant(t, nil)
	for _, kind := range slices.Sorted(maps.Keys(specs)) {
		of := specs[kind]
		// Each change, and the way back of all.
		for _, spec := range append(of[1:], of[0]) {
			says := map[string]string{}
			for other, first := range first {
				says[other] = first
			}
			says[kind] = spec
			fresh := tenant(t, nil)
			for _, k := range []*kustomization{fresh, living} {
				k.says(t, manifests(says)...)
				_, err := k.reconcile(t)
				require.NoError(t, err, spec)
				require.NoError(t, k.waits(within))
				k.settled(t)
			}
			require.EventuallyWithT(t, func(c *assert.CollectT) {
				assert.Equal(c, fresh.all(t), living.all(t), spec)
			}, within, 100*time.Millisecond)
		}
	}
}

// whatGitDropsAfterItWasUnsealed is what egressctl has written last.
func whatGitDropsAfterItWasUnsealed(t *testing.T) {
	t.Parallel()
	k := tenant(t, nil)
	k.says(t, entry, rule)
	_, err := k.reconcile(t)
	require.NoError(t, err)
	require.NoError(t, k.waits(within))
	k.settled(t)
	require.NotEqual(t, k.object("DestinationRule").Object["spec"], k.stored(t, "DestinationRule").Object["spec"])
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: k.name}}
	require.NoError(t, shared.Client.Patch(t.Context(), namespace, client.RawPatch(types.MergePatchType, []byte(`{"metadata": {"labels": {"egress-governor.io/mode": "Observe"}}}`))))
	binary, err := controlplane.BuildEgressctl("../..")
	require.NoError(t, err)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		out, err := exec.CommandContext(t.Context(), binary, "unseal", k.name, "--kubeconfig", shared.Kubeconfig, "--apply", "--rate=100", "--settle=0s").CombinedOutput()
		require.NoError(c, err, string(out))
	}, within, time.Second)
	require.Equal(t, k.object("DestinationRule").Object["spec"], k.stored(t, "DestinationRule").Object["spec"])
	k.says(t, entry, strings.Replace(rule, "outlierDetection: {consecutive5xxErrors: 3}, ", "", 1))
	k.settled(t)
	assert.Equal(t, k.object("DestinationRule").Object["spec"], k.stored(t, "DestinationRule").Object["spec"])
}

func manifests(specs map[string]string) (out []string) {
	for kind, spec := range specs {
		version, kind, _ := strings.Cut(kind, " ")
		out = append(out, "apiVersion: "+version+"\nkind: "+kind+"\nmetadata: {name: api}\nspec: "+spec)
	}
	return out
}

// all is what is stored of the objects, and of the exits of their hosts, without the name of the namespace.
func (k *kustomization) all(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	objects := copies(k.objects)
	for _, object := range objects {
		live := k.stored(t, object.GetKind())
		out[object.GetKind()] = k.text(t, live.Object["spec"], live.GetAnnotations())
	}
	for _, host := range []string{k.host(), "rule." + k.host()} {
		exits, err := controlplane.ExitSet(t.Context(), shared.Client, controlplane.GatewayNamespace, host)
		require.NoError(t, err)
		for _, exit := range exits {
			out[host[:4]+exit.GetKind()] = k.text(t, exit.Object["spec"])
		}
	}
	return out
}

func (k *kustomization) text(t *testing.T, of ...any) string {
	t.Helper()
	raw, err := json.Marshal(of)
	require.NoError(t, err)
	return strings.ReplaceAll(string(raw), k.name, "NAMESPACE")
}

//go:build e2e

package e2e

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// capture is what sidecars read as the order to answer DNS themselves.
const capture = "ISTIO_META_DNS_CAPTURE"

// captures sets the mesh's own default; with nothing it is as it was.
func (c *cluster) captures(t *testing.T, value any) {
	t.Helper()
	c.writeMesh(t, func(mesh map[string]any) {
		defaults, _ := mesh["defaultConfig"].(map[string]any)
		require.NotNil(t, defaults, mesh)
		if delete(defaults, "proxyMetadata"); value != nil {
			defaults["proxyMetadata"] = map[string]any{capture: value}
		}
	})
}

// meshed changes the mesh configuration as long as the test runs, or until what it returns is called.
func (c *cluster) meshed(t *testing.T, change func(mesh map[string]any)) (restore func()) {
	t.Helper()
	var was map[string]any
	c.writeMesh(t, func(mesh map[string]any) {
		was = maps.Clone(mesh)
		change(mesh)
	})
	c.restartIstiod(t)
	restore = func() {
		c.writeMesh(t, func(mesh map[string]any) {
			clear(mesh)
			maps.Copy(mesh, was)
		})
		c.restartIstiod(t)
	}
	restored := sync.OnceFunc(restore)
	t.Cleanup(restored)
	return restored
}

// restartIstiod has it read its ConfigMap now: the kubelet brings a new one to its pod minutes later.
func (c *cluster) restartIstiod(t *testing.T) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	of := []client.ListOption{client.InNamespace("istio-system"), client.MatchingLabels{"app": "istiod"}}
	pods := &corev1.PodList{}
	require.NoError(t, c.List(ctx, pods, of...))
	for i := range pods.Items {
		c.gone(t, &pods.Items[i])
	}
	require.NoError(t, until(ctx, startWithin, func(ctx context.Context) (bool, error) {
		err := c.List(ctx, pods, of...)
		return len(pods.Items) > 0 && !slices.ContainsFunc(pods.Items, func(pod corev1.Pod) bool { return !ready(&pod) }), err
	}))
}

func (c *cluster) writeMesh(t *testing.T, change func(mesh map[string]any)) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	config := &corev1.ConfigMap{}
	require.NoError(t, c.Get(ctx, client.ObjectKey{Namespace: "istio-system", Name: "istio"}, config))
	mesh := map[string]any{}
	require.NoError(t, yaml.Unmarshal([]byte(config.Data["mesh"]), &mesh))
	change(mesh)
	out, err := yaml.Marshal(mesh)
	require.NoError(t, err)
	config.Data["mesh"] = string(out)
	require.NoError(t, c.Update(ctx, config))
}

// capturing starts a pod once the mesh gives its sidecar DNS to answer, and returns its name.
func (c *cluster) capturing(t *testing.T, namespace string) string {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "capturing"}}
	pod := podOf(namespace, "capturing", probeImage(), "app")
	pod.Spec.ServiceAccountName = account.Name
	require.NoError(t, c.Create(t.Context(), account))
	t.Cleanup(func() { c.gone(t, pod, account) })
	require.NoError(t, until(t.Context(), startWithin, func(ctx context.Context) (bool, error) {
		would := pod.DeepCopy()
		err := c.Create(ctx, would, client.DryRunAll)
		return err == nil && strings.Contains(would.String(), capture), nil
	}))
	require.NoError(t, c.Create(t.Context(), pod.DeepCopy()))
	address, err := c.started(t.Context(), pod)
	require.NoError(t, err)
	c.apps[namespace+"/"+pod.Name] = address
	return namespace + "/" + pod.Name
}

// TestDNSCapture: where sidecars answer DNS, raw TCP of several hosts has one port, and addresses are found that nobody else
// knows. That they do is found out.
func TestDNSCapture(t *testing.T) {
	const two, canary = "two.partner.test", "canary.partner.test"
	raw := withPorts(rawPorts)
	first := shared.decoded(t, vaultA, entry("ports", ports+"'], exportTo: ['.", raw))[0]
	refused := map[string]string{
		"tcp-port-taken":    entry("two", two+"'], exportTo: ['.", raw),
		"unreached-address": entry("canary", canary+"'], exportTo: ['.", "addresses: [203.0.113.77], "+withPorts("{number: 5432, name: tcp, protocol: TCP}")),
	}
	require.NoError(t, shared.apply(t.Context(), first))
	t.Cleanup(func() { shared.deleted(t, first) })
	for code, manifest := range refused {
		shared.refusedBy(t, shared.decoded(t, vaultA, manifest)[0], code)
	}

	shared.captures(t, "true")
	t.Cleanup(func() { shared.captures(t, nil) })
	for _, manifest := range refused {
		object := shared.decoded(t, vaultA, manifest)[0]
		t.Cleanup(func() { shared.deleted(t, object) })
		shared.serves(t, object)
	}
	from := shared.capturing(t, vaultA)
	for _, o := range []order{tcp(ports, 5432), tcp(ports, 3306), echo(ports), tcp(two, 5432), tcp(two, 3306), echo(two), tcp(canary, 5432)} {
		shared.arrives(t, from, o, o.Port, "")
	}
}

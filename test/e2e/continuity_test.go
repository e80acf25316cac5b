//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	release          = "egress-governor"
	releaseNamespace = "egress-governor"
	churn            = "churn.partner.test"
)

// TestNeverADirectPacket: clients call without pause while everything around them changes. What fails fails closed.
func TestNeverADirectPacket(t *testing.T) {
	calls := shared.callWithoutPause(t, web(churn), webs(churn))
	entries := entry("churn", churn, webPorts)
	route := virtualService("churn", `{hosts: [churn.partner.test],
		http: [{timeout: 3s, route: [{destination: {host: churn.partner.test, port: {number: 80}}}]}]}`)
	works := func() {
		shared.arrives(t, appA, web(churn), 80, "")
		shared.arrives(t, appB, webs(churn), 443, "")
	}
	shared.applied(t, appA, entries)
	works()
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"a route is applied, changed and deleted", func() {
			vs := shared.decoded(t, appA, route)[0]
			require.NoError(t, shared.apply(t.Context(), vs))
			require.NoError(t, unstructured.SetNestedSlice(vs.Object, []any{map[string]any{"route": []any{map[string]any{"destination": map[string]any{"host": churn}}}}}, "spec", "http"))
			require.NoError(t, shared.apply(t.Context(), vs))
			works()
			shared.deleted(t, vs)
		}},
		{"the entry changes", func() {
			require.NoError(t, shared.apply(t.Context(), shared.decoded(t, appA, entry("churn", churn, `resolution: STATIC, endpoints: [{address: OUTSIDE}], ports: [{number: 80, name: http, protocol: HTTP},
				{number: 443, name: tls, protocol: TLS}]`))[0]))
		}},
		{"exit sets are deleted by hand", func() {
			for _, kind := range []string{"ServiceEntry", "VirtualService"} {
				exits := &unstructured.Unstructured{}
				exits.SetAPIVersion("networking.istio.io/v1")
				exits.SetKind(kind)
				require.NoError(t, shared.DeleteAllOf(t.Context(), exits, client.InNamespace("istio-system")))
			}
		}},
		{"the controller stops and starts", func() {
			shared.scale(t, 0)
			shared.scale(t, 2)
		}},
		{"the webhook rolls", func() { shared.roll(t, releaseNamespace, release) }},
		{"the gateway restarts", func() { shared.roll(t, "istio-system", "istio-egressgateway") }},
		{"the entry is deleted and comes back", func() {
			shared.deleted(t, shared.decoded(t, appA, entries)...)
			shared.fails(t, appA, web(churn))
			require.NoError(t, shared.apply(t.Context(), shared.decoded(t, appA, entries)[0]))
		}},
	} {
		t.Log(step.name)
		step.do()
		works()
	}
	made, answered := calls()
	t.Logf("%d calls, %d answered", made, answered)
	require.Positive(t, answered)
	direct, _, err := shared.direct(t.Context())
	require.NoError(t, err)
	require.Empty(t, direct)
}

// TestExitLatency reports how long after an apply the exit works.
func TestExitLatency(t *testing.T) {
	var took []time.Duration
	for range 10 {
		objects := shared.decoded(t, appA, entry("load", "load.partner.test", webPorts))
		began := time.Now()
		require.NoError(t, shared.apply(t.Context(), objects[0]))
		shared.arrives(t, appA, web("load.partner.test"), 80, "")
		took = append(took, time.Since(began))
		shared.deleted(t, objects...)
		shared.fails(t, appA, web("load.partner.test"))
	}
	slices.Sort(took)
	t.Logf("the exit works after %v (median), %v (worst)", took[len(took)/2].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond))
}

// callWithoutPause calls from both governed namespaces until the returned function is called, which says how many calls
// were made and how many were answered.
func (c *cluster) callWithoutPause(t *testing.T, orders ...order) func() (made, answered int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var made, answered atomic.Int64
	var group sync.WaitGroup
	for namespace := range c.apps {
		for _, o := range orders {
			group.Go(func() {
				for ctx.Err() == nil {
					got, err := c.call(ctx, namespace, o)
					made.Add(1)
					if err == nil && got.Error == "" {
						answered.Add(1)
					}
				}
			})
		}
	}
	stop := func() (int64, int64) {
		cancel()
		group.Wait()
		return made.Load(), answered.Load()
	}
	t.Cleanup(func() { stop() })
	return stop
}

// scale sets the replicas of the webhook.
func (c *cluster) scale(t *testing.T, replicas int32) {
	t.Helper()
	c.change(t, releaseNamespace, release, fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas))
}

// roll restarts a Deployment as kubectl rollout restart does.
func (c *cluster) roll(t *testing.T, namespace, name string) {
	t.Helper()
	c.change(t, namespace, name, fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"e2e/restarted":%q}}}}}`, time.Now().Format(time.RFC3339Nano)))
}

// change patches a Deployment and waits until it has settled.
func (c *cluster) change(t *testing.T, namespace, name, patch string) {
	t.Helper()
	deployment := &appsv1.Deployment{}
	deployment.Namespace, deployment.Name = namespace, name
	require.NoError(t, c.Patch(t.Context(), deployment, client.RawPatch(types.MergePatchType, []byte(patch))))
	c.settled(t, namespace, name)
}

// settled waits until a Deployment has exactly the pods it asks for, all new and ready.
func (c *cluster) settled(t *testing.T, namespace, name string) {
	t.Helper()
	deployment := &appsv1.Deployment{}
	require.NoError(t, until(t.Context(), startWithin, func(ctx context.Context) (bool, error) {
		if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, deployment); err != nil {
			return false, nil
		}
		want := *deployment.Spec.Replicas
		status := deployment.Status
		if status.ObservedGeneration != deployment.Generation || status.UpdatedReplicas != want || status.ReadyReplicas != want || status.Replicas != want {
			return false, nil
		}
		pods := &corev1.PodList{}
		err := c.List(ctx, pods, client.InNamespace(namespace), client.MatchingLabels(deployment.Spec.Selector.MatchLabels))
		return err == nil && int32(len(pods.Items)) == want, nil
	}), "%s/%s: %+v", namespace, name, deployment.Status)
}

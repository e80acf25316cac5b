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

	"github.com/stretchr/testify/assert"
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
	tide             = "tide.partner.test"
)

// leg is a host that two namespaces call through one egress gateway, by each way in that it has.
type leg struct {
	host   string
	way    way
	from   [2]string
	orders []order
}

// legs are one for each transport.
var legs = []leg{
	{churn, plain, [2]string{appA, appB}, []order{web(churn), webs(churn)}},
	{tide, own, [2]string{vaultA, vaultB}, []order{web(tide), webs(tide), tcp(tide, 5432)}},
}

// entry is the leg's ServiceEntry, as spec has it resolve.
func (l leg) entry(spec string) string {
	ports := webOnly
	if l.way.name == own.name {
		ports += ", {number: 5432, name: tcp, protocol: TCP}"
	}
	return entry("churn", l.host+"'], exportTo: ['.', '"+l.from[1], spec+", ports: ["+ports+"]")
}

// works makes every call of the leg.
func (c *cluster) works(t *testing.T, l leg) {
	t.Helper()
	for _, from := range l.from {
		for _, o := range l.orders {
			c.arrives(t, from, o, o.Port, "")
		}
	}
}

// TestNeverADirectPacket: clients call without pause while everything around them changes. What fails fails closed.
func TestNeverADirectPacket(t *testing.T) {
	const dns, static = "resolution: DNS", "resolution: STATIC, endpoints: [{address: OUTSIDE}]"
	each := func(do func(leg)) func() {
		return func() {
			for _, l := range legs {
				do(l)
			}
		}
	}
	var counts []func() (int64, int64)
	for _, l := range legs {
		counts = append(counts, shared.callWithoutPause(t, l))
		shared.applied(t, l.from[0], l.entry(dns))
		shared.works(t, l)
	}
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"a route is applied, changed and deleted", each(func(l leg) {
			vs := shared.decoded(t, l.from[0], virtualService("churn", fmt.Sprintf(`{hosts: [%s], exportTo: ['.', %s],
				http: [{timeout: 3s, route: [{destination: {host: %s, port: {number: 80}}}]}]}`, l.host, l.from[1], l.host)))[0]
			require.NoError(t, shared.apply(t.Context(), vs))
			require.NoError(t, unstructured.SetNestedSlice(vs.Object, []any{map[string]any{"route": []any{map[string]any{"destination": map[string]any{
				"host": l.host, "port": map[string]any{"number": int64(80)}}}}}}, "spec", "http"))
			require.NoError(t, shared.apply(t.Context(), vs))
			shared.works(t, l)
			shared.deleted(t, vs)
		})},
		{"the entry changes", each(func(l leg) {
			require.NoError(t, shared.apply(t.Context(), shared.decoded(t, l.from[0], l.entry(static))[0]))
		})},
		{"exit sets are deleted by hand", each(func(l leg) { shared.deletedByHand(t, l.way.namespace) })},
		{"the client's rules are deleted by hand", each(func(l leg) { shared.deletedByHand(t, l.from[0], "DestinationRule") })},
		{"the controller stops and starts", func() {
			shared.scale(t, 0)
			shared.scale(t, 2)
		}},
		{"the webhook rolls", func() { shared.roll(t, webhook) }},
		{"the gateways restart", func() { shared.roll(t, plain, own) }},
		{"the entry is deleted and comes back", each(func(l leg) {
			entry := shared.decoded(t, l.from[0], l.entry(dns))
			shared.deleted(t, entry...)
			for _, o := range l.orders {
				shared.fails(t, l.from[0], o)
			}
			require.NoError(t, shared.apply(t.Context(), entry[0]))
		})},
	} {
		began := time.Now()
		step.do()
		each(func(l leg) { shared.works(t, l) })()
		t.Logf("%s: %v", step.name, time.Since(began).Round(time.Millisecond))
	}
	for i, count := range counts {
		made, answered := count()
		t.Logf("%s: %d calls, %d answered", legs[i].host, made, answered)
		require.Positive(t, answered)
	}
	direct, _, err := shared.direct(t.Context())
	require.NoError(t, err)
	require.Empty(t, direct)
}

// deletedByHand deletes all objects of Istio's kinds in a namespace.
func (c *cluster) deletedByHand(t *testing.T, namespace string, kinds ...string) {
	t.Helper()
	if len(kinds) == 0 {
		kinds = []string{"ServiceEntry", "VirtualService", "Gateway", "DestinationRule"}
	}
	for _, kind := range kinds {
		objects := &unstructured.Unstructured{}
		objects.SetAPIVersion("networking.istio.io/v1")
		objects.SetKind(kind)
		require.NoError(t, c.DeleteAllOf(t.Context(), objects, client.InNamespace(namespace)))
	}
}

// TestCallsGoOnWhilePodsRoll: calls need no webhook, and a gateway's pod ends when its calls have.
func TestCallsGoOnWhilePodsRoll(t *testing.T) {
	for _, l := range legs {
		shared.applied(t, l.from[0], l.entry("resolution: DNS"))
		shared.works(t, l)
	}
	for _, rolled := range [][]way{{webhook}, {plain, own}} {
		var counts []func() (int64, int64)
		for _, l := range legs {
			counts = append(counts, shared.callWithoutPause(t, l))
		}
		shared.roll(t, rolled...)
		for i, count := range counts {
			made, answered := count()
			t.Logf("%s rolls: %d of %d calls to %s answered", rolled[0].name, answered, made, legs[i].host)
			require.Equal(t, made, answered)
		}
	}
}

// TestExitLatency reports how long after an apply the exit works.
func TestExitLatency(t *testing.T) {
	const host = "load.partner.test"
	for _, namespace := range []string{appA, vaultA} {
		for _, o := range []order{web(host), webs(host)} {
			var took []time.Duration
			for range 5 {
				objects := shared.decoded(t, namespace, entry("load", host, webPorts))
				began := time.Now()
				require.NoError(t, shared.apply(t.Context(), objects[0]))
				shared.arrives(t, namespace, o, o.Port, "")
				took = append(took, time.Since(began))
				shared.deleted(t, objects...)
				shared.fails(t, namespace, o)
			}
			slices.Sort(took)
			t.Logf("%s from %s works after %v (median), %v (worst)", o, namespace, took[len(took)/2].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond))
		}
	}
}

// callWithoutPause makes the calls of a leg until the returned function is called, which says how many calls were made and
// how many were answered, and logs the first that were not. A call that waits for a busy machine is not lost. What an app was not told
// to call was not called: the API server's way to the app is a connection like any other.
func (c *cluster) callWithoutPause(t *testing.T, l leg) func() (made, answered int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var made, answered, untold atomic.Int64
	var group sync.WaitGroup
	for _, from := range l.from {
		for _, o := range l.orders {
			o.Patient = true
			group.Go(func() {
				for ctx.Err() == nil {
					// The last call is waited for.
					got, err := c.call(context.WithoutCancel(ctx), from, o)
					switch at := time.Now().UTC().Format(time.StampMilli); {
					case err != nil:
						if untold.Add(1) <= logged {
							t.Logf("%s: %s was not told to call %s: %v", at, from, o, err)
						}
					case got.Error != "":
						if made.Add(1)-answered.Load() <= logged {
							t.Logf("%s: %s from %s is not answered: %+v", at, o, from, got)
						}
					default:
						answered.Add(1)
						made.Add(1)
					}
				}
			})
		}
	}
	stop := func() (int64, int64) {
		cancel()
		group.Wait()
		assert.LessOrEqual(t, 100*untold.Load(), made.Load(), "apps were not told to call")
		return made.Load(), answered.Load()
	}
	t.Cleanup(func() { stop() })
	return stop
}

// logged is how many calls that fail are told one by one.
const logged = 5

// scale sets the replicas of the webhook.
func (c *cluster) scale(t *testing.T, replicas int32) {
	t.Helper()
	c.change(t, fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas), webhook)
}

// webhook is the Deployment of the webhook.
var webhook = way{namespace: releaseNamespace, name: release}

// roll restarts Deployments at once, as kubectl rollout restart does.
func (c *cluster) roll(t *testing.T, deployments ...way) {
	t.Helper()
	c.change(t, fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"e2e/restarted":%q}}}}}`, time.Now().Format(time.RFC3339Nano)), deployments...)
}

// change patches Deployments and waits until they have settled.
func (c *cluster) change(t *testing.T, patch string, deployments ...way) {
	t.Helper()
	for _, of := range deployments {
		deployment := &appsv1.Deployment{}
		deployment.Namespace, deployment.Name = of.namespace, of.name
		require.NoError(t, c.Patch(t.Context(), deployment, client.RawPatch(types.StrategicMergePatchType, []byte(patch))))
	}
	for _, of := range deployments {
		c.settled(t, of.namespace, of.name)
	}
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

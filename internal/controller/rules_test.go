package controller

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// TestARuleFollowsTheEntryOfItsHost: it is sealed when one comes, and as its author wrote it when the last one goes.
func TestARuleFollowsTheEntryOfItsHost(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.Mesh())
	rules := rules(s.registry, s.exits.synced)
	rules.live, rules.writer = s.cluster, s.cluster
	queue := queueOf[types.NamespacedName](t)
	require.NoError(t, rules.follow(t.Context(), queue))
	name := types.NamespacedName{Namespace: "app", Name: "r"}
	rule := &networkingv1.DestinationRule{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}}
	rule.Spec.Host = host
	rule.Spec.TrafficPolicy = &networking.TrafficPolicy{Tls: &networking.ClientTLSSettings{Mode: networking.ClientTLSSettings_SIMPLE}}
	require.NoError(t, s.cluster.Create(t.Context(), rule))
	see := func() {
		object := empty(istio("DestinationRule"))
		require.NoError(t, s.cluster.Get(t.Context(), name, object))
		s.registry.PutRule(s.registry.ReadRule(object).Rule)
	}
	settle := func() string {
		for queue.Len() > 0 {
			next, _ := queue.Get()
			_, err := rules.Reconcile(t.Context(), next)
			require.NoError(t, err)
			queue.Done(next)
			see()
		}
		s.drain()
		now := &networkingv1.DestinationRule{}
		require.NoError(t, s.cluster.Get(t.Context(), name, now))
		return now.Spec.TrafficPolicy.Tls.GetMode().String()
	}
	see()
	assert.Equal(t, "SIMPLE", settle())
	s.store(defaultEntry("a", "HTTP"))
	assert.Equal(t, "DISABLE", settle())
	assert.Equal(t, "True", s.condition("app", "a")["status"])
	exits := &networkingv1.DestinationRuleList{}
	require.NoError(t, s.cluster.List(t.Context(), exits, client.InNamespace(gateways)))
	require.Len(t, exits.Items, 1)
	assert.Equal(t, "SIMPLE", exits.Items[0].Spec.TrafficPolicy.PortLevelSettings[0].Tls.Mode.String())

	writes := len(s.writes)
	s.store(defaultEntry("b", "HTTP"))
	assert.Equal(t, "DISABLE", settle())
	assert.Len(t, s.writes, writes+1, "one status")

	s.remove("app", "a")
	s.remove("app", "b")
	assert.Equal(t, "SIMPLE", settle())
	s.registry.DeleteRule(name.Namespace, name.Name)
	_, err := rules.Reconcile(t.Context(), name)
	require.NoError(t, err)
}

// TestARuleInTheGatewaysNamespace: the gateway applies it in the place of the exit's, so there is no exit while what is
// to be encrypted might leave in clear, or what is in clear would be encrypted; and the entry says so.
func TestARuleInTheGatewaysNamespace(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.Mesh())
	put := func(namespace, name, spec string) {
		object := empty(istio("DestinationRule"))
		require.NoError(t, yaml.Unmarshal([]byte("{spec: "+spec+"}"), &object.Object))
		object.SetGroupVersionKind(istio("DestinationRule"))
		object.SetNamespace(namespace)
		object.SetName(name)
		s.registry.PutRule(s.registry.ReadRule(object).Rule)
	}
	s.store(defaultEntry("a", "HTTP"))
	s.drain()
	said := func() string {
		return fmt.Sprint(s.condition("app", "a")["status"], " ", s.condition("app", "a")["reason"])
	}
	put(gateways, "mild", "{host: "+host+", trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}}}")
	s.drain()
	assert.Equal(t, "True ExitConfigured", said())
	put("app", "r", "{host: "+host+", trafficPolicy: {tls: {mode: SIMPLE}}}")
	s.drain()
	assert.Equal(t, "False ExitFailed", said())
	entries, routes := s.exit(gateways)
	assert.Empty(t, entries)
	assert.Empty(t, routes)
	s.registry.DeleteRule(gateways, "mild")
	s.drain()
	assert.Equal(t, "True ExitConfigured", said())
	put(gateways, "wild", `{host: "*.example.com", trafficPolicy: {tls: {mode: SIMPLE}}}`)
	s.drain()
	assert.Equal(t, "False ExitFailed", said())
	assert.Contains(t, s.condition("app", "a")["message"], "DestinationRule istio-system/wild")
}

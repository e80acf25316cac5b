package controller

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

var inAmbient = map[string]string{"istio.io/dataplane-mode": "ambient"}

// boundEntry is the entry of a host as it is stored where the gateway has a waypoint.
func boundEntry(namespace, name string, exportTo ...string) *networkingv1.ServiceEntry {
	out := sealed(namespace, name, egresstest.GatewayService, "TLS")
	out.Labels = map[string]string{"istio.io/use-waypoint": "waypoint", "istio.io/use-waypoint-namespace": "egress"}
	out.Spec.ExportTo = exportTo
	out.Annotations = map[string]string{hop.IntentAnnotation: `[{"now":"waypoint","paths":["metadata.labels[istio.io/use-waypoint]"]},{"now":"egress","paths":["metadata.labels[istio.io/use-waypoint-namespace]"]}]`}
	return out
}

// callersBy returns whom the policy of an entry does not turn away; nil where there is none, or it turns nobody away for who he is.
func (s *stage) callersBy(namespace, entry string) any {
	s.t.Helper()
	policy := empty(authorizationPolicy())
	err := s.cluster.Get(s.t.Context(), types.NamespacedName{Namespace: namespace, Name: hop.WaypointPolicyName(entry)}, policy)
	if client.IgnoreNotFound(err) == nil && err != nil {
		return nil
	}
	require.NoError(s.t, err)
	rules, _, _ := unstructured.NestedSlice(policy.Object, "spec", "rules")
	require.NotEmpty(s.t, rules)
	from, _, _ := unstructured.NestedSlice(rules[0].(map[string]any), "from")
	if len(from) == 0 {
		return nil
	}
	out, _, _ := unstructured.NestedStringSlice(from[0].(map[string]any), "source", "notPrincipals")
	return out
}

func (s *stage) waypoint() {
	s.registry.PutService(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "egress", Name: "waypoint"}})
	s.drain()
}

// TestExitReadyByAWaypoint is true once the waypoint is there, and knows who may call: whom the host's entries let in.
func TestExitReadyByAWaypoint(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.Ambient())
	for _, namespace := range []string{"app", "cards"} {
		s.registry.PutNamespace(namespace, inAmbient)
	}
	s.waypoint()
	s.store(boundEntry("app", "a", "."))
	exit, _ := s.exitQueue.Get()
	_, err := s.exits.Reconcile(t.Context(), exit)
	require.NoError(t, err)
	s.exitQueue.Done(exit)
	key, _ := s.readyQueue.Get()
	_, err = s.ready.Reconcile(t.Context(), key)
	require.NoError(t, err)
	s.readyQueue.Done(key)
	s.see("app", "a")
	assert.Empty(t, s.registry.Stored(key).Conditions(), "the exit stands, and the waypoint lets everybody in")
	s.drain()
	assert.Equal(t, "True", s.condition("app", "a")["status"])
	assert.Equal(t, []string{"cluster.local/ns/app/sa/*"}, s.callersBy("app", "a"))

	s.store(sealed("cards", "b", egresstest.GatewayService, "TLS"))
	s.drain()
	assert.Nil(t, s.callersBy("app", "a"), "everybody, by the entry of another namespace")
	s.remove("cards", "b")
	s.drain()
	assert.Equal(t, []string{"cluster.local/ns/app/sa/*"}, s.callersBy("app", "a"))

	s.registry.DeleteService("egress", "waypoint")
	s.drain()
	assert.Equal(t, "WaypointNotReady", s.condition("app", "a")["reason"])
	s.waypoint()
	assert.Equal(t, "True", s.condition("app", "a")["status"])
	s.remove("app", "a")
	s.drain()
	assert.Nil(t, s.callersBy("app", "a"))
}

// TestClientsOfANamespaceThatIsGovernedNoMore are let in no more.
func TestClientsOfANamespaceThatIsGovernedNoMore(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.Ambient())
	s.registry.PutNamespace("app", inAmbient)
	s.store(boundEntry("app", "a", ".", "cards"))
	s.drain()
	assert.Equal(t, []string{"cluster.local/ns/app/sa/*", "cluster.local/ns/cards/sa/*"}, s.callersBy("app", "a"))
	s.registry.DeleteNamespace("cards")
	s.drain()
	assert.Equal(t, []string{"cluster.local/ns/app/sa/*"}, s.callersBy("app", "a"))
}

// TestTheWaypointsPolicyIsKept whoever changes or deletes it.
func TestTheWaypointsPolicyIsKept(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.Ambient())
	s.registry.PutNamespace("app", inAmbient)
	s.store(boundEntry("app", "a", "."))
	s.drain()
	policy := empty(authorizationPolicy())
	at := types.NamespacedName{Namespace: "app", Name: hop.WaypointPolicyName("a")}
	require.NoError(t, s.cluster.Get(t.Context(), at, policy))
	want := policy.DeepCopy().Object["spec"]
	require.NoError(t, unstructured.SetNestedField(policy.Object, "AUDIT", "spec", "action"))
	require.NoError(t, s.cluster.Update(t.Context(), policy))
	for _, name := range policyEntry(t.Context(), policy) {
		s.policyQueue.Add(name)
	}
	s.drain()
	require.NoError(t, s.cluster.Get(t.Context(), at, policy))
	assert.Equal(t, want, policy.Object["spec"])
	require.NoError(t, s.cluster.Delete(t.Context(), policy))
	for _, name := range policyEntry(t.Context(), policy) {
		s.policyQueue.Add(name)
	}
	s.drain()
	assert.NotNil(t, s.callersBy("app", "a"))
}

// TestAnEntryIsBoundOnceItsNamespaceIsInAmbientMode, and no more once it is not.
func TestAnEntryIsBoundOnceItsNamespaceIsInAmbientMode(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.Ambient())
	s.waypoint()
	s.store(sealed("app", "a", egresstest.GatewayService, "TLS"))
	s.drain()
	bound := func() egress.Waypoint {
		entry := empty(istio("ServiceEntry"))
		require.NoError(t, s.cluster.Get(t.Context(), types.NamespacedName{Namespace: "app", Name: "a"}, entry))
		return hop.BoundTo(entry)
	}
	assert.Empty(t, bound())
	s.registry.PutNamespace("app", inAmbient)
	s.drain()
	assert.Equal(t, egress.Waypoint{Namespace: "egress", Name: "waypoint"}, bound())
	assert.Equal(t, egresstest.GatewayService, s.leadsTo())
	s.registry.PutNamespace("app", nil)
	s.drain()
	assert.Empty(t, bound())
	assert.Equal(t, egresstest.GatewayService, s.leadsTo())
}

// TestAnEntryThatCannotBeBoundStays where it is, and its author is told.
func TestAnEntryThatCannotBeBoundStays(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.Ambient())
	entry := sealed("app", "a", egresstest.GatewayService, "TLS")
	entry.Labels = map[string]string{"istio.io/use-waypoint": "none"}
	s.registry.PutNamespace("app", inAmbient)
	// Whoever deletes it and writes it again is told again.
	for range 2 {
		s.store(entry.DeepCopy())
		s.drain()
		var told []string
		for len(s.recorder.Events) > 0 {
			told = append(told, <-s.recorder.Events)
		}
		require.Len(t, told, 1)
		assert.Contains(t, told[0], "NotMoved the entry stays at egress gateway")
		assert.Contains(t, told[0], "metadata.labels[istio.io/use-waypoint]")
		s.remove("app", "a")
		s.drain()
	}
}

// TestEveryProblemOfAWaypointIsSeen: each lets calls past it.
func TestEveryProblemOfAWaypointIsSeen(t *testing.T) {
	t.Parallel()
	waypoint := func(more string) client.Object {
		out := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte("apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: waypoint, namespace: egress"+more), &out.Object))
		return out
	}
	const ready = "\nstatus: {addresses: [{type: Hostname, value: waypoint.egress.svc.cluster.local}]}"
	listener := func(routes string) string {
		return "}\nspec: {listeners: [{name: mesh, port: 15008, protocol: HBONE" + routes + "}]}" + ready
	}
	all := listener(", allowedRoutes: {namespaces: {from: All}}")
	hidden := meshConfig("outboundTrafficPolicy: {mode: REGISTRY_ONLY}\nserviceEntryVisibility: {policies: [{visibility: PUBLIC, matchingRules: [{namespaceSelector: {matchLabels: {team: a}}}]}, {visibility: NAMESPACE, matchingRules: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ways}}}]}]}")
	ways := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ways", Labels: map[string]string{"kubernetes.io/metadata.name": "ways"}}}
	for name, tc := range map[string]struct {
		stored []client.Object
		want   []string
	}{
		"nothing wrong":                          {[]client.Object{waypoint(all), hidden, ways}, nil},
		"a selector that matches":                {[]client.Object{waypoint(listener(", allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {istio.io/dataplane-mode: ambient}}}}")), hidden, ways}, nil},
		"a selector that does not":               {[]client.Object{waypoint(listener(", allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: a}}}}")), hidden, ways}, []string{"waypoint-closed"}},
		"its own namespace alone":                {[]client.Object{waypoint(listener("")), hidden, ways}, []string{"waypoint-closed"}},
		"missing":                                {[]client.Object{hidden, ways}, []string{"waypoint-missing"}},
		"not there yet":                          {[]client.Object{waypoint("}\nspec: {}"), hidden, ways}, []string{"waypoint-not-ready"}},
		"for workloads":                          {[]client.Object{waypoint(", labels: {istio.io/waypoint-for: workload}" + all), hidden, ways}, []string{"waypoint-not-for-services"}},
		"exits that ambient mode sees":           {[]client.Object{waypoint(all), meshConfig("outboundTrafficPolicy: {mode: REGISTRY_ONLY}"), ways}, []string{"exits-visible"}},
		"entries that a waypoint is not told of": {[]client.Object{waypoint(all), meshConfig("outboundTrafficPolicy: {mode: REGISTRY_ONLY}\nserviceEntryVisibility: {defaultVisibility: NAMESPACE}"), ways}, []string{"waypoint-hidden"}},
		"hidden in other namespaces":             {[]client.Object{waypoint(all), hidden}, []string{"exits-visible"}},
		"nothing known of Istio's rules":         {[]client.Object{waypoint(all)}, nil},
	} {
		gw := gateway()
		gw.Waypoint, gw.Clients = egress.Waypoint{Namespace: "egress", Name: "waypoint"}, egresstest.Mesh().Gateways[0].Clients
		view := egresstest.NewCluster()
		view.Namespaces = map[string]map[string]string{"app": inAmbient, "sidecars": nil}
		stored := append([]client.Object{service(80, 443), pod(corev1.PodRunning)}, tc.stored...)
		preflight := &Preflight{Mesh: &egress.Mesh{TrustDomain: "cluster.local", Gateways: []egress.Gateway{gw}}, Live: clusterOf(t, stored...), View: view, MeshConfig: types.NamespacedName{Namespace: "istio-system", Name: "istio"}}
		found, err := preflight.Look(t.Context())
		require.NoError(t, err, name)
		assert.Equal(t, tc.want, codes(found), name)
	}
}

// TestOneMoreOfManyBoundEntries is looked at alone, as long as it lets in nobody else than they do.
func TestOneMoreOfManyBoundEntries(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.Ambient())
	for _, namespace := range []string{"app", "cards"} {
		s.registry.PutNamespace(namespace, inAmbient)
	}
	s.waypoint()
	for i := range 20 {
		s.store(boundEntry("app", fmt.Sprint(i), "."))
	}
	s.drain()
	looked := func(what func()) (out int) {
		what()
		out = s.policyQueue.Len()
		s.drain()
		return out
	}
	assert.Equal(t, 1, looked(func() { s.store(boundEntry("app", "more", ".")) }))
	assert.Equal(t, 1, looked(func() { s.remove("app", "more") }))
	assert.Equal(t, 21, looked(func() { s.store(boundEntry("cards", "more", ".")) }), "another namespace may call by now")
	assert.Equal(t, []string{"cluster.local/ns/app/sa/*", "cluster.local/ns/cards/sa/*"}, s.callersBy("app", "0"))
	assert.Equal(t, 21, looked(func() { s.remove("cards", "more") }))
	assert.Equal(t, []string{"cluster.local/ns/app/sa/*"}, s.callersBy("app", "0"))
}

// TestAWaypointOfANamespaceThatDoesNotTakeIt: by a selector it takes no more of its own namespace than of others.
func TestAWaypointOfANamespaceThatDoesNotTakeIt(t *testing.T) {
	t.Parallel()
	for routes, want := range map[string][]string{
		"": nil,
		", allowedRoutes: {namespaces: {from: Same}}":                                                                  nil,
		", allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {istio.io/dataplane-mode: ambient}}}}": nil,
		", allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {no: body}}}}":                         {"waypoint-closed"},
	} {
		object := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte("apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: waypoint, namespace: app}\nspec: {listeners: [{name: mesh, port: 15008, protocol: HBONE"+routes+"}]}\nstatus: {addresses: [{value: a}]}"), &object.Object))
		var found []string
		for _, problem := range waypointProblems(egresstest.Ambient().Gateways[0], egress.Waypoint{Namespace: "app", Name: "waypoint"}, object, map[string]labels.Set{"app": inAmbient}) {
			found = append(found, problem.Code)
		}
		assert.Equal(t, want, found, routes)
	}
}

package controller

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// TestARouteThatCameBeforeItsEntry is injected when the entry comes, once.
func TestARouteThatCameBeforeItsEntry(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.Mesh())
	routes := routes(s.registry, s.exits.synced)
	routes.live, routes.writer = s.cluster, s.cluster
	queue := queueOf[types.NamespacedName](t)
	require.NoError(t, routes.follow(t.Context(), queue))
	name := types.NamespacedName{Namespace: "app", Name: "r"}
	vs := &networkingv1.VirtualService{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}}
	vs.Spec.Hosts = []string{"front.test"}
	vs.Spec.Http = []*networking.HTTPRoute{{Route: []*networking.HTTPRouteDestination{{Destination: &networking.Destination{Host: host, Port: &networking.PortSelector{Number: 443}}}}}}
	out := vs.DeepCopy()
	require.NoError(t, s.cluster.Create(t.Context(), vs))
	settle := func() string {
		for queue.Len() > 0 {
			next, _ := queue.Get()
			_, err := routes.Reconcile(t.Context(), next)
			require.NoError(t, err)
			queue.Done(next)
		}
		object := empty(istio("VirtualService"))
		require.NoError(t, s.cluster.Get(t.Context(), name, object))
		s.registry.PutRoutes(object)
		now := &networkingv1.VirtualService{}
		require.NoError(t, s.cluster.Get(t.Context(), name, now))
		return now.Spec.Http[0].Route[0].Destination.Host
	}
	assert.Equal(t, host, settle())
	s.store(defaultEntry("a", "HTTP"))
	require.Equal(t, 1, queue.Len())
	assert.Equal(t, egresstest.GatewayService, settle())
	settle()
	require.NoError(t, s.cluster.Get(t.Context(), name, vs))
	written := vs.ResourceVersion
	s.store(defaultEntry("b", "HTTP"))
	settle()
	require.NoError(t, s.cluster.Get(t.Context(), name, vs))
	assert.Equal(t, written, vs.ResourceVersion, "it leads to the gateway by now")
	again := out.DeepCopy()
	again.Name = "again"
	require.NoError(t, s.cluster.Create(t.Context(), again))
	object := empty(istio("VirtualService"))
	require.NoError(t, s.cluster.Get(t.Context(), types.NamespacedName{Namespace: "app", Name: "again"}, object))
	s.registry.PutRoutes(object)
	assert.Equal(t, 1, queue.Len(), "stored by a replica that did not know of the entry yet")
	_, err := routes.Reconcile(t.Context(), types.NamespacedName{Namespace: "app", Name: "gone"})
	require.NoError(t, err)
	_, err = routes.Reconcile(t.Context(), types.NamespacedName{Namespace: "nowhere", Name: "r"})
	require.NoError(t, err)
}

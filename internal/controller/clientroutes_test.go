package controller

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// asWritten is the entry of a host as its author wrote it, which is as it is stored.
func asWritten(namespace, name, protocol string, exportTo ...string) *networkingv1.ServiceEntry {
	out := sealed(namespace, name, "", protocol)
	out.Spec.Endpoints, out.Spec.ExportTo = nil, exportTo
	return out
}

// clientRoutes lists those of ours in a namespace.
func (s *stage) clientRoutes(namespace string) []*networkingv1.VirtualService {
	s.t.Helper()
	var list networkingv1.VirtualServiceList
	require.NoError(s.t, s.cluster.List(s.t.Context(), &list, client.InNamespace(namespace)))
	return list.Items
}

func routesOf(t *testing.T, name, spec string) *unstructured.Unstructured {
	t.Helper()
	out := &unstructured.Unstructured{}
	require.NoError(t, yaml.Unmarshal([]byte("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: "+name+", namespace: app}\nspec: "+spec), &out.Object))
	return out
}

const authors = `{hosts: [api.example.com], tls: [{match: [{port: 443, sniHosts: [api.example.com]}],
	route: [{destination: {host: istio-egressgateway.istio-system.svc.cluster.local, port: {number: 443}}}]}]}`

// TestClientRoutesAreKept: with the entry they come and go, and deleted by hand they come back.
func TestClientRoutesAreKept(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.ByRoutes())
	s.store(asWritten("app", "a", "TLS", ".", "cards"))
	s.drain()
	ours := s.clientRoutes("app")
	require.Len(t, ours, 1)
	assert.Equal(t, []string{"app", "cards"}, ours[0].Spec.ExportTo, "as the entry")
	assert.Equal(t, "True", s.condition("app", "a")["status"])
	entries, exits := s.exit("istio-system")
	assert.Len(t, entries, 1)
	assert.Len(t, exits, 1)

	require.NoError(t, s.cluster.Delete(t.Context(), ours[0].DeepCopy()))
	s.routeQueue.Add(exitKey{"app", host})
	s.drain()
	require.Len(t, s.clientRoutes("app"), 1)

	s.remove("app", "a")
	s.drain()
	assert.Empty(t, s.clientRoutes("app"))
	entries, _ = s.exit("istio-system")
	assert.Empty(t, entries)
}

// TestClientRoutesGiveWayToTheAuthors, and are back when those go.
func TestClientRoutesGiveWayToTheAuthors(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.ByRoutes())
	s.store(asWritten("app", "a", "TLS"))
	s.drain()
	require.Len(t, s.clientRoutes("app"), 1)
	s.registry.PutRoutes(routesOf(t, "theirs", authors))
	s.drain()
	assert.Empty(t, s.clientRoutes("app"))
	assert.Equal(t, "True", s.condition("app", "a")["status"])
	s.registry.DeleteRoutes("app", "theirs")
	s.drain()
	assert.Len(t, s.clientRoutes("app"), 1)
}

// TestExitReadyNeedsTheRoute: it is not told before the route stands, and an author's that leads past the gateway is.
func TestExitReadyNeedsTheRoute(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.ByRoutes())
	s.store(asWritten("app", "a", "TLS"))
	for s.exitQueue.Len() > 0 {
		key, _ := s.exitQueue.Get()
		_, err := s.exits.Reconcile(t.Context(), key)
		require.NoError(t, err)
		s.exitQueue.Done(key)
	}
	name := types.NamespacedName{Namespace: "app", Name: "a"}
	_, err := s.ready.Reconcile(t.Context(), name)
	require.NoError(t, err)
	assert.Empty(t, s.registry.Stored(name).Conditions(), "the exit stands, the route does not")
	s.drain()
	assert.Equal(t, "True", s.condition("app", "a")["status"])

	s.registry.PutRoutes(routesOf(t, "past", `{hosts: [other.example.com], http: [{route: [{destination: {host: api.example.com, subset: a}}]}]}`))
	s.drain()
	assert.Equal(t, "False", s.condition("app", "a")["status"])
	assert.Contains(t, s.condition("app", "a")["message"], "VirtualService past leads them past the egress gateway")
}

// TestClientRoutesStayUntilTheirEntriesAreSealed: whoever has entries sealed again opens nothing meanwhile.
func TestClientRoutesStayUntilTheirEntriesAreSealed(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.Mesh())
	mesh, view := egresstest.ByRoutes(), egresstest.NewLedCluster()
	view.Known = []*egress.Entry{egresstest.Sealed(host, egress.Port{Number: 443, Name: "tls", Protocol: "TLS"})}
	view.Known[0].Namespace = "app"
	before := hop.ClientRoutes(mesh, view, "app", host)
	require.Len(t, before, 1)
	require.NoError(t, s.cluster.Create(t.Context(), before[0]))
	s.store(asWritten("app", "a", "TLS"))
	s.drain()
	assert.Len(t, s.clientRoutes("app"), 1, "not sealed yet")
	s.remove("app", "a")
	s.store(defaultEntry("a", "TLS"))
	s.routeQueue.Add(exitKey{"app", host})
	s.drain()
	assert.Empty(t, s.clientRoutes("app"))
}

package registry_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/registry"
)

func byRoutes() *registry.Registry {
	out := registry.New(egresstest.ByRoutes())
	out.PutNamespace("a", nil)
	return out
}

const led = `{hosts: [api.example.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}`

// TestALedEntryHasAnExit as it stands, as long as its namespace leaves by a gateway.
func TestALedEntryHasAnExit(t *testing.T) {
	t.Parallel()
	r := byRoutes()
	put(t, r, object(t, "ServiceEntry", "a", "x", led, 0))
	entries := r.Entries("api.example.com")
	require.Len(t, entries, 1)
	assert.True(t, entries[0].Led)
	assert.Equal(t, "default", entries[0].Gateway)
	assert.True(t, r.Exit("api.example.com", "istio-system").Serves(entries[0].Leg()))
	assert.Equal(t, "default", r.Stored(types.NamespacedName{Namespace: "a", Name: "x"}).Entry.Gateway)
	assert.Equal(t, 1, r.Sealed())

	var told []types.NamespacedName
	r.OnChange(func(change registry.Change) { told = change.Entries })
	told = nil
	r.PutService(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "istio-system", Name: "istio-egressgateway"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}})
	assert.Equal(t, []types.NamespacedName{{Namespace: "a", Name: "x"}}, told, "the gateway's Service is another")

	r.DeleteNamespace("a")
	assert.Empty(t, r.Entries("api.example.com")[0].Gateway, "not governed")
	assert.Nil(t, r.Exit("api.example.com", "istio-system"))
	assert.Zero(t, r.Sealed())
	r.PutNamespace("a", nil)
	assert.True(t, r.Entries("api.example.com")[0].Led)

	put(t, r, object(t, "ServiceEntry", "a", "x", `{hosts: [api.example.com], resolution: DNS, ports: [{number: 5432, name: pg, protocol: TCP}]}`, 0))
	assert.Empty(t, r.Entries("api.example.com")[0].Gateway, "no route can carry it")
}

// TestTheAnnotationOfALedEntryIsNobodysWord: the exit is made of what stands, which is what was judged.
func TestTheAnnotationOfALedEntryIsNobodysWord(t *testing.T) {
	t.Parallel()
	r := byRoutes()
	in := object(t, "ServiceEntry", "a", "x", `{hosts: [api.example.com], resolution: DNS, endpoints: [{address: good.example.com}], ports: [{number: 80, name: http, protocol: HTTP}]}`, 0)
	in.SetAnnotations(map[string]string{hop.IntentAnnotation: `[{"was": [{"address": "evil.example.com"}], "now": [{"address": "good.example.com"}], "paths": ["spec.endpoints"]}]`})
	put(t, r, in)
	exit := r.Exit("api.example.com", "istio-system")
	require.NotNil(t, exit)
	require.Len(t, exit.Definition.Endpoints, 1)
	assert.Equal(t, "good.example.com", exit.Definition.Endpoints[0].Address)
}

// TestClientRoutesFollowTheAuthors, by the words of the change.
func TestClientRoutesFollowTheAuthors(t *testing.T) {
	t.Parallel()
	r := byRoutes()
	put(t, r, object(t, "ServiceEntry", "a", "x", led, 0))
	var told []registry.Client
	r.OnChange(func(change registry.Change) { told = change.Clients })
	made := func() int {
		routes, _ := r.ClientRoutes("a", "api.example.com")
		return len(routes)
	}
	assert.Equal(t, 1, made())
	author := object(t, "VirtualService", "a", "w", `{hosts: [api.example.com], http: [{route: [{destination: {host: local}}]}]}`, 0)
	put(t, r, author)
	assert.Equal(t, []registry.Client{{Namespace: "a", Host: "api.example.com"}}, told)
	assert.Zero(t, made())
	told = nil
	put(t, r, author)
	assert.Empty(t, told, "nothing changed")
	r.Remove(author)
	assert.Equal(t, []registry.Client{{Namespace: "a", Host: "api.example.com"}}, told)
	assert.Equal(t, 1, made())

	put(t, r, object(t, "VirtualService", "a", "wild", `{hosts: ["*.example.com"], http: [{route: [{destination: {host: local}}]}]}`, 0))
	assert.Equal(t, 1, made(), "ours stands before it")
	put(t, r, object(t, "VirtualService", "a", "s", `{hosts: [front.test], http: [{route: [{destination: {host: api.example.com, subset: a}}]}]}`, 0))
	assert.Equal(t, []string{"s"}, r.Straight("a", "api.example.com"))
	assert.Empty(t, r.Straight("b", "api.example.com"))
	assert.Equal(t, 1, made())
	routes, _ := r.ClientRoutes("a", "api.example.com")
	put(t, r, routes[0])
	assert.Equal(t, 1, made(), "ours is no author's")
}

package registry_test

import (
	"context"
	"encoding/json"
	"fmt"
	stdruntime "runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/egress-governor/egress-governor/internal/cost"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// BenchmarkHeap takes in sealed entries of distinct hosts as the API server sends them, with their exit sets, asks for their exits, and
// reports what stays of each, in the cache and in the registry.
func BenchmarkHeap(b *testing.B) {
	const count = 2000
	for b.Loop() {
		cluster := newWatched(b)
		cluster.add(b, -1)
		before := cost.Heap()
		for i := range count {
			cluster.add(b, i)
		}
		b.ReportMetric(float64(cost.Heap()-before)/count, "heap-B/entry")
		stdruntime.KeepAlive(cluster)
	}
}

// watched is a registry that is filled from a cache, and that cache.
type watched struct {
	cache.Cache
	scheme   *runtime.Scheme
	mesh     *egress.Mesh
	registry *registry.Registry
	caches   map[string]cache.ByObject
	informed map[string]*informer
}

// informer has what a cache keeps of the objects of a kind, and tells of them.
type informer struct {
	cache.Informer
	stored   toolscache.Indexer
	handlers []toolscache.ResourceEventHandler
}

// AddEventHandler implements cache.Informer.
func (i *informer) AddEventHandler(handler toolscache.ResourceEventHandler) (toolscache.ResourceEventHandlerRegistration, error) {
	i.handlers = append(i.handlers, handler)
	return nil, nil
}

// GetInformer implements cache.Cache.
func (w *watched) GetInformer(_ context.Context, of client.Object, _ ...cache.InformerGetOption) (cache.Informer, error) {
	kind := of.GetObjectKind().GroupVersionKind().Kind
	w.informed[kind] = &informer{stored: toolscache.NewIndexer(toolscache.MetaNamespaceKeyFunc, toolscache.Indexers{toolscache.NamespaceIndex: toolscache.MetaNamespaceIndexFunc})}
	return w.informed[kind], nil
}

func newWatched(b *testing.B) *watched {
	b.Helper()
	mesh := egresstest.Mesh()
	out := &watched{scheme: runtime.NewScheme(), mesh: mesh, registry: registry.New(mesh), caches: map[string]cache.ByObject{}, informed: map[string]*informer{}}
	require.NoError(b, networkingv1.AddToScheme(out.scheme))
	out.registry.PutNamespace(egresstest.Namespace, nil)
	_, err := out.registry.Watch(b.Context(), out)
	require.NoError(b, err)
	for of, by := range out.registry.Caches() {
		out.caches[of.GetObjectKind().GroupVersionKind().Kind] = by
	}
	return out
}

// add stores an entry, and the exit set of its host.
func (w *watched) add(b *testing.B, i int) {
	b.Helper()
	host := fmt.Sprintf("host-%d.example.com", i)
	entry := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": map[string]any{"namespace": egresstest.Namespace, "name": fmt.Sprintf("entry-%d", i)},
		"spec": map[string]any{
			"hosts": []any{host}, "resolution": "DNS",
			"ports": []any{map[string]any{"number": int64(80), "name": "http", "protocol": "HTTP"}, map[string]any{"number": int64(443), "name": "tls", "protocol": "TLS"}},
		},
	}}
	sealed, err := hop.Seal(entry, w.mesh.Gateways[0], w.mesh)
	require.NoError(b, err)
	sealed.Object["status"] = map[string]any{"conditions": []any{map[string]any{
		"type": registry.ConditionExitReady, "status": "True", "reason": registry.ReasonConfigured, "lastTransitionTime": "2026-01-02T03:04:05Z",
		"message": `egress gateway "default" has the exit of every host`,
	}}}
	w.put(b, i, sealed)
	set, err := w.registry.ExitSet("istio-system", host)
	require.NoError(b, err)
	require.NotEmpty(b, set)
	for _, object := range set {
		kind, err := apiutil.GVKForObject(object, w.scheme)
		require.NoError(b, err)
		object.GetObjectKind().SetGroupVersionKind(kind)
		w.put(b, i, object)
	}
}

// put has the cache hear of an object as it is sent.
func (w *watched) put(b *testing.B, i int, object client.Object) {
	b.Helper()
	object.SetUID(types.UID(fmt.Sprintf("%036d", i)))
	object.SetResourceVersion(fmt.Sprint(1000 + i))
	object.SetCreationTimestamp(metav1.NewTime(time.Unix(1000+int64(i), 0)))
	raw, err := json.Marshal(object)
	require.NoError(b, err)
	sent := &unstructured.Unstructured{}
	require.NoError(b, sent.UnmarshalJSON(raw))
	kept, err := w.caches[sent.GetKind()].Transform(sent)
	require.NoError(b, err)
	informer := w.informed[sent.GetKind()]
	require.NoError(b, informer.stored.Add(kept))
	for _, handler := range informer.handlers {
		handler.OnAdd(kept, false)
	}
}

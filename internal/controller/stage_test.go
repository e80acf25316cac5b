package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	networking "istio.io/api/networking/v1alpha3"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	networkpolicyv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/registry"
)

const host = "api.example.com"

// stage is both controllers over a fake cluster that counts writes. Its queues are real, its workers are drain.
type stage struct {
	t        testing.TB
	cluster  client.Client
	registry *registry.Registry
	exits    *Exits
	ready    *ExitReady
	rules    *ClientRules
	routes   *ClientRoutes
	policies *WaypointPolicies
	recorder *events.FakeRecorder

	routeQueue  workqueue.TypedRateLimitingInterface[exitKey]
	policyQueue workqueue.TypedRateLimitingInterface[types.NamespacedName]
	ruleQueue   workqueue.TypedRateLimitingInterface[exitKey]
	exitQueue   workqueue.TypedRateLimitingInterface[exitKey]
	readyQueue  workqueue.TypedRateLimitingInterface[types.NamespacedName]

	mu     sync.Mutex
	writes []string
	// refuse is what updates of entries are refused with, empty for none.
	refuse string
	// undo says that updates of entries change nothing.
	undo bool
	// unseen says that the cache of exits tells of no write.
	unseen    bool
	evaluated int
	created   time.Time
}

// slimReader reads as the cache of exits does.
type slimReader struct{ client.Reader }

func (r slimReader) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if err := r.Reader.Get(ctx, key, object, options...); err != nil {
		return err
	}
	into := object.(*unstructured.Unstructured)
	slimmed, err := slim(into.DeepCopy())
	into.Object = slimmed.(*unstructured.Unstructured).Object
	return err
}

func scheme(t testing.TB) *runtime.Scheme {
	t.Helper()
	out := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{networkingv1.AddToScheme, corev1.AddToScheme, networkpolicyv1.AddToScheme} {
		require.NoError(t, add(out))
	}
	// The fake client makes what it does not know known at the first read, which several workers would do beside each other.
	out.AddKnownTypeWithName(hop.EnvoyFilter, empty(hop.EnvoyFilter))
	list := emptyList(hop.EnvoyFilter)
	out.AddKnownTypeWithName(list.GroupVersionKind(), list)
	return out
}

// queueOf returns a queue as controllers have them, which lasts as long as the test.
func queueOf[K comparable](t testing.TB) workqueue.TypedRateLimitingInterface[K] {
	t.Helper()
	out := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[K]())
	t.Cleanup(out.ShutDown)
	return out
}

func newStage(t testing.TB, mesh *egress.Mesh) *stage {
	t.Helper()
	out := &stage{t: t, registry: registry.New(mesh), recorder: events.NewFakeRecorder(100), created: time.Unix(1000, 0)}
	builder := fake.NewClientBuilder().WithScheme(scheme(t)).WithStatusSubresource(&networkingv1.ServiceEntry{}).WithInterceptorFuncs(out.counting())
	for _, object := range hop.ExitKinds() {
		builder.WithIndex(object, byHost, hostOf)
	}
	out.cluster = builder.Build()
	kinds, err := kindsOf(out.cluster)
	require.NoError(t, err)
	state := newStanding()
	out.ready = &ExitReady{synced: func() bool { return true }, mesh: mesh, entries: out.registry, standing: state, routes: newStanding(), writer: out.cluster, recorder: out.recorder, states: newExitStates(time.Now)}
	synced := func() bool { return true }
	out.exits = &Exits{
		synced: synced, mesh: mesh, entries: out.registry, objects: owned{stored: slimReader{out.cluster}, live: out.cluster, writer: out.cluster, expected: newExpected()},
		kinds: kinds, standing: state, tell: out.ready.wake,
	}
	out.ready.moves = &moves{mesh: mesh, entries: out.registry, standing: state, live: out.cluster, writer: out.cluster, recorder: out.recorder}
	beside := keeper{synced: synced, mesh: mesh, entries: out.registry, objects: out.exits.objects, standing: state, tell: out.ready.wake}
	out.rules = &ClientRules{clients: clients{keeper: beside}, written: out.exits.look}
	out.exits.ruled = out.rules.wake
	out.rules.rewritten = func([]types.NamespacedName) {}
	out.routes = &ClientRoutes{clients{keeper: beside}}
	out.routes.standing = out.ready.routes
	out.routeQueue = queueOf[exitKey](t)
	out.ruleQueue = queueOf[exitKey](t)
	out.exitQueue = queueOf[exitKey](t)
	out.readyQueue = queueOf[types.NamespacedName](t)
	out.registry.PutNamespace("app", nil)
	out.registry.PutNamespace("cards", map[string]string{"egress": "pci"})
	for _, gw := range mesh.Gateways {
		out.registry.PutService(&corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: gw.Namespace(), Name: gw.ServiceName()},
			Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80, Name: "http2"}, {Port: 443, Name: "https"}}},
		})
	}
	require.NoError(t, out.exits.follow(t.Context(), out.exitQueue))
	require.NoError(t, out.ready.follow(t.Context(), out.readyQueue))
	out.ready.began = time.Time{} // long ago
	require.NoError(t, out.rules.follow(t.Context(), out.ruleQueue))
	require.NoError(t, out.routes.follow(t.Context(), out.routeQueue))
	out.policyQueue = queueOf[types.NamespacedName](t)
	out.policies = &WaypointPolicies{keeper: beside}
	if hasWaypoints(mesh) {
		require.NoError(t, out.policies.follow(t.Context(), out.policyQueue))
	}
	return out
}

func (s *stage) counting() interceptor.Funcs {
	note := func(verb string, object client.Object) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.writes = append(s.writes, fmt.Sprintf("%s %s %s", verb, object.GetObjectKind().GroupVersionKind().Kind, object.GetNamespace()))
	}
	return interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			note("create", o)
			return s.came(o, c.Create(ctx, o, opts...))
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			if o.GetObjectKind().GroupVersionKind().Kind == "ServiceEntry" && s.refuse != "" {
				return apierrors.NewForbidden(schema.GroupResource{Resource: "serviceentries"}, o.GetName(), errors.New(s.refuse))
			}
			if s.undo && o.GetObjectKind().GroupVersionKind().Kind == "ServiceEntry" {
				return c.Get(ctx, client.ObjectKeyFromObject(o), o)
			}
			note("update", o)
			return s.came(o, c.Update(ctx, o, opts...))
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			note("delete", o)
			return c.Delete(ctx, o, opts...)
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
			note(sub, o)
			return c.SubResource(sub).Patch(ctx, o, patch, opts...)
		},
	}
}

// came tells of an object that was written, as the cache of exits does at once.
func (s *stage) came(object client.Object, err error) error {
	if whole, is := object.(*unstructured.Unstructured); is && err == nil && s.exits != nil && !s.unseen {
		slimmed, err := slim(whole.DeepCopy())
		require.NoError(s.t, err)
		s.exits.objects.expected.came(slimmed.(*unstructured.Unstructured))
	}
	return err
}

// sealed is the entry of a host, sealed to a gateway of the mesh.
func sealed(namespace, name, service, protocol string) *networkingv1.ServiceEntry {
	out := &networkingv1.ServiceEntry{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	out.Spec.Hosts = []string{host}
	out.Spec.Resolution = networking.ServiceEntry_DNS
	out.Spec.Ports = []*networking.ServicePort{{Number: 443, Name: "p", Protocol: protocol}}
	out.Spec.Endpoints = []*networking.WorkloadEntry{{Address: service}}
	return out
}

func defaultEntry(name, protocol string) *networkingv1.ServiceEntry {
	return sealed("app", name, egresstest.GatewayService, protocol)
}

// store puts entries into the cluster, each younger than the one before, without a word to the controllers' counters.
func (s *stage) store(entries ...*networkingv1.ServiceEntry) {
	s.t.Helper()
	writes := s.writes
	for _, entry := range entries {
		s.created = s.created.Add(time.Second)
		entry.CreationTimestamp = metav1.NewTime(s.created)
		entry.UID = types.UID(entry.Namespace + "/" + entry.Name)
		require.NoError(s.t, s.cluster.Create(s.t.Context(), entry))
		s.see(entry.Namespace, entry.Name)
	}
	s.writes = writes
}

// see tells the registry of an entry as it is stored, as the watch does.
func (s *stage) see(namespace, name string) {
	s.t.Helper()
	object := empty(istio("ServiceEntry"))
	err := s.cluster.Get(s.t.Context(), types.NamespacedName{Namespace: namespace, Name: name}, object)
	if client.IgnoreNotFound(err) == nil && err != nil {
		s.registry.DeleteEntry(namespace, name)
		return
	}
	require.NoError(s.t, err)
	s.registry.PutEntry(s.registry.Read(object))
}

func (s *stage) remove(namespace, name string) {
	s.t.Helper()
	writes := s.writes
	require.NoError(s.t, s.cluster.Delete(s.t.Context(), &networkingv1.ServiceEntry{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}))
	s.writes = writes
	s.see(namespace, name)
}

// drain works until nothing is left to do; the watch brings each status that is written.
func (s *stage) drain() {
	s.t.Helper()
	for s.exitQueue.Len()+s.readyQueue.Len()+s.ruleQueue.Len()+s.routeQueue.Len()+s.policyQueue.Len() > 0 {
		if s.routeQueue.Len() > 0 {
			key, _ := s.routeQueue.Get()
			_, err := s.routes.Reconcile(s.t.Context(), key)
			require.NoError(s.t, err)
			s.routeQueue.Done(key)
			continue
		}
		if s.policyQueue.Len() > 0 {
			name, _ := s.policyQueue.Get()
			_, err := s.policies.Reconcile(s.t.Context(), name)
			require.NoError(s.t, err)
			s.policyQueue.Done(name)
			continue
		}
		if s.ruleQueue.Len() > 0 {
			key, _ := s.ruleQueue.Get()
			_, err := s.rules.Reconcile(s.t.Context(), key)
			require.NoError(s.t, err)
			s.ruleQueue.Done(key)
			continue
		}
		if s.readyQueue.Len() > 0 {
			name, _ := s.readyQueue.Get()
			s.evaluated++
			result, err := s.ready.Reconcile(s.t.Context(), name)
			require.NoError(s.t, err)
			require.Contains(s.t, []reconcile.Result{{}, {RequeueAfter: interval}}, result)
			s.readyQueue.Done(name)
			s.see(name.Namespace, name.Name)
			continue
		}
		key, _ := s.exitQueue.Get()
		_, err := s.exits.Reconcile(s.t.Context(), key)
		require.NoError(s.t, err)
		s.exitQueue.Done(key)
	}
}

// condition is the one condition of an entry.
func (s *stage) condition(namespace, name string) map[string]any {
	s.t.Helper()
	stored := s.registry.Stored(types.NamespacedName{Namespace: namespace, Name: name})
	require.NotNil(s.t, stored)
	require.Len(s.t, stored.Conditions(), 1)
	return stored.Conditions()[0].(map[string]any)
}

// exit lists the stored exit set of the host in a namespace.
func (s *stage) exit(namespace string) ([]*networkingv1.ServiceEntry, []*networkingv1.VirtualService) {
	s.t.Helper()
	var entries networkingv1.ServiceEntryList
	var routes networkingv1.VirtualServiceList
	in := []client.ListOption{client.InNamespace(namespace), client.MatchingFields{byHost: host}}
	require.NoError(s.t, s.cluster.List(s.t.Context(), &entries, in...))
	require.NoError(s.t, s.cluster.List(s.t.Context(), &routes, in...))
	return entries.Items, routes.Items
}

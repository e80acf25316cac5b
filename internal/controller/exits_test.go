package controller

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

const gateways = "istio-system"

func TestNothingIsWrittenTwice(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.Mesh())
	s.store(defaultEntry("a", "TLS"))
	s.drain()
	assert.Equal(t, []string{
		"create Gateway istio-system", "create ServiceEntry istio-system", "create VirtualService istio-system", "status ServiceEntry app",
	}, s.writes)
	assert.Equal(t, "True", s.condition("app", "a")["status"])
	s.exitQueue.Add(exitKey{gateways, host})
	s.see("app", "a")
	s.drain()
	assert.Len(t, s.writes, 4)
}

// TestOneOfManyEntriesCostsTheSame: what is done for a change does not grow with the number of entries of the host.
func TestOneOfManyEntriesCostsTheSame(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.Mesh())
	for i := range 200 {
		s.store(defaultEntry(fmt.Sprintf("e%03d", i), "TLS"))
	}
	s.drain()
	assert.Len(t, s.writes, 3+200, "one status for each entry")
	for _, change := range []struct {
		what string
		do   func()
	}{
		{"one more", func() { s.store(defaultEntry("newest", "TLS")) }},
		{"one less", func() { s.remove("app", "e100") }},
		{"the owner goes", func() { s.remove("app", "e000") }},
	} {
		s.evaluated, s.writes = 0, nil
		change.do()
		s.drain()
		assert.LessOrEqual(t, s.evaluated, 1, change.what)
		assert.LessOrEqual(t, len(s.writes), 1, change.what)
	}
}

// TestManyHostsAtOnce: by several workers each host has its exit, written once, and each entry is told.
func TestManyHostsAtOnce(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.Mesh())
	const hosts = 20
	for i := range 2 * hosts {
		entry := defaultEntry(fmt.Sprint(i), "TLS")
		entry.Spec.Hosts = []string{fmt.Sprintf("host-%d.example.com", i%hosts)}
		s.store(entry)
	}
	for range workers {
		go func() {
			for key, over := s.exitQueue.Get(); !over; key, over = s.exitQueue.Get() {
				_, err := s.exits.Reconcile(t.Context(), key)
				assert.NoError(t, err)
				s.exitQueue.Done(key)
			}
		}()
		go func() {
			for name, over := s.readyQueue.Get(); !over; name, over = s.readyQueue.Get() {
				_, err := s.ready.Reconcile(t.Context(), name)
				assert.NoError(t, err)
				s.readyQueue.Done(name)
			}
		}()
	}
	require.Eventually(t, func() bool { return s.exitQueue.Len() == 0 }, time.Minute, time.Millisecond)
	s.exitQueue.ShutDownWithDrain() // what is being done wakes entries
	require.Eventually(t, func() bool { return s.readyQueue.Len() == 0 }, time.Minute, time.Millisecond)
	s.readyQueue.ShutDownWithDrain()
	written := map[string]int{}
	for _, write := range s.writes {
		written[write]++
	}
	assert.Equal(t, 1, written["create Gateway istio-system"])
	assert.Equal(t, hosts, written["create ServiceEntry istio-system"])
	assert.Equal(t, hosts, written["create VirtualService istio-system"])
	for i := range 2 * hosts {
		s.see("app", fmt.Sprint(i))
		assert.Equal(t, "True", s.condition("app", fmt.Sprint(i))["status"])
	}
}

func TestExitGoesWithTheLastEntry(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.Mesh())
	s.store(defaultEntry("a", "TLS"), defaultEntry("b", "TLS"))
	s.drain()
	s.remove("app", "a")
	s.drain()
	entries, routes := s.exit(gateways)
	require.Len(t, entries, 1)
	require.Len(t, routes, 1)
	s.writes = nil
	s.remove("app", "b")
	s.drain()
	assert.Equal(t, []string{"delete VirtualService istio-system", "delete ServiceEntry istio-system"}, s.writes)
	s.exitQueue.Add(exitKey{gateways, host})
	s.drain()
	assert.Len(t, s.writes, 2)
}

func TestLaterEntryThatDefinesOtherwiseIsLeftOut(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.Mesh())
	s.store(defaultEntry("a", "TLS"), defaultEntry("b", "HTTP"), defaultEntry("c", "TLS"))
	s.drain()
	entries, _ := s.exit(gateways)
	assert.Equal(t, "TLS", entries[0].Spec.Ports[0].Protocol)
	assert.Equal(t, "True", s.condition("app", "a")["status"])
	told := s.condition("app", "b")
	assert.Equal(t, []any{"False", "HostConflict"}, []any{told["status"], told["reason"]})
	assert.Equal(t, `host "api.example.com" is defined otherwise by ServiceEntry app/a, which is older: port 443 is TLS there and HTTP here`, told["message"])
	require.Len(t, s.recorder.Events, 1)
	assert.Contains(t, <-s.recorder.Events, "HostConflict")

	s.remove("app", "a")
	s.drain()
	assert.Equal(t, "True", s.condition("app", "b")["status"], "it is the oldest now")
	assert.Equal(t, "False", s.condition("app", "c")["status"])
}

// TestLosersLearnOfAnotherOwner: the new owner defines the host as the last one did, so nobody else is looked at.
func TestLosersLearnOfAnotherOwner(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.Mesh())
	s.store(defaultEntry("a", "TLS"), defaultEntry("b", "TLS"), defaultEntry("c", "HTTP"))
	s.drain()
	s.remove("app", "a")
	s.drain()
	assert.Contains(t, s.condition("app", "c")["message"], "ServiceEntry app/b, which is older")
}

// TestTwoGatewaysInOneNamespace share what the namespace knows of a host; each keeps its own routes, and neither
// controller writes for ever.
func TestTwoGatewaysInOneNamespace(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.TwoGateways())
	s.store(defaultEntry("a", "TLS"), sealed("cards", "b", egresstest.PCIService, "TLS"))
	s.drain()
	entries, routes := s.exit(gateways)
	assert.Len(t, entries, 1)
	require.Len(t, routes, 2)
	assert.NotEqual(t, routes[0].Spec.Gateways, routes[1].Spec.Gateways)
	for _, of := range []string{"app/a", "cards/b"} {
		assert.Equal(t, "True", s.condition(of[:len(of)-2], of[len(of)-1:])["status"], of)
	}
	writes := len(s.writes)
	for range 3 {
		s.exitQueue.Add(exitKey{gateways, host})
		s.drain()
	}
	assert.Len(t, s.writes, writes)

	s.writes = nil
	s.remove("app", "a")
	s.drain()
	assert.Equal(t, []string{"delete VirtualService istio-system"}, s.writes, "the other gateway's exit stays")
}

// TestTwoGatewaysInTwoNamespaces know a host each in its own way.
func TestTwoGatewaysInTwoNamespaces(t *testing.T) {
	t.Parallel()
	mesh := egresstest.TwoGateways()
	mesh.Gateways[0].Service = "pci-egress.elsewhere.svc.cluster.local"
	s := newStage(t, mesh)
	s.store(defaultEntry("a", "TLS"), sealed("cards", "b", mesh.Gateways[0].Service, "HTTP"))
	s.drain()
	for namespace, protocol := range map[string]string{gateways: "TLS", "elsewhere": "HTTP"} {
		entries, routes := s.exit(namespace)
		require.Len(t, entries, 1)
		assert.Len(t, routes, 1)
		assert.Equal(t, protocol, entries[0].Spec.Ports[0].Protocol)
	}
	assert.Equal(t, "True", s.condition("cards", "b")["status"])
}

// TestRenamedObjectsLeaveNoGap: objects of an earlier version go after those of today's names are there.
func TestRenamedObjectsLeaveNoGap(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.Mesh())
	old := metav1.ObjectMeta{
		Namespace: gateways, Name: "api-example-com-0123456789",
		Labels:      map[string]string{hop.ManagedByLabel: hop.Manager, hop.GatewayLabel: "default"},
		Annotations: map[string]string{hop.HostAnnotation: host},
	}
	require.NoError(t, s.cluster.Create(t.Context(), &networkingv1.ServiceEntry{ObjectMeta: old}))
	require.NoError(t, s.cluster.Create(t.Context(), &networkingv1.VirtualService{ObjectMeta: old}))
	s.store(defaultEntry("a", "TLS"))
	s.writes = nil
	s.drain()
	assert.Equal(t, []string{
		"create Gateway istio-system", "create ServiceEntry istio-system", "create VirtualService istio-system",
		"delete VirtualService istio-system", "delete ServiceEntry istio-system", "status ServiceEntry app",
	}, s.writes)
}

// TestTheExitsOfARetiredGatewayStay: entries may still lead there.
func TestTheExitsOfARetiredGatewayStay(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.Mesh())
	require.NoError(t, s.cluster.Create(t.Context(), &networkingv1.VirtualService{ObjectMeta: metav1.ObjectMeta{
		Namespace: gateways, Name: "old",
		Labels:      map[string]string{hop.ManagedByLabel: hop.Manager, hop.GatewayLabel: "retired"},
		Annotations: map[string]string{hop.HostAnnotation: host},
	}}))
	s.exitQueue.Add(exitKey{gateways, host})
	s.drain()
	_, routes := s.exit(gateways)
	assert.Len(t, routes, 1)
}

func TestAGatewayThatCannotCarryCallsIsSaid(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.TwoGateways())
	s.store(defaultEntry("a", "TLS"), sealed("cards", "b", egresstest.PCIService, "TLS"))
	s.drain()
	s.registry.DeleteService(gateways, "istio-egressgateway")
	s.drain()
	said := s.condition("app", "a")
	assert.Equal(t, []any{"False", "GatewayNotReady"}, []any{said["status"], said["reason"]})
	assert.Contains(t, said["message"], egresstest.GatewayService)
	assert.Equal(t, "True", s.condition("cards", "b")["status"], "the other gateway is as it was")
	s.registry.PutService(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: gateways, Name: "istio-egressgateway"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}, {Port: 443}}},
	})
	s.drain()
	assert.Equal(t, "True", s.condition("app", "a")["status"])
}

func TestWhatCannotBeWrittenIsSaid(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.Mesh())
	s.store(defaultEntry("a", "TLS"))
	exit := hop.ExitSet(egresstest.Mesh(), s.registry.Exit(host, gateways), s.registry, gateways, host)[0].(*networkingv1.ServiceEntry)
	exit.Labels = nil
	require.NoError(t, s.cluster.Create(t.Context(), exit))
	s.exits.objects.stored = labelled{s.exits.objects.stored}
	_, err := s.exits.Reconcile(t.Context(), exitKey{gateways, host})
	require.ErrorContains(t, err, "it is not ours to change")
	s.exitQueue.Get()
	s.drain()
	said := s.condition("app", "a")
	assert.Equal(t, []any{"False", "ExitFailed"}, []any{said["status"], said["reason"]})
}

// TestRepairKeepsWhatOthersAdd to the metadata, and nothing that they change of the content.
func TestRepairKeepsWhatOthersAdd(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.Mesh())
	s.store(defaultEntry("a", "TLS"))
	s.drain()
	_, routes := s.exit(gateways)
	routes[0].Labels["team"] = "x"
	routes[0].Spec.Hosts = []string{"evil.test"}
	require.NoError(t, s.cluster.Update(t.Context(), routes[0]))
	s.exitQueue.Add(exitKey{gateways, host})
	s.drain()
	repaired := &networkingv1.VirtualService{}
	require.NoError(t, s.cluster.Get(t.Context(), client.ObjectKeyFromObject(routes[0]), repaired))
	assert.Equal(t, []string{host}, repaired.Spec.Hosts)
	assert.Equal(t, "x", repaired.Labels["team"])
}

// conflicting answers every create as if the object had changed meanwhile.
type conflicting struct{ client.Client }

func (conflicting) Create(_ context.Context, object client.Object, _ ...client.CreateOption) error {
	return apierrors.NewConflict(schema.GroupResource{Resource: "virtualservices"}, object.GetName(), errors.New("modified"))
}

// TestALaggingCacheIsNoFailure: the exit is looked at again, and its author told nothing.
func TestALaggingCacheIsNoFailure(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.Mesh())
	s.store(defaultEntry("a", "TLS"))
	require.NoError(t, s.exits.objects.ensure(t.Context(), hop.GatewayObject(egresstest.Mesh().Gateways[0], egress.Plain)))
	writer := s.exits.objects.writer
	s.exits.objects.writer = conflicting{writer}
	result, err := s.exits.Reconcile(t.Context(), exitKey{gateways, host})
	require.NoError(t, err)
	assert.Equal(t, again, result.RequeueAfter)
	_, told := s.exits.standing.exits[exitKey{gateways, host}]
	assert.False(t, told)
	s.exits.objects.writer = writer
	s.drain()
	assert.Equal(t, "True", s.condition("app", "a")["status"])
}

package exit

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/preflight"
)

const host = "api.example.com"

type entries map[string][]*egress.Entry

func (e entries) Entries(host string) []*egress.Entry { return e[host] }
func (entries) OnChange(func([]string))               {}

// GatewayProblems finds one where there is an entry of the host "no-gateway".
func (e entries) GatewayProblems(gw egress.Gateway) []preflight.Problem {
	if len(e["no-gateway"]) > 0 {
		return preflight.Service(gw, nil)
	}
	return nil
}

// stage is a reconciler over a fake cluster that counts writes.
type stage struct {
	*Reconciler
	writes   int
	recorder *events.FakeRecorder
}

func newStage(t *testing.T, known entries, stored ...client.Object) *stage {
	t.Helper()
	scheme := runtime.NewScheme()
	require.NoError(t, networkingv1.AddToScheme(scheme))
	out := &stage{recorder: events.NewFakeRecorder(10)}
	count := func() { out.writes++ }
	cluster := fake.NewClientBuilder().WithScheme(scheme).WithObjects(stored...).WithStatusSubresource(&networkingv1.ServiceEntry{}).
		WithInterceptorFuncs(interceptor.Funcs{
			Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
				count()
				return c.Create(ctx, o, opts...)
			},
			Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
				count()
				return c.Update(ctx, o, opts...)
			},
			Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
				count()
				return c.Delete(ctx, o, opts...)
			},
			SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
				count()
				return c.SubResource(sub).Patch(ctx, o, patch, opts...)
			},
		}).Build()
	out.Reconciler = &Reconciler{
		Mesh: &egress.Mesh{ClusterDomain: "cluster.local", Gateways: []egress.Gateway{{
			Name: "default", Service: "egress.gateways.svc.cluster.local", Selector: map[string]string{"app": "egress"}, HTTPPort: 80, TLSPort: 443, Clients: labels.Everything(),
		}}},
		Entries: known, Exits: cluster, Authors: cluster, Recorder: out.recorder,
	}
	return out
}

func author(name string) *networkingv1.ServiceEntry {
	return &networkingv1.ServiceEntry{ObjectMeta: metav1.ObjectMeta{Namespace: "app", Name: name, UID: types.UID(name)}}
}

func entry(name, protocol string) *egress.Entry {
	return &egress.Entry{
		Namespace: "app", Name: name, UID: name, Hosts: []string{host}, External: true, Gateway: "default",
		Definition: egress.Definition{Resolution: "DNS", Ports: []egress.Port{{Number: 443, Protocol: protocol, Name: "p"}}},
	}
}

func (s *stage) reconcile(t *testing.T) {
	t.Helper()
	_, err := s.Reconcile(t.Context(), request{"default", host})
	require.NoError(t, err)
}

func (s *stage) condition(t *testing.T, name string) map[string]any {
	t.Helper()
	object := &unstructured.Unstructured{}
	object.SetAPIVersion("networking.istio.io/v1")
	object.SetKind("ServiceEntry")
	require.NoError(t, s.Authors.Get(t.Context(), client.ObjectKey{Namespace: "app", Name: name}, object))
	conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	require.Len(t, conditions, 1)
	return conditions[0].(map[string]any)
}

func TestNothingIsWrittenTwice(t *testing.T) {
	t.Parallel()
	s := newStage(t, entries{host: {entry("a", "TLS")}}, author("a"))
	s.reconcile(t)
	assert.Equal(t, 4, s.writes, "Gateway, ServiceEntry, VirtualService, status")
	assert.Equal(t, "True", s.condition(t, "a")["status"])
	s.reconcile(t)
	assert.Equal(t, 4, s.writes)
}

func TestExitGoesWithTheLastEntry(t *testing.T) {
	t.Parallel()
	known := entries{host: {entry("a", "TLS")}}
	s := newStage(t, known, author("a"))
	s.reconcile(t)
	delete(known, host)
	s.reconcile(t)
	for _, object := range []client.Object{&networkingv1.ServiceEntry{}, &networkingv1.VirtualService{}} {
		err := s.Exits.Get(t.Context(), client.ObjectKey{Namespace: "gateways", Name: hop.ExitName(host)}, object)
		require.True(t, apierrors.IsNotFound(err), "%v", err)
	}
	writes := s.writes
	s.reconcile(t)
	assert.Equal(t, writes, s.writes)
}

func TestLaterEntryThatDefinesOtherwiseIsLeftOut(t *testing.T) {
	t.Parallel()
	s := newStage(t, entries{host: {entry("a", "TLS"), entry("b", "HTTP")}}, author("a"), author("b"))
	s.reconcile(t)
	exit := &networkingv1.ServiceEntry{}
	require.NoError(t, s.Exits.Get(t.Context(), client.ObjectKey{Namespace: "gateways", Name: hop.ExitName(host)}, exit))
	assert.Equal(t, "TLS", exit.Spec.Ports[0].Protocol)
	assert.Equal(t, "True", s.condition(t, "a")["status"])
	condition := s.condition(t, "b")
	assert.Equal(t, "False", condition["status"])
	assert.Equal(t, "HostConflict", condition["reason"])
	assert.Equal(t, `host "api.example.com" is defined otherwise by ServiceEntry app/a, which is older: port 443 is TLS there and HTTP here`, condition["message"])
	select {
	case event := <-s.recorder.Events:
		assert.Contains(t, event, "HostConflict")
	default:
		assert.Fail(t, "no Event")
	}
	writes := s.writes
	s.reconcile(t)
	assert.Equal(t, writes, s.writes)
	assert.Empty(t, s.recorder.Events)
}

func TestRepairKeepsWhatOthersAdd(t *testing.T) {
	t.Parallel()
	s := newStage(t, entries{host: {entry("a", "TLS")}}, author("a"))
	s.reconcile(t)
	exit := &networkingv1.VirtualService{}
	key := client.ObjectKey{Namespace: "gateways", Name: hop.ExitName(host)}
	require.NoError(t, s.Exits.Get(t.Context(), key, exit))
	exit.Labels["team"] = "x"
	exit.Spec.Hosts = []string{"evil.test"}
	require.NoError(t, s.Exits.Update(t.Context(), exit))
	s.reconcile(t)
	require.NoError(t, s.Exits.Get(t.Context(), key, exit))
	assert.Equal(t, []string{host}, exit.Spec.Hosts)
	assert.Equal(t, "x", exit.Labels["team"])
}

func TestAGatewayThatCannotCarryCallsIsSaid(t *testing.T) {
	t.Parallel()
	known := entries{host: {entry("a", "TLS")}, "no-gateway": {entry("a", "TLS")}}
	s := newStage(t, known, author("a"))
	s.reconcile(t)
	said := s.condition(t, "a")
	assert.Equal(t, []any{"False", reasonGateway}, []any{said["status"], said["reason"]})
	assert.Contains(t, said["message"], "egress.gateways.svc.cluster.local")
	delete(known, "no-gateway")
	s.reconcile(t)
	assert.Equal(t, "True", s.condition(t, "a")["status"])
}

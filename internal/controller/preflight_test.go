package controller

import (
	"context"
	"errors"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

func gateway() egress.Gateway {
	return egress.Gateway{Name: "default", Service: "egress.ways.svc.cluster.local", Selector: map[string]string{"app": "egress"}, HTTPPort: 80, TLSPort: 443}
}

func service(ports ...int32) *corev1.Service {
	out := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ways", Name: "egress"}}
	for _, port := range ports {
		out.Spec.Ports = append(out.Spec.Ports, corev1.ServicePort{Port: port})
	}
	return out
}

func pod(phase corev1.PodPhase) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ways", Name: "p", Labels: map[string]string{"app": "egress"}}, Status: corev1.PodStatus{Phase: phase}}
}

func meshConfig(mesh string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "istio-system", Name: "istio"}, Data: map[string]string{"mesh": mesh}}
}

// cluster is one that knows Istio's kinds: the fake client teaches a scheme those it lacks, which would race on a shared one.
func clusterOf(t *testing.T, stored ...client.Object) client.WithWatch {
	t.Helper()
	scheme := runtime.NewScheme()
	require.NoError(t, corev1.AddToScheme(scheme))
	require.NoError(t, networkingv1.AddToScheme(scheme))
	builder := fake.NewClientBuilder().WithScheme(scheme)
	for _, object := range stored {
		// Tests share objects, and the fake client writes into those that it is given.
		builder.WithObjects(object.DeepCopyObject().(client.Object))
	}
	return builder.WithStatusSubresource(&networkingv1.Gateway{}).Build()
}

func codes(problems []Problem) []string {
	var out []string
	for _, problem := range problems {
		out = append(out, problem.Code)
	}
	return out
}

func TestEveryProblemIsSeen(t *testing.T) {
	t.Parallel()
	closed := meshConfig("outboundTrafficPolicy: {mode: REGISTRY_ONLY}")
	for name, tc := range map[string]struct {
		stored []client.Object
		want   []string
	}{
		"nothing wrong":        {[]client.Object{service(80, 443), pod(corev1.PodRunning), closed}, nil},
		"no Service":           {[]client.Object{pod(corev1.PodRunning), closed}, []string{"gateway-service-missing"}},
		"no TLS port":          {[]client.Object{service(80), pod(corev1.PodRunning), closed}, []string{"gateway-port-missing"}},
		"neither port":         {[]client.Object{service(8080), pod(corev1.PodRunning), closed}, []string{"gateway-port-missing", "gateway-port-missing"}},
		"no pod":               {[]client.Object{service(80, 443), closed}, []string{"gateway-without-pods"}},
		"a pod that is done":   {[]client.Object{service(80, 443), pod(corev1.PodSucceeded), closed}, []string{"gateway-without-pods"}},
		"ALLOW_ANY":            {[]client.Object{service(80, 443), pod(corev1.PodRunning), meshConfig("outboundTrafficPolicy: {mode: ALLOW_ANY}")}, []string{"outbound-allow-any"}},
		"ALLOW_ANY by default": {[]client.Object{service(80, 443), pod(corev1.PodRunning), meshConfig("accessLogFile: /dev/stdout")}, []string{"outbound-allow-any"}},
		"no Istio":             {[]client.Object{service(80, 443), pod(corev1.PodRunning)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &Preflight{
				Mesh: &egress.Mesh{Gateways: []egress.Gateway{gateway()}}, Live: clusterOf(t, tc.stored...),
				MeshConfig: types.NamespacedName{Namespace: "istio-system", Name: "istio"},
			}
			got, err := w.Look(t.Context())
			require.NoError(t, err)
			assert.Equal(t, tc.want, codes(got))
		})
	}
}

func TestUnreadableMeshConfigurationIsAnError(t *testing.T) {
	t.Parallel()
	_, err := readMeshSettings("{")
	require.ErrorContains(t, err, "mesh configuration")
}

// TestWhatLeavesBesideTheGatewaysIsTold: by other's Gateway objects, and by entries of namespaces that are not governed.
func TestWhatLeavesBesideTheGatewaysIsTold(t *testing.T) {
	t.Parallel()
	p := &Preflight{
		Mesh: &egress.Mesh{Gateways: []egress.Gateway{gateway()}}, Live: clusterOf(t, service(80, 443), pod(corev1.PodRunning)),
		Foreign:    func(egress.Gateway) []egress.Finding { return []egress.Finding{{Code: "foreign-gateway"}} },
		Ungoverned: func() []string { return []string{"a/a", "b/b", "c/c", "d/d"} },
		Unsealed:   func() []string { return []string{"e/e"} },
		Unclosed:   func() []string { return []string{"Sidecar f/f"} },
	}
	found, err := p.Look(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"foreign-gateway", "ungoverned-entry", "unsealed-entry", "namespace-not-closed"}, codes(found))
	assert.Contains(t, found[1].Message, "a/a, b/b, c/c and 1 more")
	assert.Contains(t, found[2].sentence(), "are not sealed, and their calls leave directly: e/e; seal them by egressctl adopt")
}

// TestEachProblemIsToldOnce: an Event when it comes, the metric for as long as it lasts.
func TestEachProblemIsToldOnce(t *testing.T) {
	t.Parallel()
	kept := hop.GatewayObject(gateway(), gateway().Transport)
	cluster := clusterOf(t, pod(corev1.PodRunning), kept)
	recorder := events.NewFakeRecorder(10)
	w := &Preflight{
		Mesh: &egress.Mesh{Gateways: []egress.Gateway{gateway()}}, Live: cluster, Recorder: recorder, Regarding: service(), Metrics: prometheus.NewRegistry(), Status: cluster,
		MeshConfig: types.NamespacedName{Namespace: "istio-system", Name: "istio"},
		gauge:      newGauge(),
	}
	w.look(t.Context())
	w.look(t.Context())
	assert.Len(t, recorder.Events, 1)
	assert.Contains(t, <-recorder.Events, `GatewayServiceMissing Service egress.ways.svc.cluster.local of egress gateway "default" does not exist`)
	assert.InDelta(t, 1, testutil.ToFloat64(w.gauge.WithLabelValues("gateway-service-missing", "default")), 0)
	assert.Equal(t, "GatewayServiceMissing", reason(t, cluster, kept))
	require.NoError(t, cluster.Create(t.Context(), service(80, 443)))
	w.look(t.Context())
	assert.Zero(t, testutil.CollectAndCount(w.gauge))
	assert.Equal(t, "NoProblem", reason(t, cluster, kept))
	require.NoError(t, cluster.Delete(t.Context(), service()))
	w.look(t.Context())
	assert.Len(t, recorder.Events, 1, "it came back")
}

// TestWhatCannotBeLookedAtIsNotGone, nor told of anew once it can be; what can be looked at is.
func TestWhatCannotBeLookedAtIsNotGone(t *testing.T) {
	t.Parallel()
	cluster := clusterOf(t, service(80, 443), meshConfig("outboundTrafficPolicy: {mode: ALLOW_ANY}"))
	recorder := events.NewFakeRecorder(10)
	away := map[string]bool{}
	live := interceptor.NewClient(cluster, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, into client.Object, options ...client.GetOption) error {
			if away[key.Name] {
				return errors.New("no answer")
			}
			return c.Get(ctx, key, into, options...)
		},
		List: func(ctx context.Context, c client.WithWatch, into client.ObjectList, options ...client.ListOption) error {
			if _, is := into.(*corev1.PodList); is && away["pods"] {
				return errors.New("no answer")
			}
			return c.List(ctx, into, options...)
		},
	})
	lost := []string{"a/a"}
	p := &Preflight{
		Mesh: &egress.Mesh{Gateways: []egress.Gateway{gateway()}}, Live: live, Status: cluster, Recorder: recorder, Regarding: service(), gauge: newGauge(),
		MeshConfig: types.NamespacedName{Namespace: "istio-system", Name: "istio"}, Unsealed: func() []string { return lost },
	}
	p.look(t.Context())
	require.Len(t, recorder.Events, 3)
	assert.Equal(t, 3, testutil.CollectAndCount(p.gauge))
	lost = nil
	for _, of := range []string{"pods", "egress", "istio"} {
		away = map[string]bool{of: true}
		p.look(t.Context())
		for code, gateway := range map[string]string{"gateway-without-pods": "default", "outbound-allow-any": ""} {
			assert.InDelta(t, 1, testutil.ToFloat64(p.gauge.WithLabelValues(code, gateway)), 0, "%s, without %s", code, of)
		}
		assert.Equal(t, 2, testutil.CollectAndCount(p.gauge), "the entry is sealed")
	}
	away = nil
	p.look(t.Context())
	assert.Len(t, recorder.Events, 3, "each once")
	require.NoError(t, cluster.Create(t.Context(), pod(corev1.PodRunning)))
	p.look(t.Context())
	assert.Equal(t, 1, testutil.CollectAndCount(p.gauge))
}

// TestAProblemIsToldWhereItIs: one gateway's is in its own status alone, the mesh's in that of all.
func TestAProblemIsToldWhereItIs(t *testing.T) {
	t.Parallel()
	other := gateway()
	other.Name, other.Service, other.Selector = "pci", "pci.ways.svc.cluster.local", map[string]string{"app": "pci"}
	healthy, broken := hop.GatewayObject(gateway(), gateway().Transport), hop.GatewayObject(other, other.Transport)
	cluster := clusterOf(t, service(80, 443), pod(corev1.PodRunning), healthy, broken)
	p := &Preflight{
		Mesh: &egress.Mesh{Gateways: []egress.Gateway{gateway(), other}}, Live: cluster, Status: cluster,
		Recorder: events.NewFakeRecorder(10), Regarding: service(),
		MeshConfig: types.NamespacedName{Namespace: "istio-system", Name: "istio"},
		gauge:      newGauge(),
	}
	p.look(t.Context())
	assert.Equal(t, "NoProblem", reason(t, cluster, healthy))
	assert.Equal(t, "GatewayServiceMissing", reason(t, cluster, broken))
	assert.Zero(t, testutil.ToFloat64(p.gauge.WithLabelValues("gateway-without-pods", "default")))
	assert.InDelta(t, 1, testutil.ToFloat64(p.gauge.WithLabelValues("gateway-without-pods", "pci")), 0)
	require.NoError(t, cluster.Create(t.Context(), meshConfig("outboundTrafficPolicy: {mode: ALLOW_ANY}")))
	p.look(t.Context())
	assert.Equal(t, "OutboundAllowAny", reason(t, cluster, healthy))
	assert.Equal(t, "GatewayServiceMissing", reason(t, cluster, broken))
}

// reason is that of the one condition of a Gateway.
func reason(t *testing.T, cluster client.Reader, gateway *networkingv1.Gateway) string {
	t.Helper()
	require.NoError(t, cluster.Get(t.Context(), client.ObjectKeyFromObject(gateway), gateway))
	require.Len(t, gateway.Status.Conditions, 1)
	return gateway.Status.Conditions[0].Reason
}

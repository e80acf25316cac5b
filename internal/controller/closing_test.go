package controller

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	networkpolicyv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// closingStage is the controller that closes namespaces over a fake cluster.
type closingStage struct {
	*stage
	closing *Closing
	known   bool
}

// slimSidecars reads as the cache of Sidecars does.
type slimSidecars struct{ client.Reader }

func (r slimSidecars) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	err := r.Reader.List(ctx, list, options...)
	items := list.(*unstructured.UnstructuredList).Items
	for i := range items {
		if items[i].GetKind() == "Sidecar" {
			slimmed, err := slimSidecar(items[i].DeepCopy())
			if err != nil {
				return err
			}
			items[i] = *slimmed.(*unstructured.Unstructured)
		}
	}
	return err
}

// newClosingStage has the namespaces app and cards governed under a mesh configuration.
func newClosingStage(t *testing.T, mesh *egress.Mesh, fence *hop.Fence, settings string) *closingStage {
	t.Helper()
	out := &closingStage{stage: &stage{t: t, registry: registry.New(mesh)}, known: true}
	mesh.IstioNamespace = "istio-system"
	// Without Istio's types: they leave out a mode of REGISTRY_ONLY, which the API server does not.
	scheme := runtime.NewScheme()
	require.NoError(t, errors.Join(corev1.AddToScheme(scheme), networkpolicyv1.AddToScheme(scheme)))
	builder := fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(out.counting())
	if settings != "" {
		builder.WithObjects(meshConfig(settings))
	}
	out.cluster = builder.Build()
	for _, namespace := range []string{"app", "cards"} {
		out.registry.PutNamespace(namespace, nil)
	}
	out.closing = &Closing{
		mesh: mesh, namespaces: out.registry, fence: fence, open: map[string][]string{}, unclosed: map[string]bool{}, synced: func() bool { return out.known },
		meshConfig: types.NamespacedName{Namespace: "istio-system", Name: "istio"}, sidecars: slimSidecars{out.cluster},
		objects: owned{stored: marked{slimReader{slimSidecars{out.cluster}}}, live: out.cluster, writer: out.cluster},
	}
	require.NoError(t, out.closing.follow(t.Context(), queueOf[string](t)))
	return out
}

// settle works until nothing is left to do, and returns what was written.
func (s *closingStage) settle() (writes []string) {
	s.t.Helper()
	s.writes = nil
	s.closing.queue.Add(everywhere)
	for s.closing.queue.Len() > 0 {
		namespace, _ := s.closing.queue.Get()
		_, err := s.closing.Reconcile(s.t.Context(), namespace)
		require.NoError(s.t, err)
		s.closing.queue.Done(namespace)
	}
	return s.writes
}

func (s *closingStage) sidecar(namespace, name, spec string) *unstructured.Unstructured {
	s.t.Helper()
	out := empty(sidecarKind)
	var content map[string]any
	require.NoError(s.t, yaml.Unmarshal([]byte(spec), &content))
	out.Object["spec"] = content
	out.SetNamespace(namespace)
	out.SetName(name)
	require.NoError(s.t, s.cluster.Create(s.t.Context(), out))
	return out
}

func (s *closingStage) delete(of client.Object) {
	s.t.Helper()
	require.NoError(s.t, s.cluster.Delete(s.t.Context(), of))
}

func (s *closingStage) mode(of client.Object) string {
	s.t.Helper()
	stored := empty(sidecarKind)
	err := s.cluster.Get(s.t.Context(), client.ObjectKeyFromObject(of), stored)
	if apierrors.IsNotFound(err) {
		return "none"
	}
	require.NoError(s.t, err)
	return hop.SidecarMode(stored)
}

func blocked() *egress.Mesh {
	out := egresstest.Mesh()
	out.Block = true
	return out
}

// TestGovernedNamespacesAreClosed where the mesh leaves them open, and by whatever is known to: whoever takes our Sidecar
// away finds it again.
func TestGovernedNamespacesAreClosed(t *testing.T) {
	t.Parallel()
	both := []string{"create Sidecar app", "create Sidecar cards"}
	for name, tc := range map[string]struct {
		settings string
		want     []string
	}{
		"ALLOW_ANY":     {"outboundTrafficPolicy: {mode: ALLOW_ANY}", both},
		"by default":    {"accessLogFile: /dev/stdout", both},
		"not there":     {"", both},
		"REGISTRY_ONLY": {"outboundTrafficPolicy: {mode: REGISTRY_ONLY}", nil},
		"Istio's root":  {"rootNamespace: cards", both[:1]},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newClosingStage(t, blocked(), nil, tc.settings)
			s.registry.PutNamespace("istio-system", nil)
			assert.ElementsMatch(t, tc.want, s.settle())
			assert.Empty(t, s.settle(), "once")
			if tc.want == nil {
				return
			}
			s.delete(hop.Sidecar("app", nil))
			assert.Equal(t, []string{"create Sidecar app"}, s.settle())
			s.registry.DeleteNamespace("app")
			assert.Equal(t, []string{"delete Sidecar app"}, s.settle(), "no longer governed")
		})
	}
}

// TestNothingIsDoneOnHalfKnowledge: a namespace that is not known yet is not one that is not governed.
func TestNothingIsDoneOnHalfKnowledge(t *testing.T) {
	t.Parallel()
	s := newClosingStage(t, blocked(), nil, "")
	require.NoError(t, s.cluster.Create(t.Context(), hop.Sidecar("late", nil)))
	s.known = false
	s.closing.queue.Add("late")
	assert.Empty(t, s.settle())
	s.known = true
	s.registry.PutNamespace("late", nil)
	assert.ElementsMatch(t, []string{"create Sidecar app", "create Sidecar cards"}, s.settle())
}

// TestATenantsSidecarIsCompleted, and ours goes while theirs is for the whole namespace.
func TestATenantsSidecarIsCompleted(t *testing.T) {
	t.Parallel()
	s := newClosingStage(t, blocked(), nil, "")
	some := s.sidecar("app", "some", `{workloadSelector: {labels: {app: a}}}`)
	assert.ElementsMatch(t, []string{"update Sidecar app", "create Sidecar app", "create Sidecar cards"}, s.settle())
	assert.Equal(t, "REGISTRY_ONLY", s.mode(some))
	wide := s.sidecar("app", "wide", `{egress: [{hosts: ["./*"]}]}`)
	assert.Equal(t, []string{"update Sidecar app", "delete Sidecar app"}, s.settle())
	assert.Equal(t, "REGISTRY_ONLY", s.mode(wide))
	assert.Empty(t, s.settle())
	assert.Empty(t, s.closing.Open())
	s.delete(wide)
	assert.Equal(t, []string{"create Sidecar app"}, s.settle())
}

// TestOursSaysWhatEverybodysSays of everything else: that of Istio's root namespace holds no more where ours stands.
func TestOursSaysWhatEverybodysSays(t *testing.T) {
	t.Parallel()
	s := newClosingStage(t, blocked(), nil, "rootNamespace: root")
	root := s.sidecar("root", "default", `{egress: [{hosts: ["./*"]}], outboundTrafficPolicy: {mode: ALLOW_ANY}}`)
	s.sidecar("root", "some", `{workloadSelector: {labels: {app: a}}, egress: [{hosts: ["~/*"]}]}`)
	require.Len(t, s.settle(), 2)
	stored := empty(sidecarKind)
	spec := func() any {
		require.NoError(t, s.cluster.Get(t.Context(), client.ObjectKeyFromObject(hop.Sidecar("app", nil)), stored))
		return stored.Object["spec"]
	}
	assert.Equal(t, map[string]any{"egress": []any{map[string]any{"hosts": []any{"./*"}}}, "outboundTrafficPolicy": map[string]any{"mode": "REGISTRY_ONLY"}}, spec())
	s.delete(root)
	require.Len(t, s.settle(), 2)
	assert.Equal(t, hop.Sidecar("app", nil).Object["spec"], spec())
}

// TestAnOpenSidecarIsTold, and left as its author wrote it.
func TestAnOpenSidecarIsTold(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]string{"the mesh is open": "", "the mesh is closed": "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newClosingStage(t, blocked(), nil, settings)
			open := s.sidecar("app", "open", `{outboundTrafficPolicy: {mode: ALLOW_ANY}}`)
			s.sidecar("elsewhere", "open", `{outboundTrafficPolicy: {mode: ALLOW_ANY}}`)
			s.settle()
			assert.Equal(t, []string{"app/open"}, s.closing.Open())
			assert.Equal(t, "ALLOW_ANY", s.mode(open))
			assert.Equal(t, []string{"sidecar-allow-any"}, []string{opened(s.closing.Open())[0].Code})
			s.delete(open)
			s.settle()
			assert.Empty(t, opened(s.closing.Open()))
		})
	}
}

// refusesNew is a cluster that takes nothing new of ours.
type refusesNew struct {
	client.Client
	with error
}

func (r refusesNew) Create(context.Context, client.Object, ...client.CreateOption) error {
	return r.with
}

// TestANamespaceThatCannotBeClosedIsTold, with what could not be written, until it can be, or is to be closed no more; one that goes is
// none.
func TestANamespaceThatCannotBeClosedIsTold(t *testing.T) {
	t.Parallel()
	s := newClosingStage(t, blocked(), &hop.Fence{}, "")
	_, err := s.closing.Reconcile(t.Context(), everywhere)
	require.NoError(t, err)
	tried := func(namespace string) {
		_, _ = s.closing.Reconcile(t.Context(), namespace)
	}
	quota := apierrors.NewForbidden(schema.GroupResource{Resource: "sidecars"}, hop.ClosingName, errors.New("exceeded quota"))
	s.closing.objects.writer = refusesNew{s.cluster, quota}
	tried("app")
	tried("cards")
	assert.Equal(t, []string{"NetworkPolicy app/egress-governor", "NetworkPolicy cards/egress-governor", "Sidecar app/egress-governor", "Sidecar cards/egress-governor"}, s.closing.Unclosed())
	assert.Equal(t, "namespace-not-closed", unclosed(s.closing.Unclosed())[0].Code)

	s.registry.DeleteNamespace("cards")
	tried("cards")
	going := apierrors.NewForbidden(schema.GroupResource{Resource: "sidecars"}, hop.ClosingName, errors.New("it is going"))
	going.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	s.registry.PutNamespace("going", nil)
	s.closing.objects.writer = refusesNew{s.cluster, going}
	tried("going")
	assert.Equal(t, []string{"NetworkPolicy app/egress-governor", "Sidecar app/egress-governor"}, s.closing.Unclosed())

	s.closing.objects.writer = s.cluster
	tried("app")
	assert.Empty(t, unclosed(s.closing.Unclosed()))
}

// TestOursGoesOnceATenantsHasStood: one that comes and goes takes ours away at no moment.
func TestOursGoesOnceATenantsHasStood(t *testing.T) {
	t.Parallel()
	s := newClosingStage(t, blocked(), nil, "")
	require.Len(t, s.settle(), 2)
	came := func(ago time.Duration) *unstructured.Unstructured {
		out := empty(sidecarKind)
		out.Object["spec"] = map[string]any{"outboundTrafficPolicy": map[string]any{"mode": "REGISTRY_ONLY"}}
		out.SetNamespace("app")
		out.SetName("theirs")
		out.SetCreationTimestamp(metav1.NewTime(time.Now().Add(-ago)))
		require.NoError(t, s.cluster.Create(t.Context(), out))
		return out
	}
	for range 3 {
		theirs := came(time.Second)
		assert.Empty(t, s.settle())
		s.delete(theirs)
		assert.Empty(t, s.settle())
	}
	theirs := came(2 * settled)
	assert.Equal(t, []string{"delete Sidecar app"}, s.settle())
	s.delete(theirs)
	assert.Equal(t, []string{"create Sidecar app"}, s.settle())
}

// TestASidecarOfOurNameIsItsTenants.
func TestASidecarOfOurNameIsItsTenants(t *testing.T) {
	t.Parallel()
	s := newClosingStage(t, blocked(), nil, "")
	theirs := s.sidecar("app", hop.ClosingName, `{egress: [{hosts: ["./*"]}]}`)
	assert.ElementsMatch(t, []string{"update Sidecar app", "create Sidecar cards"}, s.settle())
	s.registry.DeleteNamespace("app")
	assert.Empty(t, s.settle())
	assert.Equal(t, "REGISTRY_ONLY", s.mode(theirs))
}

// TestANetworkPolicyIsKept in every governed namespace, whatever the mesh says.
func TestANetworkPolicyIsKept(t *testing.T) {
	t.Parallel()
	fence := &hop.Fence{DNSPorts: []int32{53}, Mesh: []hop.Peer{{IPBlock: &networkpolicyv1.IPBlock{CIDR: "10.0.0.0/8"}}}}
	s := newClosingStage(t, egresstest.Mesh(), fence, "outboundTrafficPolicy: {mode: REGISTRY_ONLY}")
	s.registry.PutNamespace("istio-system", nil)
	assert.ElementsMatch(t, []string{"create NetworkPolicy app", "create NetworkPolicy cards"}, s.settle())
	assert.Empty(t, s.settle())
	stored := &networkpolicyv1.NetworkPolicy{}
	require.NoError(t, s.cluster.Get(t.Context(), types.NamespacedName{Namespace: "app", Name: hop.ClosingName}, stored))
	stored.Spec.Egress = nil
	stored.Spec.PolicyTypes = nil
	require.NoError(t, s.cluster.Update(t.Context(), stored))
	assert.Equal(t, []string{"update NetworkPolicy app"}, s.settle(), "it is repaired")
	s.registry.DeleteNamespace("cards")
	assert.Equal(t, []string{"delete NetworkPolicy cards"}, s.settle())
}

// TestWhatIsNoLongerKeptGoes, and nobody else's of that name.
func TestWhatIsNoLongerKeptGoes(t *testing.T) {
	t.Parallel()
	s := newClosingStage(t, blocked(), &hop.Fence{}, "")
	theirs := &networkpolicyv1.NetworkPolicy{}
	theirs.Namespace, theirs.Name = "elsewhere", hop.ClosingName
	require.NoError(t, s.cluster.Create(t.Context(), theirs))
	require.Len(t, s.settle(), 4)
	s.writes = nil
	gone := &leftovers{live: named{s.cluster}, writer: s.cluster, kinds: []schema.GroupVersionKind{sidecarKind, networkPolicyKind}}
	require.NoError(t, gone.Start(t.Context()))
	assert.ElementsMatch(t, []string{"delete Sidecar app", "delete Sidecar cards", "delete NetworkPolicy app", "delete NetworkPolicy cards"}, s.writes)
	require.NoError(t, s.cluster.Get(t.Context(), client.ObjectKeyFromObject(theirs), theirs))
}

// named lists by name, which the fake client does not without an index.
type named struct{ client.Reader }

func (n named) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	var rest []client.ListOption
	for _, option := range options {
		if _, is := option.(client.MatchingFields); !is {
			rest = append(rest, option)
		}
	}
	return n.Reader.List(ctx, list, rest...)
}

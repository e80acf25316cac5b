package audit

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/policy"
	"github.com/egress-governor/egress-governor/internal/registry"
	"github.com/egress-governor/egress-governor/internal/review"
	"github.com/egress-governor/egress-governor/policies"
)

// stage is an auditor with the real decision over a fake cluster.
type stage struct {
	*Auditor
	t        *testing.T
	cluster  client.WithWatch
	registry *registry.Registry
	engine   *policy.Engine
	recorder *events.FakeRecorder
	live     *pages
	now      time.Time
	// waits counts the turns that were waited for, writes the reports; kept are those that are stored, by their resourceVersions.
	waits  int
	writes []string
	kept   map[objectKey]string
}

func newStage(t *testing.T) *stage {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{networkingv1.AddToScheme, corev1.AddToScheme, v1alpha1.AddToScheme} {
		require.NoError(t, add(scheme))
	}
	mesh := egresstest.Mesh()
	var err error
	mesh.Governed, err = labels.Parse("!exempt")
	require.NoError(t, err)
	out := &stage{t: t, registry: registry.New(mesh), recorder: events.NewFakeRecorder(1000), now: time.Unix(1000, 0), kept: map[objectKey]string{}}
	out.engine, err = policy.NewEngine(policies.Library())
	require.NoError(t, err)
	out.cluster = fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.EgressPolicy{}).
		WithInterceptorFuncs(interceptor.Funcs{Apply: out.apply, Delete: out.remove}).Build()
	out.live = &pages{Reader: out.cluster, pages: map[string]int{}}
	out.Auditor = New(Options{
		Mesh: mesh, Reviewer: &review.Reviewer{Mesh: mesh, View: out.registry, Policies: out.engine}, Entries: out.registry, Policies: out.engine,
		Selects: func(of v1alpha1.Match) bool { return policy.Selects(of, out.registry.Governed()) }, Live: out.live, Cached: out.cluster, Status: out.cluster, Kinds: meta.NewDefaultRESTMapper(nil), Recorder: out.recorder,
		Metrics: prometheus.NewRegistry(), Ready: func() bool { return true }, Interval: time.Hour, PerSecond: 100, MaxShare: 0.2,
		Now: func() time.Time { return out.now },
	})
	out.limiter = turns{out}
	out.patience = wait.Backoff{Duration: time.Millisecond, Factor: 1, Steps: 3}
	out.namespace("app", nil)
	return out
}

// turns is a limiter that lets everybody through and counts.
type turns struct{ *stage }

func (turns) TryAccept() bool              { return true }
func (turns) Accept()                      {}
func (turns) Stop()                        {}
func (turns) QPS() float32                 { return 0 }
func (l turns) Wait(context.Context) error { l.waits++; return nil }

func (s *stage) apply(_ context.Context, _ client.WithWatch, object runtime.ApplyConfiguration, _ ...client.ApplyOption) error {
	raw, err := yaml.Marshal(object)
	require.NoError(s.t, err)
	s.writes = append(s.writes, string(raw))
	of := object.(interface {
		metav1.Object
		GetKind() string
	})
	of.SetResourceVersion(strconv.Itoa(len(s.writes)))
	s.kept[objectKey{of.GetKind(), of.GetNamespace(), of.GetName()}] = of.GetResourceVersion()
	return nil
}

func (s *stage) remove(ctx context.Context, c client.WithWatch, object client.Object, options ...client.DeleteOption) error {
	if kind := object.GetObjectKind().GroupVersionKind().Kind; kind != serviceEntry && kind != "" {
		delete(s.kept, objectKey{kind, object.GetNamespace(), object.GetName()})
		s.writes = append(s.writes, fmt.Sprintf("delete %s %s/%s", kind, object.GetNamespace(), object.GetName()))
		return nil
	}
	return c.Delete(ctx, object, options...)
}

func (s *stage) namespace(name string, set map[string]string) {
	s.t.Helper()
	require.NoError(s.t, s.cluster.Create(s.t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: set}}))
	s.registry.PutNamespace(name, set)
}

// store puts a sealed entry of a host into the cluster and the registry.
func (s *stage) store(namespace, name, host string) *unstructured.Unstructured {
	s.t.Helper()
	return s.put(namespace, name, `{hosts: [`+host+`], resolution: DNS, endpoints: [{address: `+egresstest.GatewayService+`, ports: {tls: 443}}], ports: [{number: 443, name: tls, protocol: TLS}]}`)
}

func (s *stage) put(namespace, name, spec string) *unstructured.Unstructured {
	s.t.Helper()
	out := &unstructured.Unstructured{Object: map[string]any{}}
	var fields map[string]any
	require.NoError(s.t, yaml.Unmarshal([]byte(spec), &fields))
	out.Object["spec"] = fields
	out.SetGroupVersionKind(gvk(serviceEntry))
	out.SetNamespace(namespace)
	out.SetName(name)
	out.SetUID(types.UID(namespace + "/" + name))
	require.NoError(s.t, s.cluster.Create(s.t.Context(), out))
	s.registry.PutEntry(s.registry.Read(out))
	return out
}

func (s *stage) delete(object *unstructured.Unstructured) {
	s.t.Helper()
	require.NoError(s.t, s.cluster.Delete(s.t.Context(), object))
	s.registry.DeleteEntry(object.GetNamespace(), object.GetName())
}

// hosts has a policy in force that allows hosts.
func (s *stage) hosts(name string, generation int64, existing v1alpha1.Existing, hosts string) *v1alpha1.EgressPolicy {
	s.t.Helper()
	out := &v1alpha1.EgressPolicy{ObjectMeta: metav1.ObjectMeta{Name: name, Generation: generation}}
	require.NoError(s.t, yaml.Unmarshal([]byte("{policy: allowed-hosts, enforcement: Deny, parameters: {hosts: ["+hosts+"]}}"), &out.Spec))
	out.Spec.Existing = existing
	require.NoError(s.t, s.engine.Set(out))
	if generation == 1 {
		require.NoError(s.t, s.cluster.Create(s.t.Context(), out))
	}
	return out
}

func (s *stage) audited() {
	s.t.Helper()
	require.NoError(s.t, s.pass(s.t.Context(), kinds))
}

func (s *stage) policy(name string) *v1alpha1.EgressPolicy {
	s.t.Helper()
	out := &v1alpha1.EgressPolicy{}
	require.NoError(s.t, s.cluster.Get(s.t.Context(), types.NamespacedName{Name: name}, out))
	return out
}

// told takes the Events that were written.
func (s *stage) told() (out []string) {
	for len(s.recorder.Events) > 0 {
		out = append(out, <-s.recorder.Events)
	}
	return out
}

// pages lists as the API server does, by pages; the fake client knows none.
type pages struct {
	client.Reader
	// pages counts the lists of each kind, expire is the list whose token has expired, forgotten that nobody says where to go
	// on. Broken is what lists and single objects answer, unread what these do alone, fails what lists of a kind do.
	pages     map[string]int
	expire    int
	forgotten bool
	broken    error
	unread    error
	fails     func(kind string, list int) error
}

func (p *pages) List(ctx context.Context, into client.ObjectList, options ...client.ListOption) error {
	list := into.(*unstructured.UnstructuredList)
	kind := list.GetKind()
	p.pages[kind]++
	if p.broken != nil {
		return p.broken
	}
	if p.fails != nil {
		if err := p.fails(kind, p.pages[kind]); err != nil {
			return err
		}
	}
	of := (&client.ListOptions{}).ApplyOptions(options)
	if p.pages[kind] == p.expire && kind == "ServiceEntryList" {
		err := apierrors.NewResourceExpired("too old")
		if !p.forgotten {
			err.ErrStatus.Continue = "again-" + of.Continue
		}
		return err
	}
	if err := p.Reader.List(ctx, list); err != nil {
		return err
	}
	from, _ := strconv.Atoi(lastNumber(of.Continue))
	to := min(len(list.Items), from+int(of.Limit))
	if to < len(list.Items) {
		list.SetContinue(strconv.Itoa(to))
	}
	list.Items = list.Items[from:to]
	return nil
}

func lastNumber(token string) string {
	for i := len(token) - 1; i >= 0; i-- {
		if token[i] == '-' {
			return token[i+1:]
		}
	}
	return token
}

func (s *stage) entry(name string) *unstructured.Unstructured {
	s.t.Helper()
	out := &unstructured.Unstructured{}
	out.SetGroupVersionKind(gvk(serviceEntry))
	require.NoError(s.t, s.cluster.Get(s.t.Context(), types.NamespacedName{Namespace: "app", Name: name}, out))
	return out
}

func (p *pages) Get(ctx context.Context, name client.ObjectKey, into client.Object, options ...client.GetOption) error {
	if err := cmp.Or(p.broken, p.unread); err != nil {
		return err
	}
	return p.Reader.Get(ctx, name, into, options...)
}

// mend has an entry name a host that is allowed.
func (s *stage) mend(name string) {
	s.t.Helper()
	entry := s.entry(name)
	require.NoError(s.t, unstructured.SetNestedStringSlice(entry.Object, []string{"ok.test"}, "spec", "hosts"))
	require.NoError(s.t, s.cluster.Update(s.t.Context(), entry))
	s.registry.PutEntry(s.registry.Read(entry))
}

package audit

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/render"
	"github.com/egress-governor/egress-governor/internal/review"
)

// observing is a stage in which namespaces with the label observed are observed, and app is governed.
func observing(t *testing.T) *stage {
	t.Helper()
	s := newStage(t)
	var err error
	s.Mesh.Governed, err = labels.Parse("!observed")
	require.NoError(t, err)
	s.Mesh.Observed = labels.Everything()
	s.Stand = func(at time.Time) (Stand, error) { return render.New(s.Mesh.Rehearsal(), s.engine, at) }
	s.namespace("shop", map[string]string{"observed": "true"})
	return s
}

// adopted does something before each object of an observed namespace is judged.
type adopted struct {
	Stand
	before func(name string)
}

func (a adopted) Adopt(ctx context.Context, object *unstructured.Unstructured) (*review.Outcome, error) {
	a.before(object.GetName())
	return a.Stand.Adopt(ctx, object)
}

// adopting has something done before each object of an observed namespace is judged.
func (s *stage) adopting(before func(name string)) {
	stand := s.Stand
	s.Stand = func(at time.Time) (Stand, error) {
		of, err := stand(at)
		return adopted{of, before}, err
	}
}

// route stores a VirtualService that leads a host to another.
func (s *stage) route(namespace, name, host, to string) {
	s.t.Helper()
	out := &unstructured.Unstructured{}
	require.NoError(s.t, yaml.Unmarshal([]byte(`{metadata: {namespace: `+namespace+`, name: `+name+`, uid: `+name+`}, spec: {hosts: [`+host+`], http: [{route: [{destination: {host: `+to+`}}]}]}}`), &out.Object))
	out.SetGroupVersionKind(gvk("VirtualService"))
	require.NoError(s.t, s.cluster.Create(s.t.Context(), out))
}

const plainEntry = `{hosts: [HOST], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}`

// TestObservedObjectsAreToldOf as they would be answered, and nothing is done to them.
func TestObservedObjectsAreToldOf(t *testing.T) {
	t.Parallel()
	s := observing(t)
	s.hosts("p", 1, v1alpha1.Suspend, "ok.test")
	good := s.put("shop", "good", strings.ReplaceAll(plainEntry, "HOST", "ok.test"))
	s.put("shop", "evil", strings.ReplaceAll(plainEntry, "HOST", "evil.test"))
	s.route("shop", "good", "ok.test", "ok.test")
	s.route("shop", "lost", "ok2.test", "evil.test")
	s.audited()

	sealed := s.found[objectKey{serviceEntry, "shop", "good"}]
	assert.Empty(t, sealed.findings)
	assert.Contains(t, strings.Join(sealed.changes, "\n"), `calls to this entry's hosts now leave through egress gateway "default"`)
	assert.NotEmpty(t, s.found[objectKey{"VirtualService", "shop", "good"}].changes, "its entry is sealed in the rehearsal")
	denied := s.found[objectKey{serviceEntry, "shop", "evil"}]
	require.NotEmpty(t, denied.findings)
	assert.Equal(t, "host-not-allowed", denied.findings[0].Code)

	assert.Contains(t, strings.Join(s.told(), "\n"), `Warning HostNotAllowed if its namespace were governed: p: spec.hosts[0]: host "evil.test" is not allowed`)
	assert.InDelta(t, 2, testutil.ToFloat64(s.metrics.observed.WithLabelValues("allowed")), 0)
	assert.Positive(t, *s.policy("p").Status.Violations)
	assert.Empty(t, s.registry.Suspensions(), "nobody suspends what is not governed")
	assert.Empty(t, s.Unsealed(), "it is not to be sealed")

	namespaced, _ := s.results()
	rules := map[any]any{}
	for _, result := range namespaced["shop"] {
		rules[result.(map[string]any)["rule"]] = result.(map[string]any)["result"]
		assert.Equal(t, false, result.(map[string]any)["scored"])
		assert.Equal(t, "Observe", result.(map[string]any)["properties"].(map[string]any)["mode"])
	}
	assert.Equal(t, "fail", rules["host-not-allowed"])
	assert.Equal(t, "pass", rules["would-change"])

	s.delete(good)
	s.audited()
	assert.NotContains(t, s.found, objectKey{serviceEntry, "shop", "good"})
}

// TestWhatIsObservedKnowsTheRest: entries of governed namespaces are there as they are stored.
func TestWhatIsObservedKnowsTheRest(t *testing.T) {
	t.Parallel()
	s := observing(t)
	s.store("app", "a", "a.test")
	s.route("shop", "to-a", "x.test", "a.test")
	s.audited()
	found := s.found[objectKey{"VirtualService", "shop", "to-a"}]
	require.NotEmpty(t, found.findings)
	assert.Equal(t, "other-host", found.findings[0].Code, "it leads to a host that app has")
}

// TestWhatIsObservedKnowsEveryService, of however many pages.
func TestWhatIsObservedKnowsEveryService(t *testing.T) {
	t.Parallel()
	s := observing(t)
	const services = 2*servicesAtOnce + 1
	for i := range services {
		service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "app", Name: fmt.Sprintf("s%02d", i)}}
		require.NoError(t, s.cluster.Create(t.Context(), service))
	}
	known := map[string]bool{}
	stand := s.Stand
	s.Stand = func(at time.Time) (Stand, error) {
		of, err := stand(at)
		return storing{of, func(object *unstructured.Unstructured) {
			if object.GetKind() == "Service" {
				known[object.GetName()] = true
			}
		}}, err
	}
	s.audited()
	assert.Len(t, known, services)
	assert.Equal(t, 3, s.live.pages["ServiceList"])
}

// storing does something with each object that a rehearsal takes for stored.
type storing struct {
	Stand
	with func(object *unstructured.Unstructured)
}

func (s storing) Store(object *unstructured.Unstructured) error {
	s.with(object)
	return s.Stand.Store(object)
}

// TestWhatIsObservedIsLookedAtByTheMinute, once something was written, and not all the time.
func TestWhatIsObservedIsLookedAtByTheMinute(t *testing.T) {
	t.Parallel()
	s := observing(t)
	s.audited()
	assert.False(t, s.outdated(t.Context()))
	s.Touched(serviceEntry, "shop", "new")
	assert.True(t, s.outdated(t.Context()))
	s.took = 10 * time.Second
	assert.False(t, s.outdated(t.Context()), "that took long")
	s.now = s.now.Add(90 * time.Second)
	assert.True(t, s.outdated(t.Context()))
	s.Mesh.Observed = nil
	assert.False(t, s.outdated(t.Context()), "nobody is observed")

	s.put("shop", "evil", strings.ReplaceAll(plainEntry, "HOST", "evil.test"))
	s.hosts("p", 1, v1alpha1.Report, "ok.test")
	s.Mesh.Observed = labels.Everything()
	s.audited()
	s.Touched(serviceEntry, "shop", "evil")
	_, touched := s.take()
	assert.Empty(t, touched, "one object alone says nothing of what is observed")
	assert.NotEmpty(t, s.found)
	s.Mesh.Observed = nil
	s.audited()
	assert.Empty(t, s.found)
}

// TestWhatIsObservedIsJudgedForThoseWhoSeeIt: an entry that a tenant sealed by hand, and lets governed namespaces call by, is told of.
func TestWhatIsObservedIsJudgedForThoseWhoSeeIt(t *testing.T) {
	t.Parallel()
	s := observing(t)
	s.namespace("strict", map[string]string{"team": "strict"})
	p := s.hosts("p", 1, v1alpha1.Report, "ok.test")
	p.Spec.Match.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "strict"}}
	require.NoError(t, s.engine.Set(p))
	const sealed = `{hosts: [evil.test], exportTo: [EXPORT], resolution: DNS, endpoints: [{address: ` + egresstest.GatewayService + `, ports: {tls: 443}}], ports: [{number: 443, name: tls, protocol: TLS}]}`
	s.put("shop", "own", strings.ReplaceAll(sealed, "EXPORT", "."))
	s.put("shop", "named", strings.ReplaceAll(sealed, "EXPORT", "., strict"))
	s.put("shop", "all", strings.ReplaceAll(sealed, "EXPORT", "'*'"))
	s.audited()
	findings := func(name string) []review.Finding { return s.found[objectKey{serviceEntry, "shop", name}].findings }
	assert.Empty(t, findings("own"))
	for _, name := range []string{"named", "all"} {
		require.NotEmpty(t, findings(name), name)
		assert.Equal(t, "host-not-allowed", findings(name)[0].Code)
	}
	assert.Contains(t, strings.Join(s.told(), "\n"), "if its namespace were governed: ")
}

// TestWhatIsReadTwiceIsRehearsedOnce, as it was read last: it changed while a list that expired was read anew.
func TestWhatIsReadTwiceIsRehearsedOnce(t *testing.T) {
	t.Parallel()
	s := observing(t)
	s.hosts("p", 1, v1alpha1.Report, "ok.test")
	for i := range 250 {
		s.put("shop", fmt.Sprintf("e%03d", i), strings.ReplaceAll(plainEntry, "HOST", fmt.Sprintf("h%d.test", i)))
	}
	s.live.expire, s.live.forgotten = 3, true
	s.live.fails = func(kind string, list int) error {
		if kind == "ServiceEntryList" && list == 3 {
			entry := &unstructured.Unstructured{}
			entry.SetGroupVersionKind(gvk(serviceEntry))
			require.NoError(t, s.cluster.Get(t.Context(), types.NamespacedName{Namespace: "shop", Name: "e008"}, entry))
			require.NoError(t, unstructured.SetNestedStringSlice(entry.Object, []string{"ok.test"}, "spec", "hosts"))
			require.NoError(t, s.cluster.Update(t.Context(), entry))
		}
		return nil
	}
	s.audited()
	assert.InDelta(t, 1, testutil.ToFloat64(s.metrics.observed.WithLabelValues("allowed")), 0)
	assert.InDelta(t, 249, testutil.ToFloat64(s.metrics.observed.WithLabelValues("denied")), 0)
}

package controller

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
)

// served is what a cluster serves: resources by group and version, or an error for all.
type served struct {
	resources map[string][]metav1.APIResource
	err       error
	asked     int
}

func (s *served) ServerResourcesForGroupVersion(at string) (*metav1.APIResourceList, error) {
	s.asked++
	resources, known := s.resources[at]
	switch {
	case s.err != nil:
		return nil, s.err
	case !known:
		return nil, apierrors.NewNotFound(schema.GroupResource{}, at)
	}
	return &metav1.APIResourceList{APIResources: resources}, nil
}

func meshServes() *served {
	return &served{resources: map[string][]metav1.APIResource{
		"mesh.test/v1":      {{Name: "sidecars", Kind: "Sidecar", Namespaced: true}, {Name: "sidecars/status", Kind: "Sidecar", Namespaced: true}},
		"mesh.test/v1beta1": {{Name: "sidecars", Kind: "Sidecar", Namespaced: true}, {Name: "envoyfilters", Kind: "EnvoyFilter", Namespaced: true}, {Name: "wide", Kind: "WasmPlugin"}},
	}}
}

// rulesFor are rules of a webhook in a cluster that serves these, for policies that ask for these kinds; written counts writes.
func rulesFor(t *testing.T, serves *served, kinds *[]v1alpha1.Kind, written *int) *WebhookRules {
	t.Helper()
	scheme := runtime.NewScheme()
	require.NoError(t, admissionv1.AddToScheme(scheme))
	configuration := &admissionv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "governor"},
		Webhooks:   []admissionv1.ValidatingWebhook{{Name: "validate.egress-governor.io"}, {Name: policiesWebhook}},
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(configuration).WithInterceptorFuncs(interceptor.Funcs{
		Apply: func(ctx context.Context, c client.WithWatch, object runtime.ApplyConfiguration, options ...client.ApplyOption) error {
			*written++
			return c.Apply(ctx, object, options...)
		},
	}).Build()
	return NewWebhookRules(WebhookRules{
		Kinds: func() []v1alpha1.Kind { return *kinds }, Loaded: func() bool { return true }, Served: serves, Live: c, Writer: c, Configuration: "governor",
		Resource: func(kind v1alpha1.Kind) (string, []string, bool) {
			return "mesh.test", []string{"v1", "v1beta1", "v1alpha3"}, kind != "ServiceEntry"
		},
	})
}

func written(t *testing.T, w *WebhookRules) []string {
	t.Helper()
	stored := &admissionv1.ValidatingWebhookConfiguration{}
	require.NoError(t, w.Live.Get(t.Context(), client.ObjectKey{Name: "governor"}, stored))
	out := []string{}
	for _, rule := range stored.Webhooks[1].Rules {
		out = append(out, strings.Join(rule.APIVersions, ",")+" "+strings.Join(rule.Resources, ","))
	}
	assert.Empty(t, stored.Webhooks[0].Rules, "the other webhook is not ours to change")
	return out
}

// TestRulesAreNoWiderThanWhatIsAskedForAndServed, and written only when they differ.
func TestRulesAreNoWiderThanWhatIsAskedForAndServed(t *testing.T) {
	t.Parallel()
	kinds, writes := []v1alpha1.Kind{"EnvoyFilter", "HTTPRoute", "ServiceEntry", "Sidecar", "WasmPlugin"}, 0
	w := rulesFor(t, meshServes(), &kinds, &writes)
	for range 3 {
		require.NoError(t, w.keep(t.Context()))
	}
	assert.Equal(t, []string{"v1,v1beta1 sidecars", "v1beta1 envoyfilters"}, written(t, w))
	assert.Equal(t, 1, writes)
	kinds = []v1alpha1.Kind{"EnvoyFilter"}
	require.NoError(t, w.keep(t.Context()))
	assert.Equal(t, []string{"v1beta1 envoyfilters"}, written(t, w))
	kinds = nil
	require.NoError(t, w.keep(t.Context()))
	assert.Empty(t, written(t, w))
}

// TestWhatTheClusterServesIsAskedForNowAndThen, and what cannot be learnt changes nothing.
func TestWhatTheClusterServesIsAskedForNowAndThen(t *testing.T) {
	t.Parallel()
	kinds, writes := []v1alpha1.Kind{"HTTPRoute", "Sidecar"}, 0
	serves := meshServes()
	w := rulesFor(t, serves, &kinds, &writes)
	require.NoError(t, w.keep(t.Context()))
	asked := serves.asked
	require.NoError(t, w.keep(t.Context()))
	assert.Equal(t, asked, serves.asked)
	serves.resources["mesh.test/v1"] = append(serves.resources["mesh.test/v1"], metav1.APIResource{Name: "httproutes", Kind: "HTTPRoute", Namespaced: true})
	w.asOf = time.Now().Add(-servedFor)
	require.NoError(t, w.keep(t.Context()))
	assert.Equal(t, []string{"v1 httproutes", "v1,v1beta1 sidecars"}, written(t, w))
	serves.err = errors.New("timeout")
	w.asOf = time.Now().Add(-servedFor)
	require.ErrorContains(t, w.keep(t.Context()), "timeout")
	assert.Len(t, written(t, w), 2, "what is sent is sent on")
	w.Loaded = func() bool { return false }
	kinds = nil
	require.NoError(t, w.keep(t.Context()))
	assert.Len(t, written(t, w), 2, "before the policies are known nothing is taken away")
}

func TestAChartWithoutTheWebhookIsSaid(t *testing.T) {
	t.Parallel()
	var kinds []v1alpha1.Kind
	writes := 0
	w := rulesFor(t, meshServes(), &kinds, &writes)
	stored := &admissionv1.ValidatingWebhookConfiguration{}
	require.NoError(t, w.Live.Get(t.Context(), client.ObjectKey{Name: "governor"}, stored))
	stored.Webhooks = stored.Webhooks[:1]
	require.NoError(t, w.Writer.Update(t.Context(), stored))
	require.ErrorContains(t, w.keep(t.Context()), "upgrade the chart")
}

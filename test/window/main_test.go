package window

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/require"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// within bounds every wait for what a controller, a watch or a push does.
const within = time.Minute

// The second gateway, by mutual TLS: namespaces labelled egress=vault leave by it.
const vault = "vault-egress"

const (
	gatewayHost = controlplane.GatewayService + "." + controlplane.GatewayNamespace + ".svc.cluster.local"
	vaultHost   = vault + "." + vault + ".svc.cluster.local"
	collector   = "collector.plain-a.svc.cluster.local"
)

// namespaces are those of the tenants, with the gateway that each leaves by.
var namespaces = map[string]string{
	"plain-a": controlplane.GatewayNamespace, "plain-b": controlplane.GatewayNamespace, "vault-a": vault, "vault-b": vault,
}

// plane is the one control plane of the package, tenant a client with no rights but to write Istio's objects.
var (
	plane  *controlplane.ControlPlane
	tenant client.Client
	root   string
	// apiserver are its addresses, which Service kubernetes leads to.
	apiserver []string
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(run(m))
}

func run(m *testing.M) int {
	code := 1
	err := setup(context.Background())
	if err == nil {
		code = m.Run()
	}
	if plane != nil {
		err = errors.Join(err, plane.Stop())
	}
	if len(report) > 0 {
		err = errors.Join(err, os.WriteFile(filepath.Join(root, ".run", "window.txt"), []byte(strings.Join(report, "\n")+"\n"), 0o600))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// report is what the tests tell besides how they ended.
var report []string

func tell(t *testing.T, format string, args ...any) {
	t.Helper()
	line := fmt.Sprintf(format, args...)
	report = append(report, line)
	t.Log(line)
}

func setup(ctx context.Context) (err error) {
	if root, err = filepath.Abs("../.."); err != nil {
		return err
	}
	if err := controlplane.BuildWebhook(root); err != nil {
		return err
	}
	options := controlplane.InTree(root, "window")
	options.Values, options.GatewayNamespaces = values(), []string{vault}
	if plane, err = controlplane.Start(ctx, options); err != nil {
		return err
	}
	if err := plane.CreateGateway(ctx, vault, vault, vault); err != nil {
		return err
	}
	for _, object := range world() {
		if err := plane.Client.Create(ctx, object); err != nil {
			return fmt.Errorf("create %T %s: %w", object, object.GetName(), err)
		}
		if pod, is := object.(*corev1.Pod); is {
			pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: pod.Annotations["ip"], PodIPs: []corev1.PodIP{{IP: pod.Annotations["ip"]}}}
			if err := plane.Client.Status().Update(ctx, pod); err != nil {
				return err
			}
		}
	}
	kubernetes := &discoveryv1.EndpointSlice{}
	if err := plane.Client.Get(ctx, client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: "kubernetes"}, kubernetes); err != nil {
		return err
	}
	apiserver = kubernetes.Endpoints[0].Addresses
	config := rest.CopyConfig(plane.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: "tenant", Groups: []string{"system:authenticated"}}
	config.QPS, config.WarningHandler = -1, rest.NoWarnings{}
	tenant, err = client.New(config, client.Options{Scheme: plane.Client.Scheme()})
	return err
}

// values are the chart's: by the first gateway whoever does not say otherwise leaves, by Plain.
func values() map[string]any {
	byMutualTLS := controlplane.GatewayValues("vault", vault, vault, vault, map[string]any{"matchLabels": map[string]any{"egress": "vault"}})
	byMutualTLS["transport"] = "MutualTLS"
	return map[string]any{"config": map[string]any{"gateways": []any{
		byMutualTLS, controlplane.GatewayValues("default", controlplane.GatewayNamespace, controlplane.GatewayService, "egressgateway", map[string]any{}),
	}}}
}

// nodes are the proxies: of each namespace one, and those of the gateways.
func nodes() []Node {
	return []Node{
		{Kind: "sidecar", Pod: "client", Namespace: "plain-a", IP: "10.1.0.1"},
		{Kind: "sidecar", Pod: "client", Namespace: "plain-b", IP: "10.1.0.2"},
		{Kind: "sidecar", Pod: "client", Namespace: "vault-a", IP: "10.1.0.3"},
		{Kind: "sidecar", Pod: "client", Namespace: "vault-b", IP: "10.1.0.4"},
		{Kind: "router", Pod: "gateway", Namespace: controlplane.GatewayNamespace, IP: "10.1.0.5", Labels: map[string]string{"istio": "egressgateway"}},
		{Kind: "router", Pod: "gateway", Namespace: vault, IP: "10.1.0.6", Labels: map[string]string{"istio": vault}},
	}
}

// mesh is the same as the judge knows it.
func mesh() Mesh {
	out := Mesh{Pods: map[string]bool{}, GatewayPods: map[string]bool{}, Gateways: map[string]bool{
		gatewayHost: true, vaultHost: true,
	}}
	for _, node := range nodes() {
		out.Pods[node.IP] = true
		out.GatewayPods[node.IP] = out.GatewayPods[node.IP] || node.Kind == "router"
	}
	for _, address := range apiserver {
		out.Pods[address] = true
	}
	return out
}

// world is what the tenants and the proxies live in.
func world() (out []client.Object) {
	for name, gateway := range namespaces {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if gateway == vault {
			namespace.Labels = map[string]string{"egress": "vault"}
		}
		out = append(out, namespace, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "default"}})
	}
	out = append(out, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "exempt", Labels: map[string]string{"egress-governor.io/exempt": "true"}}})
	for _, node := range nodes() {
		out = append(out, pod(node))
		if node.Kind == "router" {
			service := map[bool]string{true: vault, false: controlplane.GatewayService}[node.Namespace == vault]
			out = append(out, slice(service, node, map[string]int32{"http2": 8080, "https": 8443}))
		}
	}
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "plain-a", Name: "collector"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80}}}}
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "tenant"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{networkingv1.GroupName}, Resources: []string{"*"}, Verbs: []string{"*"}},
	}}
	return append(out, service, slice(service.Name, nodes()[0], map[string]int32{"http": 8080}), role, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "tenant"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, Name: "tenant"}},
	})
}

func pod(node Node) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: node.Namespace, Name: node.Pod, Labels: node.Labels, Annotations: map[string]string{"ip": node.IP}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}},
	}
}

// slice has one pod behind a Service, as Kubernetes' own controller would.
func slice(service string, node Node, ports map[string]int32) *discoveryv1.EndpointSlice {
	ready := true
	out := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: node.Namespace, Name: service, Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{{
			Addresses: []string{node.IP}, Conditions: discoveryv1.EndpointConditions{Ready: &ready},
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: node.Namespace, Name: node.Pod},
		}},
	}
	for name, port := range ports {
		out.Ports = append(out.Ports, discoveryv1.EndpointPort{Name: &name, Port: &port})
	}
	return out
}

// decode reads manifests.
func decode(t *testing.T, manifests string) []*unstructured.Unstructured {
	t.Helper()
	out, err := controlplane.Decode(strings.NewReader(manifests))
	require.NoError(t, err)
	return out
}

package controlplane

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// CreateGateway makes the Service of an egress gateway as Istio's own chart makes it, with the label istio of its pods.
func (c *ControlPlane) CreateGateway(ctx context.Context, namespace, name, istio string) error {
	selector := map[string]string{"istio": istio}
	err := c.Client.Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: selector},
		Spec: corev1.ServiceSpec{Selector: selector, Ports: []corev1.ServicePort{
			{Name: "http2", Port: 80, TargetPort: intstr.FromInt32(8080)},
			{Name: "https", Port: 443, TargetPort: intstr.FromInt32(8443)},
		}},
	})
	if err != nil {
		return fmt.Errorf("create Service %s: %w", name, err)
	}
	return nil
}

// GatewayValues is an egress gateway of the chart's values, by the Service that CreateGateway makes; clients select the namespaces that
// leave by it.
func GatewayValues(name, namespace, service, istio string, clients map[string]any) map[string]any {
	return map[string]any{
		"name": name, "service": service + "." + namespace + ".svc.cluster.local",
		"selector": map[string]any{"istio": istio}, "ports": map[string]any{"http": 80, "tls": 443}, "namespaceSelector": clients,
	}
}

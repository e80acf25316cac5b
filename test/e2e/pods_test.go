//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/internal/egress"
)

const (
	// database is a PostgreSQL outside.
	database = "database"
	// clerk is a pod of vault-a with a service account of its own.
	clerk = vaultA + "/clerk"
	// thief is a pod of vault-c that goes round its sidecar, with the certificate that the mesh gave it.
	thief = vaultC + "/thief"
)

// pods returns the servers outside and the clients.
func pods() ([]*corev1.Pod, error) {
	probe, postgres := probeImage(), os.Getenv("DATABASE_IMAGE")
	if probe == "" || postgres == "" {
		return nil, fmt.Errorf("PROBE_IMAGE and DATABASE_IMAGE must name the images of test/e2e/probe and test/e2e/database")
	}
	server := podOf(outsideNamespace, database, postgres)
	server.Spec.Containers[0].ReadinessProbe = &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(5432)}}}
	out := []*corev1.Pod{server}
	for _, name := range servers {
		out = append(out, podOf(outsideNamespace, name, probe, "outside"))
	}
	for _, namespace := range []string{appA, appB, vaultA, vaultB, vaultC, exempt, stranger} {
		out = append(out, podOf(namespace, "app", probe, "app"))
	}
	other := podOf(vaultA, "clerk", probe, "app")
	other.Spec.ServiceAccountName = "clerk"
	return append(out, other, thievish(podOf(vaultC, "thief", probe, "app"))), nil
}

func probeImage() string { return os.Getenv("PROBE_IMAGE") }

func podOf(namespace, name, image string, args ...string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, Labels: map[string]string{"app": name},
			Annotations: map[string]string{"traffic.sidecar.istio.io/excludeInboundPorts": "9000"},
		},
		Spec: corev1.PodSpec{ServiceAccountName: "default", Containers: []corev1.Container{{Name: "main", Image: image, Args: args, ImagePullPolicy: corev1.PullIfNotPresent}}},
	}
}

// thievish has the pod's agent leave its certificate to the app, and calls to the ports of gateways pass the sidecar by.
func thievish(pod *corev1.Pod) *corev1.Pod {
	const folder = "/var/run/identity"
	for name, value := range map[string]string{
		"traffic.sidecar.istio.io/excludeOutboundPorts": "80,443,8080,8443",
		"proxy.istio.io/config":                         "proxyMetadata: {OUTPUT_CERTS: " + folder + "}",
		"sidecar.istio.io/userVolumeMount":              `[{"name":"identity","mountPath":"` + folder + `"}]`,
	} {
		pod.Annotations[name] = value
	}
	pod.Spec.Volumes = []corev1.Volume{{Name: "identity", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}}}}
	pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "identity", MountPath: folder}}
	return pod
}

// ingress is a pod that is an ingress gateway.
const ingress = "ingress"

// ingressPod is one by Istio's own template, and may listen on any port.
func ingressPod(namespace string, labels map[string]string) *corev1.Pod {
	out := podOf(namespace, ingress, "auto")
	out.Labels = maps.Clone(labels)
	out.Labels["sidecar.istio.io/inject"] = "true"
	out.Annotations = map[string]string{"inject.istio.io/templates": "gateway"}
	out.Spec.Containers[0].Name = "istio-proxy"
	out.Spec.SecurityContext = &corev1.PodSecurityContext{Sysctls: []corev1.Sysctl{{Name: "net.ipv4.ip_unprivileged_port_start", Value: "0"}}}
	return out
}

// way is an egress gateway.
type way struct {
	namespace, name string
	labels          client.MatchingLabels
}

var (
	plain = way{"istio-system", "istio-egressgateway", client.MatchingLabels{"istio": "egressgateway"}}
	own   = way{"egress-governor-gateway", "egress-governor-gateway", client.MatchingLabels{"istio": "egress-governor-gateway"}}
)

// service is the name of the gateway's Service.
func (w way) service() string { return w.name + "." + w.namespace + ".svc.cluster.local" }

// wayOf returns the egress gateway of a client.
func wayOf(from string) way {
	if strings.HasPrefix(from, "vault-") {
		return own
	}
	return plain
}

func wayBy(transport egress.Transport) way {
	if transport == egress.MutualTLS {
		return own
	}
	return plain
}

// gateways returns the addresses of an egress gateway's pods.
func (c *cluster) gateways(ctx context.Context, by way) ([]string, error) {
	pods := &corev1.PodList{}
	err := c.List(ctx, pods, client.InNamespace(by.namespace), by.labels)
	var out []string
	for _, pod := range pods.Items {
		out = append(out, pod.Status.PodIP)
	}
	return out, err
}

//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	outsideNamespace = "outside"
	appA, appB       = "app-a", "app-b"
	// exempt is not governed: it shows that the outside would see who calls directly.
	exempt = "app-exempt"
	begin  = "    # begin egress-governor e2e"
	end    = "    # end egress-governor e2e"
)

// names are known to DNS alone. Wildcards have one name that answers.
var names = []string{
	"api.partner.test", "two.partner.test", "canary.partner.test", "shadow.partner.test", "h2.partner.test", "grpc.partner.test",
	"static.partner.test", "none.partner.test", "robin.partner.test", "churn.partner.test", "guide.partner.test", "gone.partner.test",
	"www.wiki.test", "de.wiki.test", "evil.test", "direct.test", "load.partner.test",
}

// servers are the pods outside. Each answers for names of its own, so that a test sees which host a call came to.
var servers = []string{"outside", "elsewhere"}

// serverOf returns the server of a host.
func serverOf(host string) string {
	if slices.Contains([]string{"two.partner.test", "canary.partner.test", "shadow.partner.test"}, host) {
		return "elsewhere"
	}
	return "outside"
}

// build starts the outside world and the clients.
func (c *cluster) build(ctx context.Context) error {
	exemption := map[string]string{"egress-governor.io/exempt": "true"}
	injection := map[string]string{"istio-injection": "enabled"}
	for name, labels := range map[string]map[string]string{outsideNamespace: exemption, appA: injection, appB: injection, exempt: {"istio-injection": "enabled", "egress-governor.io/exempt": "true"}} {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
		if err := client.IgnoreAlreadyExists(c.Create(ctx, namespace)); err != nil {
			return err
		}
	}
	for _, server := range servers {
		address, err := c.start(ctx, outsideNamespace, server, "outside")
		if err != nil {
			return err
		}
		c.servers[server] = address
	}
	c.outside = c.servers["outside"]
	for _, namespace := range []string{appA, appB, exempt} {
		address, err := c.start(ctx, namespace, "app", "app")
		if err != nil {
			return err
		}
		if namespace != exempt {
			c.apps[namespace] = address
		}
	}
	return c.resolve(ctx, c.servers)
}

// start runs one pod of the probe and returns its address once it is ready.
func (c *cluster) start(ctx context.Context, namespace, name, role string) (string, error) {
	image := os.Getenv("PROBE_IMAGE")
	if image == "" {
		return "", errors.New("PROBE_IMAGE must name the image of test/e2e/probe")
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, Labels: map[string]string{"app": name},
			Annotations: map[string]string{"traffic.sidecar.istio.io/excludeInboundPorts": "9000"},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "probe", Image: image, Args: []string{role}, ImagePullPolicy: corev1.PullIfNotPresent}}},
	}
	if err := client.IgnoreAlreadyExists(c.Create(ctx, pod)); err != nil {
		return "", err
	}
	err := until(ctx, startWithin, func(ctx context.Context) (bool, error) {
		return c.Get(ctx, client.ObjectKeyFromObject(pod), pod) == nil && ready(pod), nil
	})
	if err != nil {
		return "", fmt.Errorf("pod %s/%s: %w", namespace, name, err)
	}
	return pod.Status.PodIP, nil
}

func ready(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(condition corev1.PodCondition) bool {
		return condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue
	})
}

// resolve makes the cluster's DNS answer the names with the addresses of their servers, or forget them without any. The
// ttl is short because proxies keep what they resolved.
func (c *cluster) resolve(ctx context.Context, addresses map[string]string) error {
	config := &corev1.ConfigMap{}
	if err := c.Get(ctx, client.ObjectKey{Namespace: metav1.NamespaceSystem, Name: "coredns"}, config); err != nil {
		return err
	}
	corefile := config.Data["Corefile"]
	if before, rest, ok := strings.Cut(corefile, begin); ok {
		_, after, _ := strings.Cut(rest, end+"\n")
		corefile = strings.TrimSuffix(before, "\n") + "\n" + after
	}
	if len(addresses) > 0 {
		var lines strings.Builder
		for _, name := range names {
			fmt.Fprintf(&lines, "        %s %s\n", addresses[serverOf(name)], name)
		}
		block := fmt.Sprintf("%s\n    hosts {\n%s        ttl 1\n        fallthrough\n    }\n%s\n", begin, lines.String(), end)
		first, rest, _ := strings.Cut(corefile, "\n")
		corefile = first + "\n" + block + rest
	}
	config.Data["Corefile"] = corefile
	if err := c.Update(ctx, config); err != nil || len(addresses) == 0 {
		return err
	}
	// CoreDNS reloads when it sees the file change; a new pod reads it at once.
	if err := c.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(metav1.NamespaceSystem), client.MatchingLabels{"k8s-app": "kube-dns"}); err != nil {
		return err
	}
	return until(ctx, startWithin, func(ctx context.Context) (bool, error) {
		answer, err := c.call(ctx, exempt, order{Protocol: "http", Host: "api.partner.test", Port: 80})
		return err == nil && !strings.Contains(answer.Error, "no such host"), nil
	})
}

func (c *cluster) tearDown(ctx context.Context) error {
	var errs []error
	for _, namespace := range []string{outsideNamespace, appA, appB, exempt} {
		errs = append(errs, c.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}))
	}
	for _, namespace := range []string{outsideNamespace, appA, appB, exempt} {
		errs = append(errs, until(ctx, startWithin, func(ctx context.Context) (bool, error) {
			return apierrors.IsNotFound(c.Get(ctx, client.ObjectKey{Name: namespace}, &corev1.Namespace{})), nil
		}))
	}
	return errors.Join(append(errs, c.resolve(ctx, nil))...)
}

func until(ctx context.Context, within time.Duration, met wait.ConditionWithContextFunc) error {
	return wait.PollUntilContextTimeout(ctx, poll, within, true, met)
}

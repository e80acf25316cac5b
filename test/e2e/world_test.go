//go:build e2e

package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
	// Clients of the gateway by Plain, and of the one by MutualTLS.
	appA, appB             = "app-a", "app-b"
	vaultA, vaultB, vaultC = "vault-a", "vault-b", "vault-c"
	// Namespaces of others, without apps.
	appC, appD, vaultD = "app-c", "app-d", "vault-d"
	// exempt is not governed: it shows that the outside would see who calls directly.
	exempt = "app-exempt"
	// stranger is a namespace without sidecars.
	stranger = "stranger"
	begin    = "    # begin egress-governor e2e"
	end      = "    # end egress-governor e2e"
)

const (
	injected  = "istio-injection"
	exemption = "egress-governor.io/exempt"
	// unguarded lets a namespace have pods that go round their sidecars: without it, guards keep the thief out.
	unguarded = "egress-governor.io/exempt-pods"
)

// namespaces and their labels.
var namespaces = map[string]map[string]string{
	outsideNamespace: {exemption: "true"}, exempt: {injected: "enabled", exemption: "true"}, stranger: {},
	appA: {injected: "enabled"}, appB: {injected: "enabled"},
	vaultA: {injected: "enabled"}, vaultB: {injected: "enabled"}, vaultC: {injected: "enabled", unguarded: "true"},
	appC: {}, appD: {}, vaultD: {},
}

// names are known to DNS alone. Wildcards have one name that answers.
var names = []string{
	"api.partner.test", "two.partner.test", "canary.partner.test", "shadow.partner.test", "h2.partner.test", "grpc.partner.test",
	"static.partner.test", "none.partner.test", "robin.partner.test", "churn.partner.test", "tide.partner.test", "guide.partner.test", "gone.partner.test", "bank.partner.test", "till.partner.test",
	"www.wiki.test", "de.wiki.test", "de.cloud.test", "el.cloud.test", "deep.eu.cloud.test", special, "both.cloud.test", "local.cloud.test", "metadata.cloud.test", "services.cloud.test", "evil.test", "direct.test", "load.partner.test", "ports.partner.test", "safe.partner.test", "sql.partner.test",
}

// servers are the pods outside. Each answers for names of its own, so that a test sees which host a call came to.
var servers = []string{"outside", "elsewhere"}

// serverOf returns the server of a host.
func serverOf(host string) string {
	first, _, _ := strings.Cut(host, ".")
	switch {
	case first == "sql":
		return database
	case slices.Contains([]string{"two", "canary", "shadow", "other", "el", "deep", "special"}, first):
		return "elsewhere"
	}
	return "outside"
}

// special is a name below a wildcard whose server an entry of its own gives, and DNS does not know.
const special = "special.cloud.test"

// led are the names of which DNS says otherwise: servers, and addresses that no gateway is led to.
var led = map[string][]string{
	special: {"outside"}, "both.cloud.test": {"169.254.169.254", "outside"}, "local.cloud.test": {"127.0.0.1"},
	"metadata.cloud.test": {"169.254.169.254"}, "services.cloud.test": {"10.96.0.1"},
}

// build starts the outside world and the clients.
func (c *cluster) build(ctx context.Context) error {
	for name, labels := range namespaces {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
		if err := client.IgnoreAlreadyExists(c.Create(ctx, namespace)); err != nil {
			return err
		}
	}
	pods, err := pods()
	if err != nil {
		return err
	}
	for _, pod := range pods {
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Spec.ServiceAccountName}}
		if err := client.IgnoreAlreadyExists(c.Create(ctx, account)); err != nil {
			return err
		}
		if err := client.IgnoreAlreadyExists(c.Create(ctx, pod.DeepCopy())); err != nil {
			return err
		}
	}
	for _, pod := range pods {
		address, err := c.started(ctx, pod)
		switch {
		case err != nil:
			return err
		case pod.Namespace == outsideNamespace:
			c.servers[pod.Name] = address
		case pod.Namespace != exempt:
			c.apps[pod.Namespace+"/"+pod.Name] = address
		}
	}
	c.outside = c.servers["outside"]
	return c.resolve(ctx, c.servers)
}

// started returns the address of a pod once it is ready.
func (c *cluster) started(ctx context.Context, pod *corev1.Pod) (string, error) {
	got := pod.DeepCopy()
	err := until(ctx, startWithin, func(ctx context.Context) (bool, error) {
		return c.Get(ctx, client.ObjectKeyFromObject(pod), got) == nil && ready(got), nil
	})
	if err != nil {
		return "", fmt.Errorf("pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return got.Status.PodIP, nil
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
		cased, err := casedNames()
		if err != nil {
			return err
		}
		for _, name := range slices.Concat(names, cased) {
			places := led[name]
			if places == nil {
				places = []string{serverOf(name)}
			}
			for _, place := range places {
				fmt.Fprintf(&lines, "        %s %s\n", cmp.Or(addresses[place], place), name)
			}
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
	for name := range namespaces {
		errs = append(errs, c.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}))
	}
	for name := range namespaces {
		errs = append(errs, until(ctx, startWithin, func(ctx context.Context) (bool, error) {
			return apierrors.IsNotFound(c.Get(ctx, client.ObjectKey{Name: name}, &corev1.Namespace{})), nil
		}))
	}
	return errors.Join(append(errs, c.resolve(ctx, nil))...)
}

func until(ctx context.Context, within time.Duration, met wait.ConditionWithContextFunc) error {
	return wait.PollUntilContextTimeout(ctx, poll, within, true, met)
}

//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// istiod is the Deployment of Istio's control plane.
var istiod = way{namespace: "istio-system", name: "istiod"}

// badDay is one of the mesh: something breaks and is mended while clients apply and call without pause.
type badDay struct {
	name   string
	breaks func(t *testing.T)
	// applies say why an apply may fail, calls that calls may; none may where it is empty.
	applies string
	calls   bool
}

// TestBadDays: whatever else is down, what is applied is stored sealed or fails with a reason, calls end at the gateway or
// nowhere, and all goes on by itself. What breaks without a mesh is in test/reliability.
func TestBadDays(t *testing.T) {
	for _, l := range legs {
		shared.applied(t, l.from[0], l.entry("resolution: DNS"))
		shared.works(t, l)
	}
	for _, day := range []badDay{
		{name: "the webhook is scaled down and up", breaks: func(t *testing.T) {
			shared.scale(t, 1)
			shared.scale(t, 3)
			shared.scale(t, 2)
		}},
		{name: "a node is drained", breaks: shared.drained},
		{name: "memory is at its limit", applies: "webhook", calls: true, breaks: shared.squeezed},
		{name: "the disk of the replicas is full", breaks: shared.filled},
		{name: "istiod is down", applies: "validation.istio.io", breaks: func(t *testing.T) {
			shared.change(t, `{"spec":{"replicas":0}}`, istiod)
			time.Sleep(5 * time.Second)
			shared.change(t, `{"spec":{"replicas":1}}`, istiod)
		}},
		{name: "the gateways are gone", calls: true, breaks: func(t *testing.T) {
			shared.change(t, `{"spec":{"replicas":0}}`, plain, own)
			for _, l := range legs {
				for _, o := range l.orders {
					shared.fails(t, l.from[0], o)
				}
			}
			shared.change(t, `{"spec":{"replicas":1}}`, plain, own)
		}},
	} {
		t.Run(day.name, day.lives)
	}
}

func (d badDay) lives(t *testing.T) {
	var counts []func() (int64, int64)
	for _, l := range legs {
		counts = append(counts, shared.callWithoutPause(t, l))
	}
	stop := shared.applyWithoutPause(t)
	began := time.Now()
	d.breaks(t)
	broke := time.Since(began)
	for _, l := range legs {
		shared.works(t, l)
	}
	fresh := shared.decoded(t, appA, entry("load", "load.partner.test", webPorts))[0]
	t.Cleanup(func() { shared.deleted(t, fresh) })
	shared.serves(t, fresh)
	recovered := time.Since(began) - broke
	sent, failed := stop()
	var made, lost int64
	for _, count := range counts {
		all, answered := count()
		made, lost = made+all, lost+all-answered
	}
	t.Logf("%s: %d applies, %d failed; %d calls, %d failed; %s, and recovered %s later", d.name, sent, len(failed), made, lost,
		broke.Round(time.Second), recovered.Round(100*time.Millisecond))
	for _, err := range failed {
		require.True(t, d.applies != "" && strings.Contains(err.Error(), d.applies), "%v", err)
	}
	if !d.calls {
		assert.Zero(t, lost, "calls failed")
	}
	direct, _, err := shared.direct(t.Context())
	require.NoError(t, err)
	require.Empty(t, direct)
}

// drained has a replica on a node of its own, and drains that.
func (c *cluster) drained(t *testing.T) {
	t.Helper()
	nodes := &corev1.NodeList{}
	require.NoError(t, c.List(t.Context(), nodes))
	var spare string
	for _, node := range nodes.Items {
		if node.Spec.Unschedulable {
			spare = node.Name
		}
	}
	require.NotEmpty(t, spare, "cluster/up.sh leaves a node without pods")
	kubectl(t, "uncordon", spare)
	t.Cleanup(func() { kubectl(t, "cordon", spare) })
	c.roll(t, webhook)
	require.NotEmpty(t, c.podsOn(t, spare), "replicas spread over nodes")
	kubectl(t, "drain", spare, "--ignore-daemonsets", "--delete-emptydir-data")
	c.settled(t, releaseNamespace, release)
	require.Empty(t, c.podsOn(t, spare))
}

// podsOn returns the webhook's pods on a node.
func (c *cluster) podsOn(t *testing.T, node string) (out []string) {
	t.Helper()
	pods := &corev1.PodList{}
	require.NoError(t, c.List(t.Context(), pods, client.InNamespace(releaseNamespace), client.MatchingLabels{"app.kubernetes.io/name": release}))
	for _, pod := range pods.Items {
		if pod.Spec.NodeName == node {
			out = append(out, pod.Name)
		}
	}
	return out
}

// squeezed has the replicas run in little memory, while the largest objects that are looked at come, many at once. None of them is
// killed for it.
func (c *cluster) squeezed(t *testing.T) {
	t.Helper()
	limited := func(request, limit string) {
		c.change(t, fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"webhook","resources":{"requests":{"memory":%q},"limits":{"memory":%q}}}]}}}}`,
			request, limit), webhook)
	}
	limited(little, little)
	hosts := make([]string, 223)
	for i := range hosts {
		hosts[i] = fmt.Sprintf("h%d.partner.test", i)
	}
	route := fmt.Sprintf("{route: [{destination: {host: %s}}]}, ", plain.service())
	largest := c.decoded(t, appA, virtualService("largest", fmt.Sprintf("{hosts: [%s], http: [%s]}", strings.Join(hosts, ", "), strings.Repeat(route, len(hosts)))))[0]
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 3 {
				_, _ = c.stored(t.Context(), largest, client.DryRunAll)
			}
		})
	}
	group.Wait()
	pods := &corev1.PodList{}
	require.NoError(t, c.List(t.Context(), pods, client.InNamespace(releaseNamespace)))
	for _, pod := range pods.Items {
		for _, status := range pod.Status.ContainerStatuses {
			if ended := status.LastTerminationState.Terminated; ended != nil {
				require.NotEqual(t, "OOMKilled", ended.Reason, pod.Name)
			}
		}
	}
	limited("128Mi", "512Mi")
}

// little is so little memory that a replica is killed which does not keep to it.
const little = "64Mi"

// filled has the replicas write nothing more to their disk, and then make other certificates.
func (c *cluster) filled(t *testing.T) {
	t.Helper()
	onNode(t, "sh", "-c", "for disk in "+disks+"; do cat /dev/zero >$disk/full 2>/dev/null || true; done")
	key := client.ObjectKey{Namespace: releaseNamespace, Name: release + "-webhook-cert"}
	secret := &corev1.Secret{}
	require.NoError(t, c.Get(t.Context(), key, secret))
	was := secret.Data["tls.crt"]
	secret.Data["tls.crt"] = nil
	require.NoError(t, c.Update(t.Context(), secret))
	require.NoError(t, until(t.Context(), startWithin, func(ctx context.Context) (bool, error) {
		err := c.Get(ctx, key, secret)
		return err == nil && len(secret.Data["tls.crt"]) > 0 && !bytes.Equal(was, secret.Data["tls.crt"]), nil
	}))
	onNode(t, "sh", "-c", "rm "+disks+"/full")
}

// disks are the folders of the replicas' /tmp on the node.
const disks = "/var/lib/kubelet/pods/*/volumes/kubernetes.io~empty-dir/tmp"

// kubectl runs the node's own.
func kubectl(t *testing.T, args ...string) {
	t.Helper()
	onNode(t, append([]string{"kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf"}, args...)...)
}

// onNode runs a command on the node.
func onNode(t *testing.T, args ...string) {
	t.Helper()
	name := os.Getenv("CONTROL_PLANE")
	require.NotEmpty(t, name, "CONTROL_PLANE must name the container of the control plane")
	line := append([]string{"exec", name}, args...)
	out, err := exec.CommandContext(context.WithoutCancel(t.Context()), "docker", line...).CombinedOutput() //nolint:gosec // in a test cluster
	require.NoError(t, err, "%s", out)
}

// TestUpgrade goes from each earlier version to this one and back, old and new replicas side by side, and loses nothing.
func TestUpgrade(t *testing.T) {
	raw, err := os.ReadFile(os.Getenv("BEFORE"))
	require.NoError(t, err, "BEFORE must name what cluster/before.sh wrote")
	installed := filepath.Join(t.TempDir(), "installed.yaml")
	require.NoError(t, os.WriteFile(installed, shared.helm(t.Context(), t, "get", "values", release, "--output", "yaml"), 0o600))
	t.Cleanup(func() { shared.upgrade(t, installed) })
	for line := range strings.Lines(string(raw)) {
		fields := strings.Fields(line)
		require.Len(t, fields, 3)
		t.Run("from "+fields[0], func(t *testing.T) {
			shared.upgradeTo(t, fields[1], installed, earlier(t, fields[2]))
			entry := shared.decoded(t, appA, entry("earlier", "earlier.partner.test", webPorts))[0]
			t.Cleanup(func() { shared.deleted(t, entry) })
			shared.serves(t, entry)
			stop := shared.applyWithoutPause(t)
			shared.upgrade(t, installed)
			shared.storedSoon(t, entry)
			shared.exitReady(t, entry)
			shared.upgradeTo(t, fields[1], installed, earlier(t, fields[2]))
			sent, failed := stop()
			t.Logf("from %s up and back: %d applies, %d failed", fields[0], sent, len(failed))
			assert.NoError(t, errors.Join(failed...))
		})
	}
}

// earlier are values by which an image of the engine is run.
func earlier(t *testing.T, image string) string {
	t.Helper()
	repository, tag, _ := strings.Cut(image, ":")
	raw, err := yaml.Marshal(map[string]any{"image": map[string]any{"repository": repository, "tag": tag}, "podAnnotations": map[string]any{"image": image}})
	require.NoError(t, err)
	out := filepath.Join(t.TempDir(), "earlier.yaml")
	require.NoError(t, os.WriteFile(out, raw, 0o600))
	return out
}

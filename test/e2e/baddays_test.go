//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// istiod is the Deployment of Istio's control plane.
var istiod = way{namespace: "istio-system", name: "istiod"}

// badDay is one of the mesh: something breaks and is mended while clients apply and call without pause.
type badDay struct {
	name   string
	breaks func(t *testing.T)
	// applies say why an apply may fail, none may where it is empty; one in few may. calls says that calls may.
	applies string
	few     int
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
		{name: "it is scaled to one, to three, to two", breaks: func(t *testing.T) {
			shared.scale(t, 1)
			shared.scale(t, 3)
			shared.scale(t, 2)
		}},
		{name: "a node is drained that a replica is on", breaks: shared.drained},
		{name: "replicas have 60 MiB, and the largest objects that are looked at come, eight at once", applies: "webhook", few: 10, breaks: shared.squeezed},
		{name: "the replicas' disk is full, and their certificate has to be made anew", breaks: shared.filled},
		{name: "istiod is down", applies: "validation.istio.io", few: 1, breaks: func(t *testing.T) {
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
	assert.LessOrEqual(t, int64(d.few*len(failed)), sent, "applies failed")
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
	var allowed atomic.Int64
	var last atomic.Value
	for range 8 {
		group.Go(func() {
			for range 3 {
				if _, err := c.stored(t.Context(), largest, client.DryRunAll); err != nil {
					last.Store(err.Error())
				} else {
					allowed.Add(1)
				}
			}
		})
	}
	group.Wait()
	t.Logf("%d of 24 of the largest are allowed; the last that is not: %v", allowed.Load(), last.Load())
	assert.Positive(t, allowed.Load(), "none was looked at: %v", last.Load())
	c.survived(t)
	limited("128Mi", "512Mi")
}

// survived holds that no replica was killed for its memory, though one needed most of what it may.
func (c *cluster) survived(t *testing.T) {
	t.Helper()
	pods := &corev1.PodList{}
	require.NoError(t, c.List(t.Context(), pods, client.InNamespace(releaseNamespace), client.MatchingLabels{"app.kubernetes.io/name": release}))
	most := int64(0)
	for _, pod := range pods.Items {
		for _, status := range pod.Status.ContainerStatuses {
			if ended := status.LastTerminationState.Terminated; ended != nil {
				assert.NotEqual(t, "OOMKilled", ended.Reason, pod.Name)
			}
			_, id, _ := strings.Cut(status.ContainerID, "://")
			require.NotEmpty(t, id, pod.Name)
			// The peak, by either version of cgroups.
			said := onNode(t, "sh", "-c", "find /sys/fs/cgroup -path '*"+id+"*' '(' -name memory.peak -o -name memory.max_usage_in_bytes ')' -exec cat {} + 2>/dev/null || true")
			for _, field := range strings.Fields(said) {
				peak, err := strconv.ParseInt(field, 10, 64)
				require.NoError(t, err)
				most = max(most, peak)
			}
		}
	}
	limit := resource.MustParse(little)
	t.Logf("a replica needed %d of %d MiB", most>>20, limit.Value()>>20)
	assert.GreaterOrEqual(t, most, limit.Value()*7/10, "there was memory to spare")
}

// little is so little memory that a replica is killed which does not keep to it.
const little = "60Mi"

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

// onNode runs a command on the node, and returns what it says.
func onNode(t *testing.T, args ...string) string {
	t.Helper()
	name := os.Getenv("CONTROL_PLANE")
	require.NotEmpty(t, name, "CONTROL_PLANE must name the container of the control plane")
	line := append([]string{"exec", name}, args...)
	out, err := exec.CommandContext(context.WithoutCancel(t.Context()), "docker", line...).CombinedOutput() //nolint:gosec // in a test cluster
	require.NoError(t, err, "%s", out)
	return string(out)
}

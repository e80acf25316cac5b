//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// logOf returns what the sidecar of an app has logged.
func (c *cluster) logOf(ctx context.Context, namespace string) (string, error) {
	raw, err := c.kube.CoreV1().Pods(namespace).GetLogs("app", &corev1.PodLogOptions{Container: "istio-proxy"}).DoRaw(ctx)
	return string(raw), err
}

// egressctl runs the command line that this tree has, and returns what it prints.
func egressctl(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	binary, err := controlplane.BuildEgressctl(filepath.Join("..", ".."))
	require.NoError(t, err)
	var printed, told bytes.Buffer
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = strings.NewReader(stdin), &printed, &told, os.Environ()
	require.NoError(t, cmd.Run(), "%v: %s", args, told.String())
	return printed.String()
}

// TestDiscover: what an app calls on a mesh that blocks what no entry names stands in the log of its sidecar, and the entries that
// are drafted of it open the way, through the gateway. Sidecars look for names on ports that some entry has.
func TestDiscover(t *testing.T) {
	shared.applied(t, appB, entry("safe", safe+"'], exportTo: ['.", withPorts(webOnly)))
	calls := []order{web("ports.partner.test"), webs("load.partner.test")}
	var log string
	require.NoError(t, until(t.Context(), startWithin, func(ctx context.Context) (bool, error) {
		for _, o := range calls {
			if got, err := shared.call(ctx, appB, o); err != nil || got.Error == "" {
				return false, err
			}
		}
		var err error
		log, err = shared.logOf(ctx, appB)
		return strings.Contains(log, "ports.partner.test") && strings.Contains(log, "load.partner.test"), err
	}), "%s", log)

	// The log as a file, and the pods' own.
	kubeconfig := os.Getenv("KUBECONFIG")
	args := []string{"discover", "-n", appB}
	if kubeconfig != "" {
		args = append(args, "--kubeconfig", kubeconfig)
	}
	drafts := egressctl(t, log, append(args, "-f", "-")...)
	if kubeconfig != "" {
		pods := egressctl(t, "", args...)
		require.Contains(t, pods, "name: ports.partner.test\n")
		require.Contains(t, pods, "by app\n")
	}
	var policies, entries []*unstructured.Unstructured
	for _, object := range shared.decoded(t, appB, drafts) {
		switch name := object.GetName(); {
		case object.GetKind() == "EgressPolicy":
			policies = append(policies, object)
		case name == "ports.partner.test", name == "load.partner.test":
			entries = append(entries, object)
		}
	}
	require.Len(t, policies, 1)
	require.Len(t, entries, len(calls), drafts)
	t.Cleanup(func() { shared.deleted(t, append(entries, policies...)...) })
	for _, object := range append(policies, entries...) {
		require.NoError(t, shared.apply(t.Context(), object))
	}
	for _, entry := range entries {
		shared.exitReady(t, entry)
	}
	for _, o := range calls {
		shared.arrives(t, appB, o, o.Port, "")
	}
}

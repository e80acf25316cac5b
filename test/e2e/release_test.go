//go:build e2e

package e2e

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/test/proof"
)

// values returns those of the chart that a case configures, beside its gateways; nothing for one that takes what is installed.
func values(of *proof.Case) map[string]any {
	out, configuration := map[string]any{}, map[string]any{}
	for name, value := range of.Configuration {
		switch name {
		case "gateways", "namespaceSelector":
		case "baseline":
			out[name] = value
		default:
			configuration[name] = value
		}
	}
	if len(configuration) > 0 {
		out["config"] = configuration
	}
	return out
}

// reconfigured upgrades the release as long as the test runs.
func (c *cluster) reconfigured(t *testing.T, to map[string]any) {
	t.Helper()
	if len(to) == 0 {
		return
	}
	was := c.helm(t.Context(), t, "get", "values", release, "--output", "yaml")
	raw, err := yaml.Marshal(to)
	require.NoError(t, err)
	before, over := filepath.Join(t.TempDir(), "before.yaml"), filepath.Join(t.TempDir(), "over.yaml")
	require.NoError(t, os.WriteFile(before, was, 0o600))
	require.NoError(t, os.WriteFile(over, raw, 0o600))
	t.Cleanup(func() { c.upgrade(t, before) })
	c.upgrade(t, before, over)
}

// upgrade returns once every replica has the values, and those of before answer no more.
func (c *cluster) upgrade(t *testing.T, files ...string) {
	t.Helper()
	c.upgradeTo(t, "../../charts/egress-governor", files...)
}

// upgradeTo is upgrade by a chart in a folder.
func (c *cluster) upgradeTo(t *testing.T, chart string, files ...string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	args := []string{"upgrade", release, chart, "--wait", "--timeout", "3m"}
	for _, file := range files {
		args = append(args, "--values", file)
	}
	c.helm(ctx, t, args...)
	require.NoError(t, until(ctx, startWithin, func(ctx context.Context) (bool, error) {
		pods := &corev1.PodList{}
		err := c.List(ctx, pods, client.InNamespace(releaseNamespace))
		return !slices.ContainsFunc(pods.Items, func(pod corev1.Pod) bool { return pod.DeletionTimestamp != nil }), err
	}))
}

func (c *cluster) helm(ctx context.Context, t *testing.T, args ...string) []byte {
	t.Helper()
	program := os.Getenv("HELM")
	require.NotEmpty(t, program, "HELM must name helm")
	out, err := exec.CommandContext(ctx, program, append(args, "--namespace", releaseNamespace)...).Output() //nolint:gosec // in a test cluster
	if failed := (&exec.ExitError{}); errors.As(err, &failed) {
		require.Fail(t, "helm", "%v: %s", args, failed.Stderr)
	}
	require.NoError(t, err)
	return out
}

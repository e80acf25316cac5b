package integration

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// TestWhatHelmTestRuns: under the rights that the chart gives it, it passes where the webhook is asked, and fails where it is not. It is not
// parallel.
func TestWhatHelmTestRuns(t *testing.T) {
	guarded(t)
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	objects, err := controlplane.RenderTests(filepath.Join(root, "charts", "egress-governor"), nil)
	require.NoError(t, err)
	var args []string
	for _, object := range objects {
		if object.GetKind() == "Pod" {
			pod := &corev1.Pod{}
			require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, pod))
			args = pod.Spec.Containers[0].Args
			continue
		}
		require.NoError(t, shared.Client.Create(t.Context(), object))
		t.Cleanup(func() { assert.NoError(t, shared.Client.Delete(context.WithoutCancel(t.Context()), object)) })
	}
	folder := t.TempDir()
	stored := &corev1.ConfigMap{}
	require.NoError(t, shared.Client.Get(t.Context(), client.ObjectKey{Namespace: controlplane.Namespace, Name: controlplane.Release}, stored))
	file, kubeconfig := filepath.Join(folder, "config.yaml"), filepath.Join(folder, "kubeconfig")
	require.NoError(t, os.WriteFile(file, []byte(stored.Data["config.yaml"]), 0o600))
	require.NoError(t, shared.KubeconfigOfAccount(t.Context(), controlplane.Release+"-test", kubeconfig))
	args = append(args, "--config="+file) // the last counts
	run := func(more ...string) (string, error) {
		cmd := exec.Command(controlplane.InTree(root, "").Webhook, append(args, more...)...)
		cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
		raw, err := cmd.CombinedOutput()
		return string(raw), err
	}
	out, err := run()
	require.NoError(t, err, out)
	assert.Contains(t, out, "all 4 objects judged")

	code, said := egressctl(t, "stop")
	require.Zero(t, code, said)
	eventually(t, func() bool {
		out, err = run("--timeout=2s")
		return err != nil
	}, "it is not asked any more")
	assert.Contains(t, out, "webhook-not-asked")
	code, said = egressctl(t, "start")
	require.Zero(t, code, said)
	out, err = run()
	require.NoError(t, err, out)
}

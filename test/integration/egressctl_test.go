package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTheCommandLineAnswersForACluster as the API server does: by its configuration, its policies, and what is stored.
func TestTheCommandLineAnswersForACluster(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	binary := filepath.Join(t.TempDir(), "egressctl")
	build := exec.Command("go", "build", "-o", binary, "./cmd/egressctl")
	build.Dir, build.Stderr = root, os.Stderr
	require.NoError(t, build.Run())
	_, err = policyFor(t, "command-line", "  policy: allowed-hosts\n  parameters: {hosts: [ok.command-line.test]}\n")
	require.NoError(t, err)
	ns := namespace(t, map[string]string{"test": "command-line"})
	ok := entry(t, "v1", ns, "ok", strings.ReplaceAll(hostSpec, "HOST", "ok.command-line.test"))
	require.NoError(t, shared.Client.Create(t.Context(), ok))

	manifests := filepath.Join(t.TempDir(), "manifests.yaml")
	bad := entry(t, "v1", ns, "bad", `{hosts: [bad.command-line.test], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}`)
	again := entry(t, "v1", ns, "again", `{hosts: [ok.command-line.test], resolution: DNS, ports: [{number: 443, name: http, protocol: HTTP}]}`)
	var text []byte
	var want []string
	for _, object := range []interface{ MarshalJSON() ([]byte, error) }{bad, again} {
		raw, err := object.MarshalJSON()
		require.NoError(t, err)
		text = append(text, raw...)
	}
	require.NoError(t, os.WriteFile(manifests, text, 0o600))
	for _, err := range []error{shared.Client.Create(t.Context(), bad), shared.Client.Create(t.Context(), again)} {
		require.Error(t, err)
		want = append(want, denied.ReplaceAllString(err.Error(), ""))
	}
	assert.Contains(t, want[1], "ok", "by what is stored")

	out, err := exec.Command(binary, "review", "-f", manifests, "--kubeconfig", shared.Kubeconfig, "-q").Output()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	assert.Equal(t, 1, exit.ExitCode(), string(exit.Stderr))
	for _, message := range want {
		assert.Contains(t, string(out), strings.ReplaceAll("  "+message, "\n", "\n  "))
	}

	// What becomes of its calls is said by what the controllers have made by now.
	eventually(t, func() bool { return ready(get(t, ok), "True") }, "ExitReady")
	out, err = exec.Command(binary, "trace", ns, "https://ok.command-line.test", "--kubeconfig", shared.Kubeconfig).CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Contains(t, string(out), "leaves by an egress gateway")
	assert.Contains(t, string(out), "ExitReady: True ExitConfigured")
	_, err = exec.Command(binary, "trace", ns, "https://bad.command-line.test", "--kubeconfig", shared.Kubeconfig).Output()
	require.ErrorAs(t, err, &exit)
	assert.Equal(t, 1, exit.ExitCode(), string(exit.Stderr))
}

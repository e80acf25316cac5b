package integration

import (
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

// built builds egressctl once.
var built = sync.OnceValues(func() (string, error) { return controlplane.BuildEgressctl("../..") })

// egressctl runs it in the shared cluster, and returns its exit code and what it says.
func egressctl(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	binary, err := built()
	require.NoError(t, err)
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+shared.Kubeconfig)
	raw, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil {
		require.ErrorAs(t, err, &exit, string(raw))
		return exit.ExitCode(), string(raw)
	}
	return 0, string(raw)
}

package house

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTheWebhookIsFreeOfWhatTheCommandLineNeeds: it has an API server of its own to ask.
func TestTheWebhookIsFreeOfWhatTheCommandLineNeeds(t *testing.T) {
	t.Parallel()
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "./cmd/webhook", "./cmd/egressctl")
	list.Dir = root
	both, err := list.Output()
	require.NoError(t, err)
	list = exec.CommandContext(t.Context(), "go", "list", "-deps", "./cmd/webhook")
	list.Dir = root
	webhook, err := list.Output()
	require.NoError(t, err)
	for _, name := range []string{
		"helm.sh/helm/", "k8s.io/apiserver/pkg/admission/plugin/policy/", "k8s.io/apiextensions-apiserver/pkg/apiserver/",
		module + "internal/apiserver\n", module + "internal/chart\n", module + "internal/dryrun\n",
	} {
		assert.Contains(t, string(both), "\n"+name)
		assert.NotContains(t, string(webhook), "\n"+name, strings.TrimSpace(name))
	}
}

package house

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTheRunbookHasEveryReason for which an exit is not ready: egressctl check sends there for what to do.
func TestTheRunbookHasEveryReason(t *testing.T) {
	t.Parallel()
	read := func(path ...string) string {
		raw, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
		require.NoError(t, err)
		return string(raw)
	}
	reasons := []string{regexp.MustCompile(`ReasonSuspended += "(\w+)"`).FindStringSubmatch(read("internal", "registry", "suspended.go"))[1]}
	for _, match := range regexp.MustCompile(`(?:"False", |reason\w+ += )"(\w+)"`).FindAllStringSubmatch(read("internal", "controller", "exitready.go"), -1) {
		reasons = append(reasons, match[1])
	}
	require.Greater(t, len(reasons), 6)
	_, runbook, found := strings.Cut(read("docs", "runbooks.md"), "\n## EgressGovernorExitUnready\n")
	require.True(t, found)
	runbook, _, _ = strings.Cut(runbook, "\n## ")
	for _, reason := range reasons {
		assert.Contains(t, runbook, "`"+reason+"`", "what to do where ExitReady is False for it")
	}
}

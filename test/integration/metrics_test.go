package integration

import (
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMetricsAreDocumented: each that is served has a row, and each row is of one that the program has.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	applied(t, namespace(t, nil), "api", "metrics.test")
	raw, err := os.ReadFile("../../docs/metrics.md")
	require.NoError(t, err)
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(egress_governor_[a-z_]+)`").FindAllStringSubmatch(string(raw), -1) {
		documented[row[1]] = false
	}
	for _, metric := range regexp.MustCompile(`(?m)^# TYPE (egress_governor_[a-z_]+) `).FindAllStringSubmatch(metrics(t), -1) {
		assert.Contains(t, documented, metric[1])
		documented[metric[1]] = true
	}
	for _, always := range []string{
		"egress_governor_decisions_total", "egress_governor_request_duration_seconds", "egress_governor_exits", "egress_governor_exit_unready_seconds",
		"egress_governor_audit_age_seconds", "egress_governor_certificate_expiry_timestamp_seconds",
	} {
		assert.True(t, documented[always], "%s is served", always)
	}
}

package report

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/checkup"
)

// TestACheckupAsText: what is wrong, why and how to mend it; what could not be looked at; and what is sound where that is asked for.
// Nothing in it moves a terminal.
func TestACheckupAsText(t *testing.T) {
	t.Parallel()
	of := &checkup.Report{Cluster: "https://cluster", Errors: 1, Unknown: 1, Checks: []checkup.Result{
		{Name: "kinds", About: "kinds are there", Status: checkup.Sound},
		{Name: "rights", About: "nobody may", Status: checkup.Skipped},
		{Name: "exits", About: "every entry has an exit", Status: checkup.Wrong, NotLookedAt: []string{"pods: forbidden"}, Findings: []checkup.Finding{{
			Code: "exit-not-ready", Severity: checkup.Error, Object: "ServiceEntry payments/a", Message: "its exit is not ready\x1b[2J", Why: "calls fail", Fix: "mend it",
		}}},
	}}
	written := func(format string, verbose bool) string {
		var out bytes.Buffer
		require.NoError(t, WriteCheckup(&out, of, format, verbose))
		return out.String()
	}
	assert.Equal(t, `wrong    exits: every entry has an exit
  ERROR ServiceEntry payments/a (exit-not-ready)
    its exit is not ready\x1b[2J
    Why: calls fail
    Fix: mend it
  NOT LOOKED AT: pods: forbidden

https://cluster: 1 error, 0 warnings, 1 not looked at; 1 of 3 checks is sound, 1 skipped
`, written("table", false))
	assert.Contains(t, written("table", true), "ok       kinds: kinds are there\n")
	assert.Contains(t, written("table", true), "skipped  rights: nobody may\n")
	many := &checkup.Report{Checks: []checkup.Result{{Findings: make([]checkup.Finding, 50)}}}
	var out bytes.Buffer
	require.NoError(t, WriteCheckup(&out, many, "table", false))
	assert.Contains(t, out.String(), "  and 30 more, which -o json has\n")
	var back checkup.Report
	require.NoError(t, json.Unmarshal([]byte(written("json", false)), &back))
	assert.Equal(t, *of, back)
	assert.Contains(t, written("yaml", false), "notLookedAt: 1\n")
}

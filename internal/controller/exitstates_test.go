package controller

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/internal/registry"
)

// TestStatesOfExitsAreCounted, and how long the oldest waits: not anew while it only waits for something else.
func TestStatesOfExitsAreCounted(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	s := newExitStates(func() time.Time { return now })
	name := func(n string) types.NamespacedName { return types.NamespacedName{Namespace: "app", Name: n} }
	is := func(ready, pending, suspended, conflict, failed, oldest string) {
		t.Helper()
		require.NoError(t, testutil.CollectAndCompare(s, strings.NewReader(`
# HELP egress_governor_exit_unready_seconds How long the exit of the entry that waits longest has not been ready, 0 for none; what is suspended does not wait. Of the leader alone.
# TYPE egress_governor_exit_unready_seconds gauge
egress_governor_exit_unready_seconds `+oldest+`
# HELP egress_governor_exits Sealed ServiceEntries by the state of their exits (ready, pending, suspended, conflict, failed); of the leader alone.
# TYPE egress_governor_exits gauge
egress_governor_exits{state="conflict"} `+conflict+`
egress_governor_exits{state="failed"} `+failed+`
egress_governor_exits{state="pending"} `+pending+`
egress_governor_exits{state="ready"} `+ready+`
egress_governor_exits{state="suspended"} `+suspended+`
`)))
	}
	is("0", "0", "0", "0", "0", "0")
	s.set(name("a"), exitPending)
	now = now.Add(time.Minute)
	s.set(name("a"), exitFailed)
	s.set(name("b"), exitSuspended)
	s.set(name("c"), exitConflict)
	now = now.Add(time.Minute)
	is("0", "0", "1", "1", "1", "120")
	s.set(name("a"), exitStands)
	is("1", "0", "1", "1", "0", "60")
	s.set(name("a"), exitPending)
	s.forget(name("c"))
	is("0", "1", "1", "0", "0", "0")

	for want, of := range map[string]condition{
		exitStands: exitReady("True", reasonConfigured, ""), exitSuspended: exitReady("False", registry.ReasonSuspended, ""),
		exitConflict: exitReady("False", reasonConflict, ""), exitFailed: exitReady("False", "GatewayNotReady", ""),
	} {
		assert.Equal(t, want, stateOf(of, true))
	}
	assert.Equal(t, exitPending, stateOf(condition{}, false))
}

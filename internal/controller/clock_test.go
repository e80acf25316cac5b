package controller

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/clocktest"
)

// TestAClockThatJumpsAgesNothing, a day forward or back: an exit has waited as long as has passed, and requests are added to a status once
// a minute.
func TestAClockThatJumpsAgesNothing(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	synctest.Test(t, func(t *testing.T) {
		clock := &clocktest.Clock{}
		states, tally := newExitStates(clock.Now), &Tally{Now: clock.Now}
		registry := prometheus.NewRegistry()
		require.NoError(t, registry.Register(states))
		states.set(types.NamespacedName{Name: "waits"}, exitPending)
		due := func() bool {
			tally.Count("p", v1alpha1.Requests{Judged: 1}, "")
			return len(tally.due(addEvery)) > 0
		}
		began := time.Now()
		require.True(t, due())
		for _, by := range []time.Duration{day, -day, -day, day} {
			clock.Jump(by)
			assert.InDelta(t, time.Since(began).Seconds(), valueOf(t, registry, "egress_governor_exit_unready_seconds"), 1, "after a jump by %s", by)
			assert.False(t, due(), "after a jump by %s", by)
			time.Sleep(addEvery)
			assert.True(t, due(), "after a jump by %s", by)
		}
	})
}

// valueOf returns what a gauge says.
func valueOf(t *testing.T, from prometheus.Gatherer, name string) float64 {
	t.Helper()
	families, err := from.Gather()
	require.NoError(t, err)
	var found *dto.MetricFamily
	for _, family := range families {
		if family.GetName() == name {
			found = family
		}
	}
	require.NotNil(t, found, name)
	return found.GetMetric()[0].GetGauge().GetValue()
}

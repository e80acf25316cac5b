package egress_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// TestAWaypointIsForAmbientModeAlone, whatever else a namespace has in it.
func TestAWaypointIsForAmbientModeAlone(t *testing.T) {
	t.Parallel()
	mesh := egresstest.Ambient()
	for _, tc := range []struct {
		labels labels.Set
		want   egress.Waypoint
	}{
		{nil, egress.Waypoint{}},
		{labels.Set{"istio-injection": "enabled"}, egress.Waypoint{}},
		{labels.Set{"istio.io/dataplane-mode": "none"}, egress.Waypoint{}},
		{labels.Set{"istio.io/dataplane-mode": "ambient"}, egress.Waypoint{Namespace: "egress", Name: "waypoint"}},
		{labels.Set{"istio.io/dataplane-mode": "ambient", "istio-injection": "enabled"}, egress.Waypoint{Namespace: "egress", Name: "waypoint"}},
	} {
		gw, leaves := mesh.GatewayFor(tc.labels)
		assert.True(t, leaves)
		assert.Equal(t, tc.want, gw.WaypointOf("payments"), tc.labels)
	}
	own := egress.Gateway{Waypoint: egress.Waypoint{Name: "waypoint"}}
	assert.Equal(t, "payments/waypoint", own.WaypointOf("payments").String())
}

func TestABoundEntryIsReadAsIstioDoes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		labels map[string]string
		want   egress.Waypoint
	}{
		{nil, egress.Waypoint{}},
		{map[string]string{"istio.io/use-waypoint-namespace": "egress"}, egress.Waypoint{}},
		{map[string]string{"istio.io/use-waypoint": "none", "istio.io/use-waypoint-namespace": "egress"}, egress.Waypoint{}},
		{map[string]string{"istio.io/use-waypoint": "w"}, egress.Waypoint{Namespace: "payments", Name: "w"}},
		{map[string]string{"istio.io/use-waypoint": "w", "istio.io/use-waypoint-namespace": "egress"}, egress.Waypoint{Namespace: "egress", Name: "w"}},
	} {
		assert.Equal(t, tc.want, egress.BoundTo(tc.labels, "payments"), tc.labels)
	}
}

// TestCallersOfSeveralPorts are those of each.
func TestCallersOfSeveralPorts(t *testing.T) {
	t.Parallel()
	of := func(accounts map[string][]string) egress.Callers { return egress.Callers{Of: accounts} }
	everybody := egress.Callers{Anyone: true}
	a := of(map[string][]string{"a": nil, "b": {"x", "y"}, "c": nil})
	for name, tc := range map[string]struct{ by, want egress.Callers }{
		"everybody": {everybody, a},
		"nobody":    {of(nil), of(map[string][]string{})},
		"some":      {of(map[string][]string{"a": {"z"}, "b": {"y", "z"}, "d": nil}), of(map[string][]string{"a": {"z"}, "b": {"y"}})},
		"all":       {of(map[string][]string{"a": nil, "b": nil}), of(map[string][]string{"a": nil, "b": {"x", "y"}})},
	} {
		assert.Equal(t, tc.want, a.And(tc.by), name)
	}
	assert.Equal(t, a, everybody.And(a))
}

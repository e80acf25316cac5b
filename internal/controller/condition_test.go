package controller

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

func TestAConditionStandsAmongTheOthers(t *testing.T) {
	t.Parallel()
	start := time.Unix(0, 0)
	others := []any{map[string]any{"type": "Reconciled", "status": "True"}}
	first, changed := condition{Type: "Ready", Status: "False", Reason: "A", Message: "a"}.among(others, 1, start)
	require.True(t, changed)
	require.Len(t, others, 1, "the given conditions are not touched")
	_, changed = condition{Type: "Ready", Status: "False", Reason: "A", Message: "a"}.among(first, 1, start.Add(time.Hour))
	require.False(t, changed)
	second, changed := condition{Type: "Ready", Status: "False", Reason: "B", Message: "b"}.among(first, 1, start.Add(time.Hour))
	require.True(t, changed)
	require.Len(t, second, 2)
	assert.Equal(t, "1970-01-01T00:00:00Z", second[1].(map[string]any)["lastTransitionTime"], "the status is the same")
	third, changed := condition{Type: "Ready", Status: "True", Reason: "C", Message: "c"}.among(second, 1, start.Add(time.Hour))
	require.True(t, changed)
	assert.Equal(t, "1970-01-01T01:00:00Z", third[1].(map[string]any)["lastTransitionTime"])
	assert.Equal(t, others[0], third[0])
}

// TestAServiceThatCameLaterIsSaid: clients reach it instead of the host. Of a name below its own nobody knows whether it has such a pod.
func TestAServiceThatCameLaterIsSaid(t *testing.T) {
	t.Parallel()
	for name, reason := range map[string]string{"web.shop": "ServiceHost", "web-0.web.shop": "ExitConfigured"} {
		s := newStage(t, egresstest.Mesh())
		entry := defaultEntry("a", "TLS")
		entry.Spec.Hosts = []string{name}
		s.store(entry)
		s.registry.PutService(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}})
		s.drain()
		said := s.condition("app", "a")
		assert.Equal(t, reason, said["reason"], name)
		if reason == "ServiceHost" {
			assert.Contains(t, said["message"], `host "web.shop" is Service web.shop.svc.cluster.local of the mesh by now`)
		}
	}
}

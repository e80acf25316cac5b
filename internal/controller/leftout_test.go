package controller

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// rule has a namespace's rule of the host eject endpoints after some errors; none for 0.
func (s *stage) rule(namespace string, errors int64) {
	s.t.Helper()
	if errors == 0 {
		s.registry.DeleteRule(namespace, "r")
		return
	}
	rule := empty(istio("DestinationRule"))
	rule.SetNamespace(namespace)
	rule.SetName("r")
	rule.Object["spec"] = map[string]any{"host": host, "trafficPolicy": map[string]any{"outlierDetection": map[string]any{"consecutive5xxErrors": errors}}}
	s.registry.PutRule(s.registry.ReadRule(rule).Rule)
}

// TestWhoseSettingsAreLeftOutIsTold: the first one, too, when somebody comes who says otherwise, and each of them once.
func TestWhoseSettingsAreLeftOutIsTold(t *testing.T) {
	t.Parallel()
	s := newStage(t, egresstest.Mesh())
	told := func(namespace, name string) bool {
		s.drain()
		condition := s.condition(namespace, name)
		assert.Equal(t, "True", condition["status"])
		message, _ := condition["message"].(string)
		return strings.Contains(message, "does not call "+host+" by outlierDetection of DestinationRule "+namespace+"/r, which not all namespaces")
	}
	s.rule("app", 5)
	s.store(defaultEntry("first", "TLS"))
	assert.False(t, told("app", "first"), "alone")

	s.store(sealed("cards", "later", egresstest.GatewayService, "TLS"))
	assert.True(t, told("app", "first"), "somebody came")
	assert.False(t, told("cards", "later"), "he has none")

	s.rule("cards", 5)
	assert.False(t, told("app", "first"), "he wrote the same")
	s.rule("cards", 7)
	assert.True(t, told("app", "first"), "he wrote another")
	assert.True(t, told("cards", "later"))

	s.writes = nil
	s.store(defaultEntry("second", "TLS"))
	s.see("app", "first")
	s.rule("cards", 9)
	assert.True(t, told("app", "second"))
	assert.Equal(t, []string{"status ServiceEntry app"}, s.writes, "of the second alone: nobody is told again")

	s.rule("app", 0)
	assert.False(t, told("app", "first"), "he has none any more")
	s.rule("cards", 0)
	assert.False(t, told("cards", "later"))
}

package registry_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/registry"
)

// TestRoutesThatNarrowAWildcard are known from when they come until they no longer do.
func TestRoutesThatNarrowAWildcard(t *testing.T) {
	t.Parallel()
	r := registry.New(egresstest.TwoGateways())
	const routes = `{hosts: [a.wild.test], exportTo: ["."], tls: [{match: [{sniHosts: [NAMES]}], route: [{destination: {host: a.wild.test}}]}]}`
	narrowing := func() (out []string) {
		for _, by := range r.Narrowing("*.wild.test") {
			assert.Equal(t, []string{"."}, by.ExportTo)
			out = append(out, by.String())
		}
		return out
	}
	with := func(names string) string { return strings.Replace(routes, "NAMES", names, 1) }
	put(t, r, object(t, "VirtualService", "b", "r", with("a.wild.test"), 0))
	put(t, r, object(t, "VirtualService", "a", "r", with("a.wild.test"), 0))
	assert.Equal(t, []string{"VirtualService a/r", "VirtualService b/r"}, narrowing())
	put(t, r, object(t, "VirtualService", "b", "r", with(`a.wild.test, "*.wild.test"`), 0))
	assert.Equal(t, []string{"VirtualService a/r"}, narrowing())
	r.DeleteRoutes("a", "r")
	assert.Empty(t, narrowing())
}

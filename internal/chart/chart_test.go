package chart_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/apiserver"
	"github.com/egress-governor/egress-governor/internal/chart"
	"github.com/egress-governor/egress-governor/internal/config"
)

// TestEachGuardHasItsBinding; test/chart holds them to what helm installs.
func TestEachGuardHasItsBinding(t *testing.T) {
	t.Parallel()
	installed, err := config.Installed()
	require.NoError(t, err)
	guards, err := chart.Guards(installed, "")
	require.NoError(t, err)
	kinds := map[string][]string{}
	for _, object := range guards {
		require.True(t, apiserver.Guards(object), object.GetKind())
		kinds[object.GetKind()] = append(kinds[object.GetKind()], object.GetName())
	}
	assert.Contains(t, kinds["ValidatingAdmissionPolicy"], "egress-governor-host-network")
	for _, guard := range kinds["ValidatingAdmissionPolicy"] {
		assert.Contains(t, kinds["ValidatingAdmissionPolicyBinding"], guard)
	}
}

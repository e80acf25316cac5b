package config_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/config"
)

// TestPeersOfTheNetworkPolicies: what is given stands in the place of the defaults, and an empty list is nobody.
func TestPeersOfTheNetworkPolicies(t *testing.T) {
	t.Parallel()
	configuration, err := config.Parse([]byte(good))
	require.NoError(t, err)
	defaults := configuration.NetworkPolicy
	require.Len(t, defaults.Mesh, 1)
	assert.NotNil(t, defaults.Mesh[0].NamespaceSelector)
	require.Len(t, defaults.DNS.To, 1)
	assert.Equal(t, []int32{53}, defaults.DNS.Ports)
	assert.Empty(t, defaults.APIServer)
	assert.Empty(t, defaults.Allow)

	configuration, err = config.Parse([]byte(good + "networkPolicies: Manage\nnetworkPolicy: {mesh: [{ipBlock: {cidr: 10.0.0.0/8}}], dns: {to: [], ports: [5353]}}\n"))
	require.NoError(t, err)
	given := configuration.NetworkPolicy
	require.Len(t, given.Mesh, 1)
	assert.Nil(t, given.Mesh[0].NamespaceSelector)
	assert.Equal(t, "10.0.0.0/8", given.Mesh[0].IPBlock.CIDR)
	assert.Empty(t, given.DNS.To)
	assert.Equal(t, []int32{5353}, given.DNS.Ports)
}

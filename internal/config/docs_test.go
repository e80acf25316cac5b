package config_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/egress-governor/egress-governor/internal/config"
)

// TestTheGatewaysOfTheDocumentsAreRight, as the chart writes config.gateways into the configuration.
func TestTheGatewaysOfTheDocumentsAreRight(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../docs/install.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile(`(?m)^    config:\n      gateways:\n((?:        .*\n)+)`).FindAllStringSubmatch(string(raw), -1)
	require.Len(t, blocks, 2)
	for _, block := range blocks {
		of, err := config.Parse([]byte("apiVersion: config.egress-governor.io/v1alpha1\nkind: Configuration\ngateways:\n" + block[1]))
		require.NoError(t, err, block[1])
		mesh, err := of.Mesh()
		require.NoError(t, err)
		if !strings.Contains(block[1], "pci") {
			continue
		}
		for egress, want := range map[string]string{"pci": "pci", "": "default"} {
			gw, leaves := mesh.GatewayFor(labels.Set{"egress": egress})
			assert.True(t, leaves)
			assert.Equal(t, want, gw.Name)
		}
	}
}

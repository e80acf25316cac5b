//go:build e2e

package e2e

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestTheInstallationIsSound, as egressctl check and helm test say of it. Istio's images have no release for a tag here.
func TestTheInstallationIsSound(t *testing.T) {
	assert.Contains(t, egressctl(t, "", "check", "--skip", "versions"), " 0 errors")
	assert.Contains(t, string(shared.helm(t.Context(), t, "test", release)), "Succeeded")
}

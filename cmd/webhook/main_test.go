package main

import (
	"crypto/x509"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTheAuthoritiesOfTheWebAreKnown where there is no file of them, as in the image.
func TestTheAuthoritiesOfTheWebAreKnown(t *testing.T) {
	t.Parallel()
	if os.Getenv("SSL_CERT_DIR") == "/nowhere" {
		known, err := x509.SystemCertPool()
		require.NoError(t, err)
		assert.False(t, known.Equal(x509.NewCertPool()))
		return
	}
	again := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$")
	again.Env = append(os.Environ(), "SSL_CERT_DIR=/nowhere", "SSL_CERT_FILE=/nowhere")
	out, err := again.CombinedOutput()
	require.NoError(t, err, string(out))
}

package certs_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/certs"
)

func pair(t *testing.T, serial int64) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	require.NoError(t, err)
	raw, err := x509.MarshalECPrivateKey(private)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw})
}

// serial of the certificate that a client is shown by a server of this source.
func serial(t *testing.T, source *certs.Source) (int64, error) {
	t.Helper()
	server, client := net.Pipe()
	go func() {
		_ = tls.Server(server, &tls.Config{GetCertificate: source.GetCertificate}).Handshake()
		_ = server.Close()
	}()
	conn := tls.Client(client, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the test looks at the serial alone
	if err := conn.Handshake(); err != nil {
		return 0, err
	}
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
}

func TestSourceServesTheNewestCertificate(t *testing.T) {
	t.Parallel()
	var source certs.Source
	_, err := serial(t, &source)
	require.Error(t, err, "no certificate, no handshake")
	require.Error(t, source.Ready())
	for want := range int64(2) {
		certificate, key := pair(t, want+1)
		require.NoError(t, source.Set(certificate, key))
		got, err := serial(t, &source)
		require.NoError(t, err)
		assert.Equal(t, want+1, got)
	}
	require.NoError(t, source.Ready())
	require.Error(t, source.Set([]byte("no"), []byte("pem")))
	got, err := serial(t, &source)
	require.NoError(t, err)
	assert.Equal(t, int64(2), got, "a bad certificate leaves the last one in place")
}

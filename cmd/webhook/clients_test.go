package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// selfSigned is a client's certificate and its own authority.
func selfSigned(t *testing.T) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
}

// TestOnlyClientsOfTheAuthorityAreAnswered, and everybody where none is named.
func TestOnlyClientsOfTheAuthorityAreAnswered(t *testing.T) {
	t.Parallel()
	ours, authority := selfSigned(t)
	theirs, _ := selfSigned(t)
	file := filepath.Join(t.TempDir(), "ca.crt")
	require.NoError(t, os.WriteFile(file, authority, 0o600))
	answered := func(file string, certificates ...tls.Certificate) bool {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		server.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
		only, err := onlyClientsOf(file)
		require.NoError(t, err)
		only(server.TLS)
		server.StartTLS()
		defer server.Close()
		client := server.Client()
		client.Transport.(*http.Transport).TLSClientConfig.Certificates = certificates
		response, err := client.Get(server.URL)
		if err != nil {
			return false
		}
		return response.Body.Close() == nil
	}
	assert.True(t, answered(""))
	assert.True(t, answered(file, ours))
	assert.False(t, answered(file))
	assert.False(t, answered(file, theirs))
	_, err := onlyClientsOf(file + ".gone")
	require.ErrorContains(t, err, "client authority")
	require.NoError(t, os.WriteFile(file, []byte("nothing"), 0o600))
	_, err = onlyClientsOf(file)
	require.ErrorContains(t, err, "holds no certificate")
}

// TestNobodyElseIsAnsweredWhereTheAuthoritysFileIsGone, or empty, by the time the server starts: it was read when the process did.
func TestNobodyElseIsAnsweredWhereTheAuthoritysFileIsGone(t *testing.T) {
	t.Parallel()
	_, authority := selfSigned(t)
	file := filepath.Join(t.TempDir(), "ca.crt")
	require.NoError(t, os.WriteFile(file, authority, 0o600))
	o := options{clientCA: file, tlsMinVersion: "1.3"}
	secure, err := o.secure(nil)
	require.NoError(t, err)
	require.NoError(t, os.Remove(file))
	c := &tls.Config{MinVersion: tls.VersionTLS13}
	secure(c)
	assert.Equal(t, tls.RequireAndVerifyClientCert, c.ClientAuth)
	require.NotNil(t, c.ClientCAs)
}

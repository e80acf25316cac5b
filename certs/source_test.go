package certs

import (
	"context"
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

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/meta/testrestmapper"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// pair returns a PEM-encoded certificate of that serial and its key.
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

// served is the serial of the certificate that a client is shown by a server of this source, 0 where the handshake
// fails.
func served(t *testing.T, source Source) int64 {
	t.Helper()
	server, client := net.Pipe()
	go func() {
		_ = tls.Server(server, &tls.Config{GetCertificate: source.GetCertificate}).Handshake()
		_ = server.Close()
	}()
	// What the server still has to say nobody reads.
	defer func() { _ = client.Close() }()
	conn := tls.Client(client, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the test looks at the serial alone
	if err := conn.HandshakeContext(t.Context()); err != nil {
		return 0
	}
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// fakeManager keeps what it is asked to run, and has the little that sources ask of a manager.
type fakeManager struct {
	manager.Manager
	scheme *runtime.Scheme
	config rest.Config
	added  []manager.Runnable
}

func newFakeManager(t *testing.T) *fakeManager {
	t.Helper()
	scheme := runtime.NewScheme()
	require.NoError(t, clientgoscheme.AddToScheme(scheme))
	return &fakeManager{scheme: scheme}
}

func (m *fakeManager) Add(runnable manager.Runnable) error {
	m.added = append(m.added, runnable)
	return nil
}

func (m *fakeManager) GetConfig() *rest.Config    { return &m.config }
func (m *fakeManager) GetScheme() *runtime.Scheme { return m.scheme }
func (m *fakeManager) GetClient() client.Client {
	return fake.NewClientBuilder().WithScheme(m.scheme).Build()
}
func (m *fakeManager) GetRESTMapper() meta.RESTMapper {
	return testrestmapper.TestOnlyStaticRESTMapper(m.scheme)
}

// everyReplica fails where one of the manager's runnables waits to be elected.
func (m *fakeManager) everyReplica(t *testing.T) {
	t.Helper()
	require.NotEmpty(t, m.added)
	for _, runnable := range m.added {
		elected, ok := runnable.(manager.LeaderElectionRunnable)
		require.True(t, ok && !elected.NeedLeaderElection(), "%T runs in every replica", runnable)
	}
}

// start runs what was added until the test ends.
func (m *fakeManager) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, len(m.added))
	for _, runnable := range m.added {
		go func() { done <- runnable.Start(ctx) }()
	}
	t.Cleanup(func() {
		cancel()
		for range m.added {
			require.NoError(t, <-done)
		}
	})
}

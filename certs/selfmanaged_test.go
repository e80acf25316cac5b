package certs

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"
)

var secretName = types.NamespacedName{Namespace: "egress-system", Name: "webhook-cert"}

func newSelfManaged() *SelfManaged {
	return NewSelfManaged(SelfManagedOptions{
		Secret: secretName, Service: "webhook", ExtraDNSNames: []string{"localhost"}, Configuration: "egress-governor",
	})
}

func TestSelfManagedServesTheNewestCertificate(t *testing.T) {
	t.Parallel()
	source := newSelfManaged()
	assert.Zero(t, served(t, source), "no certificate, no handshake")
	_, err := source.GetCertificate(nil)
	require.ErrorContains(t, err, "no serving certificate yet")
	for _, serial := range []int64{1, 2} {
		require.NoError(t, source.serve(pair(t, serial)))
		assert.Equal(t, serial, served(t, source))
	}
	require.Error(t, source.serve([]byte("not"), []byte("PEM")))
	assert.Equal(t, int64(2), served(t, source), "a bad certificate leaves the last one in place")
}

func TestSelfManagedIsReadyOnceClientsTrustIt(t *testing.T) {
	t.Parallel()
	source := newSelfManaged()
	require.ErrorContains(t, source.Ready(), "no serving certificate yet")
	require.NoError(t, source.serve(pair(t, 1)))
	require.ErrorContains(t, source.Ready(), "the authority is not in the webhook configurations yet")
	close(source.injected)
	require.NoError(t, source.Ready())

	trusted := newSelfManaged()
	close(trusted.injected)
	require.ErrorContains(t, trusted.Ready(), "no serving certificate yet", "an authority alone serves nobody")
}

func TestSelfManagedRotation(t *testing.T) {
	t.Parallel()
	source := newSelfManaged()
	rotation := source.rotator("served")
	assert.Equal(t, secretName, rotation.SecretKey)
	assert.Equal(t, "webhook.egress-system.svc", rotation.DNSName)
	assert.Equal(t, []string{"localhost"}, rotation.ExtraDNSNames)
	assert.Equal(t, source.injected, rotation.IsReady)
	require.Len(t, rotation.Webhooks, 2)
	assert.NotEqual(t, rotation.Webhooks[0].Type, rotation.Webhooks[1].Type)
}

// TestFollowerAsksForItsSecretAlone: the API server authorises a list or watch with this field selector by name.
func TestFollowerAsksForItsSecretAlone(t *testing.T) {
	t.Parallel()
	asked := make(chan *url.URL, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case asked <- r.URL:
		default:
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	t.Cleanup(server.Close)
	mgr := newFakeManager(t)
	mgr.config.Host = server.URL
	follower, err := newSelfManaged().follower(mgr, "")
	require.NoError(t, err)
	require.NoError(t, mgr.Add(follower))
	mgr.everyReplica(t)
	mgr.start(t)
	request := <-asked
	assert.Equal(t, "/api/v1/namespaces/egress-system/secrets", request.Path)
	assert.Equal(t, "metadata.name=webhook-cert", request.Query().Get("fieldSelector"))
}

package certs

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"
)

type asked func(*http.Request)

func (a asked) RoundTrip(request *http.Request) (*http.Response, error) {
	a(request)
	return httptest.NewRecorder().Result(), nil
}

// TestOneSecretIsAskedFor where all were meant; everything else goes as it is.
func TestOneSecretIsAskedFor(t *testing.T) {
	t.Parallel()
	for request, want := range map[[2]string]string{
		{http.MethodGet, "/api/v1/namespaces/release/secrets?watch=true"}: "fieldSelector=metadata.name%3Dcert&watch=true",
		{http.MethodGet, "/api/v1/namespaces/release/secrets"}:            "fieldSelector=metadata.name%3Dcert",
		{http.MethodGet, "/api/v1/namespaces/release/secrets/cert"}:       "",
		{http.MethodGet, "/api/v1/namespaces/other/secrets?limit=5"}:      "limit=5",
		{http.MethodPost, "/api/v1/namespaces/release/secrets"}:           "",
	} {
		var got string
		namer := secretNamer{asked(func(r *http.Request) { got = r.URL.RawQuery }), types.NamespacedName{Namespace: "release", Name: "cert"}}
		sent, err := http.NewRequestWithContext(t.Context(), request[0], "https://api"+request[1], http.NoBody)
		require.NoError(t, err)
		before := sent.URL.String()
		response, err := namer.RoundTrip(sent)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, want, got, request)
		assert.Equal(t, before, sent.URL.String(), "the request itself is its sender's")
	}
}

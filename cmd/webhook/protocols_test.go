package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
)

// TestClientsAreAnsweredByWhatTheWebhookSpeaks, on a connection that stays until the replica goes.
func TestClientsAreAnsweredByWhatTheWebhookSpeaks(t *testing.T) {
	t.Parallel()
	for proto, o := range map[string]options{"HTTP/2.0": parsed(t), "HTTP/1.1": parsed(t, "--enable-http2=false")} {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			stopping := &atomic.Bool{}
			url := served(t, o, stopping)
			client := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // its certificate is of nobody
			asked := func() (reused bool) {
				ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) { reused = got.Reused }})
				request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/validate", bytes.NewReader([]byte("{}")))
				require.NoError(t, err)
				response, err := client.Do(request)
				require.NoError(t, err)
				assert.Equal(t, proto, response.Proto)
				require.NoError(t, response.Body.Close())
				return reused
			}
			assert.False(t, asked())
			assert.True(t, asked())
			stopping.Store(true)
			assert.True(t, asked(), "which says that it is the last on it")
			assert.False(t, asked())
			assert.False(t, asked())
		})
	}
}

// served serves until the test ends, and returns where.
func served(t *testing.T, o options, stopping *atomic.Bool) (url string) {
	t.Helper()
	certificate, _ := selfSigned(t)
	free, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed at once
	require.NoError(t, err)
	port := free.Addr().(*net.TCPAddr).Port
	require.NoError(t, free.Close())
	var ended sync.WaitGroup
	server := drainingServer{webhook.NewServer(webhook.Options{Host: "127.0.0.1", Port: port, TLSOpts: []func(*tls.Config){func(c *tls.Config) {
		c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &certificate, nil }
		c.NextProtos = o.protocols()
	}}}), stopping, time.Second, &ended, func() func() { return func() {} }}
	server.Register("/validate", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(func() {
		stopping.Store(true)
		stop()
		ended.Wait()
	})
	go func() { assert.NoError(t, server.Start(ctx)) }()
	require.Eventually(t, func() bool { return server.StartedChecker()(nil) == nil }, time.Minute, 10*time.Millisecond)
	return "https://127.0.0.1:" + strconv.Itoa(port)
}

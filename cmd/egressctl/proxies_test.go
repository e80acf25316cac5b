package main

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"

	"github.com/egress-governor/egress-governor/internal/checkup"
	"github.com/egress-governor/egress-governor/internal/config"
)

// forwarding is an API server that forwards a port of one pod, where an istiod answers.
func forwarding(t *testing.T, status int, body string) *rest.Config {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/namespaces/istio-system/pods/istiod-1/portforward" {
			http.Error(w, `pods "istiod-2" is forbidden`, http.StatusForbidden)
			return
		}
		if _, err := httpstream.Handshake(r, w, []string{portforward.PortForwardProtocolV1Name}); err != nil {
			return
		}
		streams := make(chan httpstream.Stream, 2)
		conn := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(stream httpstream.Stream, _ <-chan struct{}) error {
			streams <- stream
			return nil
		})
		defer func() { _ = conn.Close() }()
		for {
			select {
			case <-conn.CloseChan():
				return
			case stream := <-streams:
				if stream.Headers().Get("streamType") == "error" {
					_ = stream.Close()
					continue
				}
				assert.Equal(t, "15014", stream.Headers().Get("port"))
				go func() {
					asked, err := http.ReadRequest(bufio.NewReader(stream))
					if assert.NoError(t, err) {
						assert.Equal(t, "/debug/syncz", asked.URL.Path)
					}
					fmt.Fprintf(stream, "HTTP/1.1 %d x\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", status, len(body), body)
					_ = stream.Close()
				}()
			}
		}
	}))
	t.Cleanup(server.Close)
	return &rest.Config{Host: server.URL}
}

// asked is a checking of a mesh with an istiod of a name.
func asked(t *testing.T, of *rest.Config, istiods ...string) *checking {
	t.Helper()
	configuration, err := config.Installed()
	require.NoError(t, err)
	out := &checking{rest: of, out: &checkup.Snapshot{Configuration: configuration, Objects: map[schema.GroupResource][]*unstructured.Unstructured{}}}
	for _, name := range istiods {
		pods := schema.GroupResource{Resource: "pods"}
		out.out.Objects[pods] = append(out.out.Objects[pods], &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"namespace": "istio-system", "name": name, "labels": map[string]any{"app": "istiod"}},
			"status": map[string]any{"phase": "Running"},
		}})
	}
	return out
}

// TestIstiodIsAskedWhatItHasSent, by a forwarded port of each of its pods, and whatever keeps one from answering is said.
func TestIstiodIsAskedWhatItHasSent(t *testing.T) {
	t.Parallel()
	const said = `[{"proxy": "gateway-1.istio-system", "resources": {"type.googleapis.com/envoy.config.cluster.v3.Cluster": {"sent": "b", "acked": "a", "lastError": "no"}}}]`
	found, err := asked(t, forwarding(t, http.StatusOK, said), "istiod-1").proxies(t.Context())
	require.NoError(t, err)
	require.Len(t, found, 1)
	assert.Equal(t, "gateway-1.istio-system", found[0].ID)
	assert.Len(t, found[0].Resources, 1)

	_, err = asked(t, forwarding(t, http.StatusOK, said), "istiod-1", "istiod-2").proxies(t.Context())
	require.ErrorContains(t, err, "istiod istio-system/istiod-2: ")
	_, err = asked(t, forwarding(t, http.StatusUnauthorized, ""), "istiod-1").proxies(t.Context())
	require.ErrorContains(t, err, "/debug/syncz answers 401")
	_, err = asked(t, forwarding(t, http.StatusOK, "nothing"), "istiod-1").proxies(t.Context())
	require.ErrorContains(t, err, "istiod istio-system/istiod-1: ")
	_, err = asked(t, nil).proxies(t.Context())
	require.ErrorContains(t, err, "no istiod runs in namespace istio-system")
}

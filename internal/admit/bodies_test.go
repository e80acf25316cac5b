package admit

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
)

// taking answers 200 to whoever is read.
func taking(t *testing.T, b *bodies) func(size int64) int {
	t.Helper()
	server := b.reading(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body) }))
	return func(size int64) int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, ValidatePath, strings.NewReader("{}"))
		r.ContentLength = size
		answer := deadlines{httptest.NewRecorder()}
		server.ServeHTTP(answer, r)
		if answer.Code == http.StatusServiceUnavailable && answer.Header().Get("Retry-After") != "1" {
			return 0
		}
		return answer.Code
	}
}

// deadlines is a recorder that takes deadlines.
type deadlines struct{ *httptest.ResponseRecorder }

func (deadlines) SetReadDeadline(time.Time) error { return nil }

// TestSoManyLargeRequestsAreRead, and small ones in any case; the others are answered unread, and come again.
func TestSoManyLargeRequestsAreRead(t *testing.T) {
	t.Parallel()
	b := newBodies()
	ask := taking(t, b)
	assert.Equal(t, []int{200, 200, 413}, []int{ask(2), ask(unreadBody - 1), ask(unreadBody)})
	require.True(t, b.large.TryAcquire(maxLarge-1<<20))
	assert.Equal(t, []int{200, 503, 503}, []int{ask(1 << 20), ask(1<<20 + 1), ask(-1)}, "none that does not say its size")
	require.True(t, b.large.TryAcquire(1<<20), "what is read is given back")
	assert.Equal(t, []int{200, 200, 503}, []int{ask(smallBody), ask(mediumBody), ask(mediumBody + 1)}, "large ones do not take the room of others")
	require.True(t, b.medium.TryAcquire(maxMedium), "which is given back, too")
	assert.Equal(t, []int{200, 503}, []int{ask(smallBody), ask(smallBody + 1)})
	b.large.Release(smallBody + 1)
	assert.Equal(t, 200, ask(smallBody+1), "these may have that of large ones")
}

// TestTheAPIServerComesAgain: its client is client-go's.
func TestTheAPIServerComesAgain(t *testing.T) {
	t.Parallel()
	b := newBodies()
	require.True(t, b.large.TryAcquire(maxLarge) && b.medium.TryAcquire(maxMedium))
	asked := 0
	wire := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked == 2 {
			b.large.Release(maxLarge)
		}
		b.reading(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })).ServeHTTP(w, r)
	}))
	defer wire.Close()
	config := &rest.Config{Host: wire.URL, ContentConfig: rest.ContentConfig{NegotiatedSerializer: serializer.NewCodecFactory(runtime.NewScheme()).WithoutConversion(), GroupVersion: &schema.GroupVersion{}}}
	client, err := rest.RESTClientFor(config)
	require.NoError(t, err)
	require.NoError(t, client.Post().AbsPath(ValidatePath).Body(make([]byte, 2*smallBody)).Do(t.Context()).Error())
	assert.Equal(t, 2, asked)
}

// silence is a peer that sends no more, until it is closed.
type silence struct{ closed chan struct{} }

func (s silence) Read([]byte) (int, error) {
	<-s.closed
	return 0, io.EOF
}

// TestAPeerThatSendsNothingKeepsNoRoom, by either version of HTTP, as the server of controller-runtime has the handler.
func TestAPeerThatSendsNothingKeepsNoRoom(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		h := New(Options{Scheme: runtime.NewScheme()})
		h.bodies.within = time.Second
		server := webhook.NewServer(webhook.Options{})
		h.Register(server)
		wire := httptest.NewUnstartedServer(server.WebhookMux())
		wire.EnableHTTP2 = http2
		wire.StartTLS()
		post := func(body io.Reader, size int64) int {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, wire.URL+ValidatePath, body)
			if err != nil {
				return 0
			}
			r.ContentLength = size
			answer, err := wire.Client().Do(r)
			if err != nil {
				return 0
			}
			defer func() { _ = answer.Body.Close() }()
			return answer.StatusCode
		}
		large := func() int { return post(strings.NewReader(strings.Repeat("x", 4<<20)), 4<<20) }
		closed := make(chan struct{})
		for range maxLarge / (unreadBody - 1) {
			go post(io.MultiReader(strings.NewReader(strings.Repeat(" ", 8<<10)), silence{closed}), unreadBody-1)
		}
		full := func() bool {
			free := h.bodies.large.TryAcquire(4 << 20)
			if free {
				h.bodies.large.Release(4 << 20)
			}
			return !free
		}
		require.Eventually(t, full, 5*time.Second, time.Millisecond)
		assert.Equal(t, http.StatusOK, post(strings.NewReader(strings.Repeat("x", mediumBody)), mediumBody), "another one does not wait")
		assert.Eventually(t, func() bool { return !full() }, 5*time.Second, 10*time.Millisecond, "http2: %v", http2)
		assert.Equal(t, http.StatusOK, large())
		close(closed)
		wire.CloseClientConnections()
		wire.Close()
	}
}

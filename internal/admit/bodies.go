package admit

import (
	"errors"
	"io"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// maxLarge is how many bytes of large requests are held at once, whether it is their turn or not, maxMedium how many of those
	// that are not: whoever writes large objects does not have the others refused.
	maxLarge, maxMedium = 24 << 20, 8 << 20
	// mediumBody is the size up to which a request is not large.
	mediumBody = 512 << 10
	// smallBody is the size of requests that are held in any case: all that the API server sends at once take less than the large ones.
	smallBody = 64 << 10
	// unreadBody is the size that controller-runtime does not read: its maxRequestSize.
	unreadBody = 7 << 20
	// readWithin is how long a request may take to come: the rest of the API server's 10 s is for what follows.
	readWithin = 5 * time.Second
)

// bodies has room for what is read of requests.
type bodies struct {
	large, medium *semaphore.Weighted
	within        time.Duration
}

func newBodies() *bodies {
	return &bodies{large: semaphore.NewWeighted(maxLarge), medium: semaphore.NewWeighted(maxMedium), within: readWithin}
}

// reading has a large request read where there is room for it; another one is told to come again. It cannot wait unread: the API
// server sends all on one connection of HTTP/2, whose window it would take from the others. Nor is room kept for one that does not come.
func (b *bodies) reading(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength >= unreadBody {
			http.Error(w, "the request is too large", http.StatusRequestEntityTooLarge)
			return
		}
		control := http.NewResponseController(w)
		if err := control.SetReadDeadline(time.Now().Add(b.within)); err != nil {
			http.Error(w, "no deadline for the request can be set", http.StatusInternalServerError)
			return
		}
		release, is := b.take(r.ContentLength)
		if !is {
			// Without this client-go does not come again.
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many large requests at once; try again", http.StatusServiceUnavailable)
			return
		}
		defer release()
		timed := *r
		timed.Body = &body{r.Body, control}
		next.ServeHTTP(w, &timed)
	})
}

// take takes room for a request of a size, less than 0 for one that names none; false where there is none.
func (b *bodies) take(size int64) (release func(), is bool) {
	if 0 <= size && size <= smallBody {
		return func() {}, true
	}
	if size < 0 {
		size = unreadBody
	}
	if size <= mediumBody && b.medium.TryAcquire(size) {
		return func() { b.medium.Release(size) }, true
	}
	return func() { b.large.Release(size) }, b.large.TryAcquire(size)
}

// body is that of a request, whose deadline is for its reading alone: past it the server would take the client for gone.
type body struct {
	io.ReadCloser
	control *http.ResponseController
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

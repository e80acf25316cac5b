package admit

import (
	"net/http"

	"golang.org/x/sync/semaphore"
)

const (
	// maxBodies is how many bytes of large requests are held at once, whether it is their turn or not.
	maxBodies = 32 << 20
	// smallBody is the size of requests that are held in any case: all that the API server sends at once take less than the large ones.
	smallBody = 64 << 10
)

// reading has a large request read where there is room for it; another one, or one that names no size, is told to come again. It
// cannot wait unread: the API server sends all on one connection of HTTP/2, whose window it would take from the others.
func reading(next http.Handler, room *semaphore.Weighted) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		size := r.ContentLength
		if 0 <= size && size <= smallBody {
			next.ServeHTTP(w, r)
			return
		}
		if size < 0 || size > maxBodies {
			size = maxBodies
		}
		if !room.TryAcquire(size) {
			http.Error(w, "too many large requests at once; try again", http.StatusServiceUnavailable)
			return
		}
		defer room.Release(size)
		next.ServeHTTP(w, r)
	})
}

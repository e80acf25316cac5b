package reliability

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

// wire is what lies between a replica and the API server. What is wrong with it is set while requests and watches go by it.
type wire struct {
	server *httptest.Server

	mu sync.Mutex
	// open is closed while nothing is held back.
	open chan struct{}
	// lag is how much later events of watches come, heard how late one came at most since that was set.
	lag, heard time.Duration
}

func newWire(to *rest.Config) (*wire, error) {
	target, err := url.Parse(to.Host)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(to.CAData) {
		return nil, errors.New("the API server has no authority")
	}
	out := &wire{open: make(chan struct{})}
	close(out.open)
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true},
		FlushInterval: -1, ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ModifyResponse: func(response *http.Response) error {
			if response.Request.URL.Query().Get("watch") == "true" {
				response.Body = out.watched(response.Request.Context(), response.Body)
			}
			return nil
		},
	}
	out.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if out.wait(r.Context()) != nil {
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(w, r)
	}))
	out.server.EnableHTTP2 = true
	out.server.Config.ErrorLog = quiet
	out.server.StartTLS()
	return out, nil
}

// ca is the authority by which the wire serves.
func (w *wire) ca() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.server.Certificate().Raw})
}

// hang has nothing come through until it is mended: no request is answered and no watch says a word, as if nobody were there.
func (w *wire) hang() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open = make(chan struct{})
}

// delay has events of watches come so much later; what was under way stays on its way.
func (w *wire) delay(by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lag = by
	if by > 0 {
		w.heard = 0
	}
}

func (w *wire) mend() {
	w.delay(0)
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.open:
	default:
		close(w.open)
	}
}

// wait returns once nothing is held back.
func (w *wire) wait(ctx context.Context) error {
	w.mu.Lock()
	open := w.open
	w.mu.Unlock()
	select {
	case <-open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *wire) late() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lag
}

// hears takes in how late an event came.
func (w *wire) hears(late time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard = max(w.heard, late)
}

// latest returns how late an event came at most since events are delayed.
func (w *wire) latest() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.heard
}

// watched has what a watch says come as the wire lets it.
func (w *wire) watched(ctx context.Context, body io.ReadCloser) io.ReadCloser {
	type part struct {
		bytes []byte
		at    time.Time
	}
	parts := make(chan part, 1<<16)
	go func() {
		defer close(parts)
		for {
			into := make([]byte, 32<<10)
			n, err := body.Read(into)
			if n > 0 {
				parts <- part{into[:n], time.Now()}
			}
			if err != nil {
				return
			}
		}
	}()
	out, in := io.Pipe()
	go func() {
		defer func() { _ = in.Close() }()
		for part := range parts {
			select {
			case <-time.After(time.Until(part.at.Add(w.late()))):
			case <-ctx.Done():
				return
			}
			if w.wait(ctx) != nil {
				return
			}
			if _, err := in.Write(part.bytes); err != nil {
				return
			}
			w.hears(time.Since(part.at))
		}
	}()
	return struct {
		io.Reader
		io.Closer
	}{out, body}
}

// quiet takes what servers log of connections that break.
var quiet = log.New(io.Discard, "", 0)

// within bounds every wait for a recovery.
const within = 90 * time.Second

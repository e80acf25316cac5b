package page

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/egress-governor/egress-governor/internal/overview"
)

// Server serves the page of what was last read. It is safe for concurrent use.
type Server struct {
	mu    sync.RWMutex
	of    *overview.Overview
	at    time.Time
	main  []byte
	tag   string
	local bool
}

// NewServer returns a server of an overview. A local one answers nobody who calls it by another name than this machine's own: a page
// elsewhere could have its name resolve here, and read.
func NewServer(of *overview.Overview, at time.Time, local bool) (*Server, error) {
	out := &Server{local: local}
	return out, out.Set(of, at)
}

// Set takes in what was read.
func (s *Server) Set(of *overview.Overview, at time.Time) error {
	// The moment is no change.
	same, err := writeMain(of, time.Time{})
	if err != nil {
		return err
	}
	main, err := writeMain(of, at)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(same)
	s.mu.Lock()
	defer s.mu.Unlock()
	if tag := `"` + hex.EncodeToString(sum[:16]) + `"`; tag != s.tag {
		s.of, s.at, s.main, s.tag = of, at, main, tag
	}
	return nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Security-Policy", securityPolicy("'self'")+"; frame-ancestors 'none'")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Cache-Control", "no-store")
	if s.local && !isLocal(r.Host) {
		http.Error(w, "this server is asked by the name of its own machine", http.StatusMisdirectedRequest)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "there is nothing to change here", http.StatusMethodNotAllowed)
		return
	}
	s.mu.RLock()
	of, at, main, tag := s.of, s.at, s.main, s.tag
	s.mu.RUnlock()
	switch r.URL.Path {
	case "/":
		var out bytes.Buffer
		if err := write(&out, of, at, "'self'"); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		header.Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(out.Bytes()) // who asked may be gone
	case "/main":
		header.Set("Content-Type", "text/html; charset=utf-8")
		header.Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write(main) // who asked may be gone
	default:
		http.NotFound(w, r)
	}
}

func isLocal(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(host)
	return host == "localhost" || host == "[::1]" || ip != nil && ip.IsLoopback()
}

// Serve serves on a listener until the context ends, and reads anew at an interval. What cannot be read is told, and what was read
// last stays.
func Serve(ctx context.Context, on net.Listener, s *Server, every time.Duration, read func(context.Context) (*overview.Overview, error), tell func(error)) error {
	server := &http.Server{Handler: s, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}
	go func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				_ = server.Close() // whoever still reads reads it again
				return
			case <-tick.C:
			}
			of, err := read(ctx)
			if err == nil {
				err = s.Set(of, time.Now())
			}
			if err != nil && ctx.Err() == nil {
				tell(err)
			}
		}
	}()
	if err := server.Serve(on); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}

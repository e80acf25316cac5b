package reliability

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// probed is how often a replica is asked whether it is ready; so many refusals in a row take it out of rotation, as with the
	// chart's readinessProbe.
	probed   = 200 * time.Millisecond
	refusals = 3
	// noticed is how long the cluster takes to notice that a container ended.
	noticed = 500 * time.Millisecond
)

// service leads each connection to one of the replicas that are ready, as a Service of Kubernetes does: it tries no second
// one, and connections that are open stay where they are.
type service struct {
	net.Listener
	mu      sync.Mutex
	members map[*member]bool
	// led are the connections that are open.
	led map[net.Conn]bool
}

// member is a replica in the service.
type member struct {
	address string
	ready   bool
	cancel  context.CancelFunc
}

func newService() (*service, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	out := &service{Listener: listener, members: map[*member]bool{}, led: map[net.Conn]bool{}}
	go out.accept()
	return out, nil
}

func (s *service) port() int { return s.Addr().(*net.TCPAddr).Port }

func (s *service) accept() {
	for {
		conn, err := s.Accept()
		if err != nil {
			return
		}
		go s.lead(conn)
	}
}

func (s *service) lead(from net.Conn) {
	defer func() { _ = from.Close() }()
	address := s.pick()
	if address == "" {
		return
	}
	to, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "tcp", address)
	if err != nil {
		return
	}
	defer func() { _ = to.Close() }()
	s.mu.Lock()
	s.led[to] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.led, to)
	}()
	done := make(chan struct{}, 2)
	pipe := func(a, b net.Conn) {
		_, _ = io.Copy(a, b)
		done <- struct{}{}
	}
	go pipe(to, from)
	go pipe(from, to)
	<-done
}

func (s *service) pick() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ready []string
	for member := range s.members {
		if member.ready {
			ready = append(ready, member.address)
		}
	}
	if len(ready) == 0 {
		return ""
	}
	return ready[rand.IntN(len(ready))]
}

// add has the service ask a replica from now on whether it is ready, until it ended.
func (s *service) add(address, probe string) *member {
	ctx, cancel := context.WithCancel(context.Background())
	out := &member{address: address, cancel: cancel}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.members[out] = true
	go s.probe(ctx, out, probe)
	return out
}

// ended takes a replica out once the cluster notices that it ended.
func (s *service) ended(of *member) {
	of.cancel()
	time.AfterFunc(noticed, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.members, of)
	})
}

func (s *service) probe(ctx context.Context, of *member, url string) {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	failed := 0
	for ctx.Err() == nil {
		failed++
		if request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil); err == nil {
			if response, err := client.Do(request); err == nil {
				_ = response.Body.Close()
				if response.StatusCode == http.StatusOK {
					failed = 0
				}
			}
		}
		s.mu.Lock()
		of.ready = ctx.Err() != nil && of.ready || failed == 0 || of.ready && failed < refusals
		s.mu.Unlock()
		time.Sleep(probed)
	}
}

// ready counts the replicas in rotation.
func (s *service) ready() (out int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for member := range s.members {
		if member.ready {
			out++
		}
	}
	return out
}

// cut ends every connection: the API server makes others, by the certificates and authorities of now.
func (s *service) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.led {
		_ = conn.Close()
	}
}

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// logPort serves the log of connections; nothing logs there.
const logPort = 9999

// connection is one that was accepted.
type connection struct {
	Port   int       `json:"port"`
	Caller string    `json:"caller"`
	At     time.Time `json:"at"`
}

// ledger remembers every connection.
type ledger struct {
	mu          sync.Mutex
	connections []connection
}

func (l *ledger) add(c connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.connections = append(l.connections, c)
}

func (l *ledger) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = json.NewEncoder(w).Encode(append([]connection{}, l.connections...))
}

// listener logs what it accepts, before a byte is read.
type listener struct {
	net.Listener
	port   int
	ledger *ledger
}

func (l listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.ledger.add(connection{l.port, address(conn.RemoteAddr()), time.Now()})
	}
	return conn, err
}

func address(of net.Addr) string {
	host, _, err := net.SplitHostPort(of.String())
	if err != nil {
		return of.String()
	}
	return host
}

// outside serves HTTP on 80 and 8080, HTTP/2 without TLS on 8081, gRPC on 50051, TLS on 443, and on 5432 a protocol in
// which the server speaks first.
func outside() error {
	log := &ledger{}
	certificate, err := selfSigned()
	if err != nil {
		return err
	}
	failed := make(chan error)
	serve := func(port int, with func(net.Listener) error) error {
		inner, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			return err
		}
		go func() { failed <- fmt.Errorf("port %d: %w", port, with(listener{inner, port, log})) }()
		return nil
	}
	plain := func(l net.Listener) error { return server().Serve(l) }
	h2c := func(l net.Listener) error {
		s := server()
		s.Protocols = &http.Protocols{}
		s.Protocols.SetUnencryptedHTTP2(true)
		return s.Serve(l)
	}
	encrypted := func(l net.Listener) error {
		s := server()
		s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
		return s.ServeTLS(l, "", "")
	}
	err = errors.Join(serve(80, plain), serve(8080, plain), serve(8081, h2c), serve(443, encrypted), serve(50051, serveGRPC), serve(5432, serveTCP))
	if err != nil {
		return err
	}
	go func() { failed <- http.ListenAndServe(fmt.Sprintf(":%d", logPort), log) }() //nolint:gosec // in a test cluster
	return <-failed
}

// server answers who called, and by which name.
func server() *http.Server {
	return &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		caller, _, _ := net.SplitHostPort(r.RemoteAddr)
		out := answer{Caller: caller, Host: r.Host, Port: port(local), Server: hostname(), Count: requests.add(r.Header.Get("x-id"))}
		if r.TLS != nil {
			out.SNI = r.TLS.ServerName
		}
		if r.Header.Get("x-fail") != "" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(out)
	})}
}

// counter counts what carries an id.
type counter struct {
	mu sync.Mutex
	of map[string]int
}

var requests = &counter{of: map[string]int{}}

func (c *counter) add(id string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of[id]++
	return c.of[id]
}

// hostname is the name of the pod: which server this is.
func hostname() string {
	name, _ := os.Hostname()
	return name
}

func port(of net.Addr) int {
	if tcp, ok := of.(*net.TCPAddr); ok {
		return tcp.Port
	}
	return 0
}

func serveGRPC(l net.Listener) error {
	s := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		if from, ok := peer.FromContext(ctx); ok {
			_ = grpc.SetHeader(ctx, metadata.Pairs("caller", address(from.Addr), "port", fmt.Sprint(port(from.LocalAddr)), "served-by", hostname()))
		}
		return handler(ctx, req)
	}))
	healthv1.RegisterHealthServer(s, health.NewServer())
	return s.Serve(l)
}

func serveTCP(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		_ = json.NewEncoder(conn).Encode(answer{Caller: address(conn.RemoteAddr()), Port: port(conn.LocalAddr()), Server: hostname()})
		go func() { _, _ = io.Copy(io.Discard, conn); _ = conn.Close() }()
	}
}

func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().AddDate(1, 0, 0), DNSNames: []string{"*.test"}}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}, err
}

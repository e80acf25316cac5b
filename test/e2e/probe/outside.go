package main

import (
	"bufio"
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
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// outside serves HTTP on 80 and 8080, HTTP/2 without TLS on 8081, gRPC on 50051, TLS on 443 and 8443, on 5432 and 3306 a
// protocol in which the server speaks first, and on 6379 one in which the client does.
func outside() error {
	log := &ledger{byID: map[string]int{}}
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
	plain := func(l net.Listener) error { return server(log).Serve(l) }
	h2c := func(l net.Listener) error {
		s := server(log)
		s.Protocols = &http.Protocols{}
		s.Protocols.SetUnencryptedHTTP2(true)
		return s.Serve(l)
	}
	encrypted := func(l net.Listener) error {
		s := server(log)
		s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
		return s.ServeTLS(l, "", "")
	}
	err = errors.Join(
		serve(80, plain), serve(8080, plain), serve(8081, h2c), serve(443, encrypted), serve(8443, encrypted), serve(50051, serveGRPC),
		serve(5432, tcp(greet)), serve(3306, tcp(greet)), serve(6379, tcp(reply)),
	)
	if err != nil {
		return err
	}
	go func() { failed <- http.ListenAndServe(fmt.Sprintf(":%d", logPort), log) }() //nolint:gosec // in a test cluster
	return <-failed
}

// server answers who called, and by which name.
func server(log *ledger) *http.Server {
	return &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		caller, _, _ := net.SplitHostPort(r.RemoteAddr)
		out := answer{Caller: caller, Host: r.Host, Port: port(local), Server: hostname(), Count: log.request(r.Header.Get("x-id")), Identity: r.Header.Get("x-forwarded-client-cert")}
		if r.TLS != nil {
			out.SNI = r.TLS.ServerName
		}
		if r.Header.Get("x-fail") != "" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(out)
	})}
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

// tcp serves each connection by a protocol.
func tcp(protocol func(net.Conn)) func(net.Listener) error {
	return func(l net.Listener) error {
		for {
			conn, err := l.Accept()
			if err != nil {
				return err
			}
			go func() { protocol(conn); _, _ = io.Copy(io.Discard, conn); _ = conn.Close() }()
		}
	}
}

// greet says who called before the client says anything.
func greet(conn net.Conn) {
	_ = json.NewEncoder(conn).Encode(answer{Caller: address(conn.RemoteAddr()), Port: port(conn.LocalAddr()), Server: hostname()})
}

// reply says it once the client has said a line.
func reply(conn net.Conn) {
	if _, err := bufio.NewReader(conn).ReadString('\n'); err == nil {
		greet(conn)
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

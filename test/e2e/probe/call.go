package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strconv"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
)

// identity is the folder where the pod's agent leaves its certificate, if it is told to.
const identity = "/var/run/identity/"

// call makes a call on a connection of its own.
func (o order) call(ctx context.Context) (answer, error) {
	switch o.Protocol {
	case "http", "h2c", "tls":
		return o.callHTTP(ctx)
	case "grpc":
		return o.callGRPC(ctx)
	case "tcp":
		return o.callTCP(ctx, "")
	case "echo":
		return o.callTCP(ctx, "who called\n")
	case "postgres":
		return o.callPostgres(ctx)
	}
	return answer{}, fmt.Errorf("protocol %q is not known", o.Protocol)
}

func (o order) address() string { return net.JoinHostPort(o.Host, strconv.Itoa(o.Port)) }

// dial connects, and opens the TLS of the hop.
func (o order) dial(ctx context.Context) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", cmp.Or(o.Dial, o.address()))
	if err != nil || o.Hop == "" {
		return conn, err
	}
	config := &tls.Config{ServerName: o.Hop, InsecureSkipVerify: true} //nolint:gosec // who answers is not what is tested
	certificate, err := tls.LoadX509KeyPair(identity+"cert-chain.pem", identity+"key.pem")
	switch {
	case err == nil:
		config.Certificates = []tls.Certificate{certificate}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, errors.Join(err, conn.Close())
	}
	hop := tls.Client(conn, config)
	if err := hop.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return hop, nil
}

func (o order) callHTTP(ctx context.Context) (answer, error) {
	transport := &http.Transport{
		DisableKeepAlives: true, Protocols: &http.Protocols{},
		DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return o.dial(ctx) },
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: o.SNI}, //nolint:gosec // the certificate is not what is tested
	}
	scheme := "http"
	switch o.Protocol {
	case "tls":
		scheme = "https"
		transport.Protocols.SetHTTP1(true)
	case "h2c":
		transport.Protocols.SetUnencryptedHTTP2(true)
	default:
		transport.Protocols.SetHTTP1(true)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+o.address(), nil)
	if err != nil {
		return answer{}, err
	}
	for name, value := range o.Headers {
		if name == "Host" {
			request.Host = value
		}
		request.Header.Set(name, value)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 400))
		return answer{Status: response.StatusCode}, fmt.Errorf("%s %s", response.Status, text)
	}
	out := answer{Status: response.StatusCode}
	return out, json.NewDecoder(response.Body).Decode(&out)
}

func (o order) callGRPC(ctx context.Context) (answer, error) {
	conn, err := grpc.NewClient("passthrough:///"+o.address(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = conn.Close() }()
	var header metadata.MD
	if _, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{}, grpc.Header(&header)); err != nil {
		return answer{}, err
	}
	first := func(key string) string { return append(header.Get(key), "")[0] }
	port, err := strconv.Atoi(first("port"))
	return answer{Caller: first("caller"), Port: port, Server: first("served-by")}, err
}

// callTCP says what the protocol has the client say, which may be nothing, and listens.
func (o order) callTCP(ctx context.Context, say string) (answer, error) {
	conn, err := o.dial(ctx)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	if _, err := io.WriteString(conn, say); err != nil {
		return answer{}, err
	}
	var out answer
	return out, json.NewDecoder(conn).Decode(&out)
}

// callPostgres asks a PostgreSQL server, by its own TLS, whom it sees.
func (o order) callPostgres(ctx context.Context) (answer, error) {
	conn, err := pgx.Connect(ctx, fmt.Sprintf("postgres://postgres@%s/postgres?sslmode=require", o.address()))
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = conn.Close(ctx) }()
	out := answer{Server: "database"}
	return out, conn.QueryRow(ctx, "select host(inet_client_addr()), inet_server_port() from pg_stat_ssl where pid = pg_backend_pid() and ssl").Scan(&out.Caller, &out.Port)
}

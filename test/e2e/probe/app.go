package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
)

// appPort takes orders; sidecars are told to leave it alone.
const appPort = 9000

// callTimeout bounds one call.
const callTimeout = 5 * time.Second

// order is a call to make.
type order struct {
	// Protocol is http, h2c, tls, grpc or tcp.
	Protocol string            `json:"protocol"`
	Host     string            `json:"host"`
	Port     int               `json:"port"`
	Headers  map[string]string `json:"headers,omitempty"`
}

// answer is what came of it: Caller is whom the server saw, Server which server it was, SNI the name it was asked for by
// TLS, Count how many requests with this x-id it had, and Error is why there was no answer.
type answer struct {
	Server string `json:"server,omitempty"`
	SNI    string `json:"sni,omitempty"`
	Count  int    `json:"count,omitempty"`
	Caller string `json:"caller,omitempty"`
	Host   string `json:"host,omitempty"`
	Port   int    `json:"port,omitempty"`
	Status int    `json:"status,omitempty"`
	Error  string `json:"error,omitempty"`
}

func app() error {
	http.HandleFunc("POST /call", func(w http.ResponseWriter, r *http.Request) {
		var o order
		if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
		defer cancel()
		out, err := o.call(ctx)
		if err != nil {
			out.Error = err.Error()
		}
		_ = json.NewEncoder(w).Encode(out)
	})
	return http.ListenAndServe(fmt.Sprintf(":%d", appPort), nil) //nolint:gosec // in a test cluster
}

// call makes a call on a connection of its own.
func (o order) call(ctx context.Context) (answer, error) {
	address := net.JoinHostPort(o.Host, strconv.Itoa(o.Port))
	switch o.Protocol {
	case "http", "h2c", "tls":
		return o.callHTTP(ctx, address)
	case "grpc":
		return callGRPC(ctx, address)
	case "tcp":
		return callTCP(ctx, address)
	}
	return answer{}, fmt.Errorf("protocol %q is not known", o.Protocol)
}

func (o order) callHTTP(ctx context.Context, address string) (answer, error) {
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, Protocols: &http.Protocols{}} //nolint:gosec // the certificate is not what is tested
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
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+address, nil)
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
		text, _ := io.ReadAll(io.LimitReader(response.Body, 200))
		return answer{Status: response.StatusCode}, fmt.Errorf("%s %s", response.Status, text)
	}
	out := answer{Status: response.StatusCode}
	return out, json.NewDecoder(response.Body).Decode(&out)
}

func callGRPC(ctx context.Context, address string) (answer, error) {
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
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

func callTCP(ctx context.Context, address string) (answer, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	var out answer
	return out, json.NewDecoder(conn).Decode(&out)
}

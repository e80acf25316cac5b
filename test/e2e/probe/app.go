package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// appPort takes orders; sidecars are told to leave it alone.
const appPort = 9000

// callTimeout bounds one call, and patience one that is to be answered however busy the machine is: a resolver whose question is lost asks
// again after five seconds.
const (
	callTimeout = 5 * time.Second
	patience    = 30 * time.Second
)

// order is a call to make.
type order struct {
	// Protocol is http, h2c, tls, grpc, tcp, echo or postgres.
	Protocol string            `json:"protocol"`
	Host     string            `json:"host"`
	Port     int               `json:"port"`
	Headers  map[string]string `json:"headers,omitempty"`
	// Dial is what is dialed in the place of host and port, as curl --connect-to does.
	Dial string `json:"dial,omitempty"`
	// SNI is what the app's own TLS asks for in the place of the host.
	SNI string `json:"sni,omitempty"`
	// Hop is the SNI of TLS around whatever the app speaks, as a sidecar speaks it, with the pod's own certificate of the
	// mesh where there is one.
	Hop string `json:"hop,omitempty"`
	// Patient has the call wait for its answer for as long as patience.
	Patient bool `json:"patient,omitempty"`
}

// answer is what came of it: Caller is whom the server saw, Server which server it was, SNI the name it was asked for by
// TLS, Identity the client certificate it was told of, Count how many requests with this x-id it had, and Error is why
// there was no answer.
type answer struct {
	Server   string `json:"server,omitempty"`
	SNI      string `json:"sni,omitempty"`
	Identity string `json:"identity,omitempty"`
	Count    int    `json:"count,omitempty"`
	Caller   string `json:"caller,omitempty"`
	Host     string `json:"host,omitempty"`
	Port     int    `json:"port,omitempty"`
	Status   int    `json:"status,omitempty"`
	Error    string `json:"error,omitempty"`
}

func app() error {
	http.HandleFunc("POST /call", func(w http.ResponseWriter, r *http.Request) {
		var o order
		if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		timeout := callTimeout
		if o.Patient {
			timeout = patience
		}
		ctx, cancel := context.WithTimeout(r.Context(), timeout)
		defer cancel()
		out, err := o.call(ctx)
		if err != nil {
			out.Error = err.Error()
		}
		_ = json.NewEncoder(w).Encode(out)
	})
	return http.ListenAndServe(fmt.Sprintf(":%d", appPort), nil) //nolint:gosec // in a test cluster
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"

	"github.com/egress-governor/egress-governor/internal/checkup"
)

const (
	// istiodPort is where istiod tells what it has sent, to whom calls it from its own pod, as a forwarded port does.
	istiodPort = 15014
	// maxIstiods and maxProxies bound what is read.
	maxIstiods, maxProxies = 20, 64 << 20
	// forwardWithin is how long one may take to answer.
	forwardWithin = 15 * time.Second
)

// proxies asks every istiod of the mesh what it has sent to the proxies that it serves, as istioctl proxy-status does. Each knows its own.
func (c *checking) proxies(ctx context.Context) (out []checkup.Proxy, err error) {
	istiods := c.out.Istiods()
	if len(istiods) == 0 {
		return nil, fmt.Errorf("no istiod runs in namespace %s", c.out.Configuration.MeshConfig.Namespace)
	}
	if len(istiods) > maxIstiods {
		return nil, fmt.Errorf("%d istiods are more than are asked (%d)", len(istiods), maxIstiods)
	}
	for _, pod := range istiods {
		raw, err := fetch(ctx, c.rest, pod.Namespace, pod.Name, istiodPort, "/debug/syncz")
		if err != nil {
			return nil, fmt.Errorf("istiod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
		var said []checkup.Proxy
		if err := json.Unmarshal(raw, &said); err != nil {
			return nil, fmt.Errorf("istiod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
		out = append(out, said...)
	}
	return out, nil
}

// fetch gets a path from a port of a pod, by a port that is forwarded.
func fetch(ctx context.Context, config *rest.Config, namespace, pod string, port int, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, forwardWithin)
	defer cancel()
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return nil, err
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, err
	}
	to := base.JoinPath("api/v1/namespaces", url.PathEscape(namespace), "pods", url.PathEscape(pod), "portforward")
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, to)
	ready := make(chan struct{})
	forwarder, err := portforward.NewOnAddressesWithContext(ctx, dialer, []string{"127.0.0.1"}, []string{fmt.Sprintf("0:%d", port)}, ready, io.Discard, io.Discard)
	if err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- forwarder.ForwardPorts() }()
	select {
	case err := <-ended:
		return nil, err
	case <-ctx.Done():
		return nil, errors.New("it does not answer")
	case <-ready:
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		return nil, err
	}
	return get(ctx, fmt.Sprintf("http://127.0.0.1:%d%s", ports[0].Local, path))
}

func get(ctx context.Context, from string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // it was read
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", request.URL.Path, response.Status)
	}
	return io.ReadAll(io.LimitReader(response.Body, maxProxies))
}

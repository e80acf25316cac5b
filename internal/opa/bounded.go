package opa

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"

	"github.com/open-policy-agent/opa/v1/plugins/rest"
)

const (
	// maxPacked is how many bytes an answer of a server may have, maxUnpacked how many it may be unpacked: OPA reads all of a bundle
	// before it verifies who signed it, and bounds each of its files alone.
	maxPacked   = 32 << 20
	maxUnpacked = 64 << 20
)

// boundedName is the name under which OPA finds the plugin of a service.
func boundedName(service string) string { return "bounded/" + service }

// boundedServices returns the services with plugins of ours for their credentials, and these plugins.
func boundedServices(services map[string]*rest.Config, raw map[string]map[string]json.RawMessage) (map[string]map[string]json.RawMessage, map[string]*bounded, error) {
	plugins, out := map[string]*bounded{}, map[string]map[string]json.RawMessage{}
	for name, of := range services {
		if of.Credentials.Plugin != nil {
			return nil, nil, fmt.Errorf("services.%s.credentials.plugin: must be left out: there are no plugins of that sort", name)
		}
		plugins[boundedName(name)] = &bounded{of: of}
		named, err := json.Marshal(map[string]string{"plugin": boundedName(name)})
		if err != nil {
			return nil, nil, err
		}
		out[name] = maps.Clone(raw[name])
		out[name]["credentials"] = named
	}
	return out, plugins, nil
}

// bounded is the plugin of a service: it calls with the credentials of the configuration, and reads no more than it may.
type bounded struct{ of *rest.Config }

// NewClient implements rest.HTTPAuthPlugin.
func (b *bounded) NewClient(config rest.Config) (*http.Client, error) {
	inner, err := b.of.AuthPlugin(nil)
	if err != nil {
		return nil, err
	}
	config.Credentials = b.of.Credentials
	out, err := inner.NewClient(config)
	if err != nil {
		return nil, err
	}
	out.Transport = transport{out.Transport}
	return out, nil
}

// Prepare implements rest.HTTPAuthPlugin.
func (b *bounded) Prepare(request *http.Request) error {
	inner, err := b.of.AuthPlugin(nil)
	if err != nil {
		return err
	}
	return inner.Prepare(request)
}

// Start, Stop and Reconfigure implement plugins.Plugin, which OPA wants of it.
func (*bounded) Start(context.Context) error { return nil }

// Stop implements plugins.Plugin.
func (*bounded) Stop(context.Context) {}

// Reconfigure implements plugins.Plugin.
func (*bounded) Reconfigure(context.Context, any) {}

// transport returns answers that are not too large, packed or unpacked.
type transport struct{ of http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(request *http.Request) (*http.Response, error) {
	of := t.of
	if of == nil {
		of = http.DefaultTransport
	}
	out, err := of.RoundTrip(request)
	if err != nil || request.Method != http.MethodGet {
		return out, err
	}
	raw, err := io.ReadAll(io.LimitReader(out.Body, maxPacked+1))
	_ = out.Body.Close() // all of it that counts was read
	switch {
	case err != nil:
		return nil, err
	case len(raw) > maxPacked:
		return nil, fmt.Errorf("the answer has more than %d MiB", maxPacked>>20)
	case unpacked(raw) > maxUnpacked:
		return nil, fmt.Errorf("the answer has more than %d MiB, unpacked", maxUnpacked>>20)
	}
	out.Body = io.NopCloser(bytes.NewReader(raw))
	return out, nil
}

// unpacked is how many bytes something packed has, or one more than it may.
func unpacked(raw []byte) int64 {
	reader, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		// It is not packed, and OPA says whether it should be.
		return int64(len(raw))
	}
	out, _ := io.Copy(io.Discard, io.LimitReader(reader, maxUnpacked+1)) // what is broken, OPA says
	return out
}

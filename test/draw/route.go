package draw

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"pgregory.net/rapid"

	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// VirtualService draws one whose routes lead to hosts of egresstest.NewCluster, sealed and not. Not every one is valid, and not every
// route can be injected.
func VirtualService(t *rapid.T) *unstructured.Unstructured {
	host := rapid.SampledFrom([]string{"api.example.com", "two.example.com", "grpc.example.com", "local." + egresstest.Namespace + ".svc.cluster.local"}).Draw(t, "host")
	spec := map[string]any{"hosts": []any{host}}
	if gateways := rapid.SampledFrom([][]any{nil, nil, {"mesh"}, {"own"}, {"mesh", "own"}}).Draw(t, "gateways"); gateways != nil {
		spec["gateways"] = gateways
	}
	for _, kind := range rapid.SampledFrom([][]string{{"http"}, {"tls"}, {"tcp"}, {"http", "tls"}, {"http", "tls", "tcp"}}).Draw(t, "kinds") {
		var routes []any
		for range rapid.IntRange(1, 3).Draw(t, kind+" routes") {
			routes = append(routes, oneRoute(t, kind, host))
		}
		spec[kind] = routes
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
		"metadata": map[string]any{"name": "vs", "namespace": egresstest.Namespace}, "spec": spec,
	}}
}

func oneRoute(t *rapid.T, kind, host string) map[string]any {
	out := map[string]any{}
	if match := oneMatch(t, kind, host); len(match) > 0 {
		out["match"] = []any{match}
	}
	var destinations []any
	for range rapid.IntRange(1, 3).Draw(t, "destinations") {
		destinations = append(destinations, map[string]any{"destination": destination(t, host), "weight": int64(rapid.IntRange(1, 9).Draw(t, "weight"))})
	}
	out["route"] = destinations
	if kind != "http" {
		return out
	}
	if rapid.Bool().Draw(t, "mirror") {
		out["mirror"] = destination(t, host)
	}
	if rapid.Bool().Draw(t, "timeout") {
		out["timeout"] = "5s"
		out["retries"] = map[string]any{"attempts": int64(2)}
	}
	if rapid.Bool().Draw(t, "rewrite") {
		out["rewrite"] = rapid.SampledFrom([]map[string]any{{"uri": "/v2"}, {"authority": "two.example.com"}}).Draw(t, "rewritten")
	}
	return out
}

func oneMatch(t *rapid.T, kind, host string) map[string]any {
	out := map[string]any{}
	if kind == "tls" {
		out["sniHosts"] = []any{host}
	}
	if rapid.Bool().Draw(t, "port matched") {
		out["port"] = port(t)
	}
	if rapid.Bool().Draw(t, "sources matched") {
		out["sourceLabels"] = map[string]any{"app": "client"}
	}
	if kind == "http" && rapid.Bool().Draw(t, "headers matched") {
		out["headers"] = map[string]any{"x-canary": map[string]any{"exact": "yes"}}
		out["uri"] = map[string]any{"prefix": "/"}
	}
	return out
}

func destination(t *rapid.T, own string) map[string]any {
	host := rapid.SampledFrom([]string{own, own, "two.example.com", "unknown.example.com", "local"}).Draw(t, "destination")
	out := map[string]any{"host": host}
	if rapid.Bool().Draw(t, "port given") {
		out["port"] = map[string]any{"number": port(t)}
	}
	if rapid.IntRange(0, 5).Draw(t, "subset given") == 0 {
		out["subset"] = "v1"
	}
	return out
}

func port(t *rapid.T) int64 {
	return rapid.SampledFrom([]int64{80, 443, 8080, 50051}).Draw(t, "port")
}

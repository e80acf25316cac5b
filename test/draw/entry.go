// Package draw generates the objects that the laws of sealing and injection are checked on, here and against Istio's
// own validation.
package draw

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"pgregory.net/rapid"

	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// Entry draws a ServiceEntry. Not every one can be sealed.
func Entry(t *rapid.T) *unstructured.Unstructured {
	spec := map[string]any{"ports": entryPorts(t)}
	var hosts []any
	for i := range rapid.IntRange(1, 3).Draw(t, "hosts") {
		hosts = append(hosts, fmt.Sprintf("h%d.%s", i, rapid.SampledFrom([]string{"example.com", "Example.org", "a.b.c.test."}).Draw(t, "domain")))
	}
	spec["hosts"] = hosts
	if rapid.Bool().Draw(t, "location given") {
		spec["location"] = rapid.SampledFrom([]string{"MESH_EXTERNAL", "MESH_INTERNAL"}).Draw(t, "location")
	}
	resolution := rapid.SampledFrom([]string{"", "NONE", "DNS", "DNS_ROUND_ROBIN", "STATIC"}).Draw(t, "resolution")
	if resolution != "" {
		spec["resolution"] = resolution
	}
	if endpoints := entryEndpoints(t, resolution); endpoints != nil {
		spec["endpoints"] = endpoints
	}
	if address := rapid.SampledFrom([]string{"", "", "203.0.113.9", "203.0.113.9/32", "2001:db8::9/128", "203.0.113.0/24"}).Draw(t, "address"); address != "" {
		spec["addresses"] = []any{address}
	}
	if rapid.IntRange(0, 3).Draw(t, "alternative names") == 0 {
		spec["subjectAltNames"] = []any{"h0.example.com"}
	}
	metadata := map[string]any{"name": "e", "namespace": egresstest.Namespace}
	if rapid.Bool().Draw(t, "annotated") {
		metadata["annotations"] = map[string]any{"note": "the author's"}
	}
	if rapid.IntRange(0, 2).Draw(t, "labelled") == 0 {
		labels := map[string]any{"team": "a"}
		if waypoint := rapid.SampledFrom([]string{"", "waypoint", "none"}).Draw(t, "waypoint"); waypoint != "" {
			labels["istio.io/use-waypoint"] = waypoint
		}
		metadata["labels"] = labels
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": metadata, "spec": spec,
	}}
}

func entryPorts(t *rapid.T) []any {
	ports := []any{}
	for i := range rapid.IntRange(1, 3).Draw(t, "http ports") {
		ports = append(ports, map[string]any{
			"number": int64(8000 + i), "name": fmt.Sprintf("h%d", i),
			"protocol": rapid.SampledFrom([]string{"HTTP", "HTTP2", "GRPC", "http"}).Draw(t, "protocol"),
		})
	}
	if rapid.Bool().Draw(t, "tls") {
		ports = append(ports, map[string]any{"number": int64(443), "name": "t", "protocol": rapid.SampledFrom([]string{"TLS", "HTTPS"}).Draw(t, "tls protocol")})
	}
	if rapid.IntRange(0, 3).Draw(t, "tcp") == 0 {
		ports = append(ports, map[string]any{"number": int64(5432), "name": "db", "protocol": rapid.SampledFrom([]string{"TCP", "MYSQL"}).Draw(t, "tcp protocol")})
	}
	return ports
}

func entryEndpoints(t *rapid.T, resolution string) (out []any) {
	most := map[string]int{"DNS": 3, "DNS_ROUND_ROBIN": 1, "STATIC": 3}[resolution]
	for i := range rapid.IntRange(0, most).Draw(t, "endpoints") {
		address := fmt.Sprintf("192.0.2.%d", i+1)
		if strings.HasPrefix(resolution, "DNS") {
			address = fmt.Sprintf("e%d.example.net", i)
		}
		out = append(out, map[string]any{
			"address": address, "weight": int64(rapid.IntRange(1, 9).Draw(t, "weight")), "ports": map[string]any{"h0": int64(9000)},
		})
	}
	return out
}

package hop_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"pgregory.net/rapid"

	"github.com/egress-governor/egress-governor/internal/hop"
)

func drawEntry(t *rapid.T) *unstructured.Unstructured {
	ports := []any{}
	tls := rapid.Bool().Draw(t, "tls")
	for i := range rapid.IntRange(1, 3).Draw(t, "http ports") {
		ports = append(ports, map[string]any{
			"number": int64(8000 + i), "name": fmt.Sprintf("h%d", i),
			"protocol": rapid.SampledFrom([]string{"HTTP", "HTTP2", "GRPC", "http"}).Draw(t, "protocol"),
		})
	}
	if tls {
		ports = append(ports, map[string]any{"number": int64(443), "name": "t", "protocol": rapid.SampledFrom([]string{"TLS", "HTTPS"}).Draw(t, "tls protocol")})
	}
	spec := map[string]any{"ports": ports}
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
	var endpoints []any
	most := map[string]int{"DNS": 3, "DNS_ROUND_ROBIN": 1, "STATIC": 3}[resolution]
	for i := range rapid.IntRange(0, most).Draw(t, "endpoints") {
		address := fmt.Sprintf("192.0.2.%d", i+1)
		if strings.HasPrefix(resolution, "DNS") {
			address = fmt.Sprintf("e%d.example.net", i)
		}
		endpoints = append(endpoints, map[string]any{
			"address": address, "weight": int64(rapid.IntRange(1, 9).Draw(t, "weight")), "ports": map[string]any{"h0": int64(9000)},
		})
	}
	if endpoints != nil {
		spec["endpoints"] = endpoints
	}
	metadata := map[string]any{"name": "e", "namespace": "ns"}
	if rapid.Bool().Draw(t, "annotated") {
		metadata["annotations"] = map[string]any{"note": "the author's"}
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": metadata, "spec": spec,
	}}
}

func TestLawsOfSealing(t *testing.T) {
	t.Parallel()
	sealedOnce := false
	rapid.Check(t, func(t *rapid.T) {
		x := drawEntry(t)
		before := x.DeepCopy()
		sealed, err := hop.Seal(x, mesh().Gateways[0], mesh())
		require.Equal(t, before.Object, x.Object, "Seal must not touch what it is given")
		if err != nil {
			var refusals hop.Refusals
			require.ErrorAs(t, err, &refusals)
			return
		}
		want, err := hop.Intent(x, mesh())
		require.NoError(t, err)
		got, err := hop.Intent(sealed, mesh())
		require.NoError(t, err)
		require.Equal(t, want.Object, x.Object, "an unsealed entry is its own intent")
		require.Equal(t, want.Object, got.Object, "Intent(Seal(x)) == Intent(x)")
		again, err := hop.Seal(sealed, mesh().Gateways[0], mesh())
		require.NoError(t, err)
		require.Equal(t, sealed.Object, again.Object, "Seal(Seal(x)) == Seal(x)")
		_, is := hop.SealedTo(sealed, mesh())
		sealedOnce = sealedOnce || is
	})
	require.True(t, sealedOnce, "the generator must draw entries that can be sealed")
}

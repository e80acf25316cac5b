package egress_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
)

func parsed(t *testing.T, manifest string) *unstructured.Unstructured {
	t.Helper()
	out := &unstructured.Unstructured{}
	require.NoError(t, yaml.Unmarshal([]byte(manifest), &out.Object))
	return out
}

func TestGatewayAPIFacts(t *testing.T) {
	t.Parallel()
	for backend, want := range map[string]string{
		`{group: networking.istio.io, kind: Hostname, name: Sealed.test, port: 80}`: "sealed.test 80 GRPC via gateway default leaves",
		`{group: networking.istio.io, kind: Hostname, name: bare.test}`:             "bare.test 0 GRPC via direct  leaves",
		`{group: networking.istio.io, kind: Hostname, name: nobody.test}`:           "nobody.test 0 GRPC via unregistered  leaves",
		`{group: networking.istio.io, kind: Hostname, name: internal.test}`:         "internal.test 0 GRPC via mesh  stays",
		`{name: local, port: 8080}`:                                                 "local.payments.svc.cluster.local 8080 GRPC via mesh  stays",
		`{kind: Service, group: "", name: local, namespace: shop}`:                  "local.shop.svc.cluster.local 0 GRPC via mesh  stays",
		`{group: example.com, kind: Bucket, name: x}`:                               "",
	} {
		for path, rule := range map[string]string{
			"spec.rules[0].backendRefs[0].name":                                     `{backendRefs: [` + backend + `]}`,
			"spec.rules[0].filters[1].requestMirror.backendRef.name":                `{filters: [{type: URLRewrite}, {requestMirror: {backendRef: ` + backend + `}}]}`,
			"spec.rules[0].backendRefs[0].filters[0].requestMirror.backendRef.name": `{backendRefs: [{kind: Other, filters: [{requestMirror: {backendRef: ` + backend + `}}]}]}`,
		} {
			got := egress.GatewayAPIFacts(parsed(t, "kind: GRPCRoute\nmetadata: {namespace: payments}\nspec: {rules: ["+rule+"]}"), mesh().Gateways[0], mesh(), cluster())
			if want == "" {
				assert.Empty(t, got.Routes, backend)
				continue
			}
			require.Len(t, got.Routes, 1, backend)
			require.Len(t, got.Hosts, 1, backend)
			route, leaves := got.Routes[0], "stays"
			if got.Hosts[0].Leaves {
				leaves = "leaves"
			}
			assert.Equal(t, want, fmt.Sprintf("%s %d %s via %s %s %s", route.Host, route.Port, route.Protocol, route.Via, route.Gateway, leaves))
			assert.Equal(t, path, route.Path.String())
		}
	}
}

func TestWorkloadFacts(t *testing.T) {
	t.Parallel()
	with := mesh()
	with.CIDRs = []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}
	for address, leaves := range map[string]bool{"10.9.1.2": false, "203.0.113.7": true, "vm.example.com": true, "local.payments.svc.cluster.local": false} {
		got := egress.WorkloadFacts(parsed(t, "kind: WorkloadEntry\nmetadata: {namespace: payments}\nspec: {address: "+address+"}"), with.Gateways[0], with, cluster())
		require.Len(t, got.Hosts, 1)
		assert.True(t, got.Hosts[0].Endpoint)
		assert.Equal(t, leaves, got.Hosts[0].Leaves, address)
		assert.Equal(t, "spec.address", got.Hosts[0].Path.String())
	}
	assert.Empty(t, egress.WorkloadFacts(parsed(t, "kind: WorkloadEntry\nspec: {}"), with.Gateways[0], with, cluster()).Hosts)
}

package integration

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

func virtualService(t *testing.T, version, namespace, spec string) *unstructured.Unstructured {
	t.Helper()
	return object(t, namespace, "apiVersion: networking.istio.io/"+version+"\nkind: VirtualService\nmetadata: {name: routes}\nspec: "+spec)
}

func destinations(vs *unstructured.Unstructured) []string {
	var out []string
	for _, d := range egress.Destinations(vs) {
		out = append(out, d.Host())
	}
	return out
}

func TestRoutesToExternalHostsGetTheGateway(t *testing.T) {
	t.Parallel()
	ns := namespace(t, nil)
	host := ns + ".example.com"
	se := entry(t, "v1", ns, "api", `{hosts: [`+host+`],
		resolution: DNS,
		ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}`)
	require.NoError(t, shared.Client.Create(t.Context(), se))
	eventually(t, func() bool { return ready(get(t, se), "True") }, "ExitReady")
	vs := virtualService(t, "v1alpha3", ns, `{hosts: [`+host+`],
		http: [{match: [{headers: {x: {exact: a}}}],
			timeout: 3s,
			route: [{destination: {host: `+host+`}, weight: 40}, {destination: {host: local}, weight: 60}]}],
		tls: [{match: [{sniHosts: [`+host+`]}],
			route: [{destination: {host: `+host+`, port: {number: 443}}}]}]}`)
	require.NoError(t, shared.Client.Create(t.Context(), vs))
	stored := get(t, vs)
	assert.Equal(t, []string{gatewayHost, "local", gatewayHost}, destinations(stored))
	assert.NotEmpty(t, stored.GetAnnotations()[hop.IntentAnnotation])
	timeout, _, _ := unstructured.NestedSlice(stored.Object, "spec", "http")
	assert.Equal(t, "3s", timeout[0].(map[string]any)["timeout"])
	require.NoError(t, shared.Client.Update(t.Context(), stored))
	assert.Equal(t, stored.GetResourceVersion(), get(t, vs).GetResourceVersion())
}

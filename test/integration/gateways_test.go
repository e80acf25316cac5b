package integration

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/test/controlplane"
)

var throughPCI = map[string]string{"egress": "pci"}

// exitVersions are the names and versions of a host's exit set.
func exitVersions(t *testing.T, host string) (out []string) {
	t.Helper()
	objects, err := controlplane.ExitSet(t.Context(), shared.Client, controlplane.GatewayNamespace, host)
	require.NoError(t, err)
	for _, object := range objects {
		out = append(out, fmt.Sprintf("%s %s %s", object.GetKind(), object.GetName(), object.GetResourceVersion()))
	}
	return out
}

// TestTwoGatewaysInOneNamespaceKeepAnExitEach: both routes stand, and nothing is written once they do.
func TestTwoGatewaysInOneNamespaceKeepAnExitEach(t *testing.T) {
	t.Parallel()
	const host = "both.example.com"
	spec := strings.ReplaceAll(hostSpec, "HOST", host)
	first, second := entry(t, "v1", namespace(t, nil), "shared", spec), entry(t, "v1", namespace(t, throughPCI), "shared", spec)
	for _, in := range []*unstructured.Unstructured{first, second} {
		require.NoError(t, shared.Client.Create(t.Context(), in))
		eventually(t, func() bool { return ready(get(t, in), "True") }, "ExitReady")
	}
	assert.NotEqual(t, endpoints(t, get(t, first)), endpoints(t, get(t, second)))
	before := exitVersions(t, host)
	require.Len(t, before, 3, "where the host is, and the routes of each gateway")

	// Another entry's exit comes up, so the controller has gone on.
	marker := entry(t, "v1", first.GetNamespace(), "marker", strings.ReplaceAll(hostSpec, "HOST", "after-both.example.com"))
	require.NoError(t, shared.Client.Create(t.Context(), marker))
	eventually(t, func() bool { return ready(get(t, marker), "True") }, "ExitReady")
	assert.Equal(t, before, exitVersions(t, host), "nothing is written for ever")

	require.NoError(t, shared.Client.Delete(t.Context(), first))
	eventually(t, func() bool { return len(exitVersions(t, host)) == 2 }, "the first gateway's routes go")
	assert.True(t, ready(get(t, second), "True"))
	require.NoError(t, shared.Client.Delete(t.Context(), second))
	eventually(t, func() bool { return len(exitVersions(t, host)) == 0 }, "the exit goes")
}

// TestARouteIsInjectedWithTheGatewayOfItsNamespace, whoever named the host first.
func TestARouteIsInjectedWithTheGatewayOfItsNamespace(t *testing.T) {
	t.Parallel()
	const host = "two-ways.example.com"
	older, cards := namespace(t, nil), namespace(t, throughPCI)
	for _, ns := range []string{older, cards} {
		in := entry(t, "v1", ns, "api", strings.ReplaceAll(hostSpec, "HOST", host))
		require.NoError(t, shared.Client.Create(t.Context(), in))
		eventually(t, func() bool { return ready(get(t, in), "True") }, "ExitReady")
	}
	vs := virtualService(t, "v1", cards, `{hosts: [`+host+`],
		tls: [{match: [{sniHosts: [`+host+`]}],
			route: [{destination: {host: `+host+`, port: {number: 443}}}]}]}`)
	require.NoError(t, shared.Client.Create(t.Context(), vs))
	assert.Equal(t, []string{pciService + ".istio-system.svc.cluster.local"}, destinations(get(t, vs)))
}

// TestGatewaysOfANamespaceShareTheDefinitionOfAHost: a later one that differs is told who owns it.
func TestGatewaysOfANamespaceShareTheDefinitionOfAHost(t *testing.T) {
	t.Parallel()
	const host = "one-definition.example.com"
	owner := entry(t, "v1", namespace(t, nil), "owner", strings.ReplaceAll(hostSpec, "HOST", host))
	require.NoError(t, shared.Client.Create(t.Context(), owner))
	eventually(t, func() bool { return ready(get(t, owner), "True") }, "ExitReady")
	other := entry(t, "v1", namespace(t, throughPCI), "other", `{hosts: [`+host+`],
		resolution: STATIC,
		endpoints: [{address: 203.0.113.7}],
		ports: [{number: 443, name: tls, protocol: TLS}]}`)
	err := shared.Client.Create(t.Context(), other)
	require.Error(t, err)
	assert.Contains(t, err.Error(), "host-conflict")
	assert.Contains(t, err.Error(), owner.GetNamespace()+"/owner")
}

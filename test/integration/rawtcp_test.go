package integration

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
)

// TestRawTCPThatASidecarCannotTellApart: the second comer is told of the first, whoever brings it; and the shared control
// plane has no Istio, so that no sidecar is known to capture DNS.
func TestRawTCPThatASidecarCannotTellApart(t *testing.T) {
	t.Parallel()
	first, second := namespace(t, vaultClients), namespace(t, vaultClients)
	// A number of its own: other tests have raw TCP too.
	raw := func(host, protocol, more string) string {
		return fmt.Sprintf(`{hosts: [%s.raw.test], %s ports: [{number: 7432, name: p, protocol: %s}]}`, host, more, protocol)
	}
	const dns = "resolution: DNS,"
	exported := fmt.Sprintf("exportTo: [., %s], %s", second, dns)
	held := entry(t, "v1", first, "held", raw("held", "MYSQL", exported))
	require.NoError(t, shared.Client.Create(t.Context(), held))
	eventually(t, func() bool { return ready(get(t, held), "True") }, "ExitReady")

	for name, spec := range map[string]string{"raw": raw("second", "TCP", dns), "told-apart": raw("third", "HTTP", dns)} {
		err := shared.Client.Create(t.Context(), entry(t, "v1", second, name, spec))
		require.Error(t, err, name)
		assert.Contains(t, err.Error(), "tcp-port-taken", name)
		assert.Contains(t, err.Error(), first+"/held", name)
		assert.Contains(t, err.Error(), "ask the owners of ServiceEntry "+first+"/held to export it to its own namespace alone", name)
	}
	require.NoError(t, shared.Client.Create(t.Context(), entry(t, "v1", namespace(t, vaultClients), "unseen", raw("unseen", "TCP", dns))))
	require.NoError(t, shared.Client.Create(t.Context(), entry(t, "v1", second, "addressed",
		raw("addressed", "TCP", "resolution: STATIC, addresses: [203.0.113.32/32], endpoints: [{address: 203.0.113.32}],"))))

	err := shared.Client.Create(t.Context(), entry(t, "v1", second, "made-up", raw("made-up", "TCP", dns+" addresses: [240.1.1.1],")))
	require.Error(t, err)
	assert.Contains(t, err.Error(), "unreached-address")

	require.NoError(t, shared.Client.Delete(t.Context(), held))
	eventually(t, func() bool {
		return shared.Client.Create(t.Context(), entry(t, "v1", second, "raw", raw("second", "TCP", dns))) == nil
	}, "the port is free")
}

// TestAServiceHasTheNumberOfARawPort, of those protocols that share no listener.
func TestAServiceHasTheNumberOfARawPort(t *testing.T) {
	t.Parallel()
	ns := namespace(t, vaultClients)
	service := &corev1.Service{ObjectMeta: named(ns, "shop"), Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http-shop", Port: 7433}}}}
	require.NoError(t, shared.Client.Create(t.Context(), service))
	spec := func(protocol string) string {
		return `{hosts: [shop.raw.test], resolution: DNS, ports: [{number: 7433, name: p, protocol: ` + protocol + `}]}`
	}
	eventually(t, func() bool {
		try := entry(t, "v1", ns, "mysql", spec("MYSQL"))
		err := shared.Client.Create(t.Context(), try)
		if err == nil {
			require.NoError(t, shared.Client.Delete(t.Context(), try))
			return false
		}
		return strings.Contains(err.Error(), "tcp-port-taken") && strings.Contains(err.Error(), "Service shop."+ns+".svc.cluster.local")
	}, "the Service is known")
	client, heard := warned(t)
	require.NoError(t, client.Create(t.Context(), entry(t, "v1", ns, "tcp", spec("TCP"))))
	assert.Contains(t, fmt.Sprint(heard.texts), "a TCP server that speaks first is not heard")
}

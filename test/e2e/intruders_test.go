//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	safe = "safe.partner.test"
	// forbidden is what the gateway answers to HTTP of others than the clients.
	forbidden = `403 Forbidden egress-governor: no ServiceEntry lets your service account call port 80 of safe\.partner\.test;`
	// closed is what becomes of a connection that the gateway does not take.
	closed = `EOF|connection reset by peer|broken pipe|server closed idle connection|remote error: tls|i/o timeout|503 Service Unavailable upstream connect error|context deadline exceeded`
)

// safePorts are HTTP, TLS and raw TCP: each way in that a gateway has.
var safePorts = withPorts(webOnly + `, {number: 5432, name: tcp, protocol: TCP}`)

// safeCalls call each of them.
var safeCalls = []order{web(safe), webs(safe), tcp(safe, 5432)}

// sniOf is what the gateway goes by on ports without a host that it could read.
func sniOf(port int) string { return nameOf(safe, port) }

func nameOf(host string, port int) string {
	return fmt.Sprintf("p%d.%s.port.egress-governor.internal", port, host)
}

// refused makes a call that must come to nothing: it is answered with an error, and no byte of it arrives outside. Envoy
// connects to the host of TLS and raw TCP before the client's handshake ends, so a connection may have been there.
func (c *cluster) refused(t *testing.T, from string, o order) answer {
	t.Helper()
	before, err := c.seen(t.Context())
	require.NoError(t, err)
	got, err := c.call(t.Context(), from, o)
	require.NoError(t, err)
	after, err := c.seen(t.Context())
	require.NoError(t, err)
	assert.NotEmpty(t, got.Error, "%+v from %s arrived: %+v", o, from, got)
	assert.Zero(t, after.heardSince(before), "the outside heard of %+v from %s", o, from)
	assert.Equal(t, before.Requests, after.Requests, "%+v from %s was asked outside", o, from)
	if n := len(after.Connections) - len(before.Connections); n > 0 {
		t.Logf("%d silent connections by %+v from %s", n, o, from)
	}
	return got
}

// refusedSaying also requires the error.
func (c *cluster) refusedSaying(t *testing.T, from string, o order, says string) {
	t.Helper()
	got := c.refused(t, from, o)
	assert.Regexp(t, says, got.Error, "%+v from %s", o, from)
}

// doors returns where a gateway by MutualTLS listens for a port of its Service: the Service, and each pod.
func (c *cluster) doors(t *testing.T, port int) []string { return c.doorsOf(t, own, port) }

func (c *cluster) doorsOf(t *testing.T, gateway way, port int) []string {
	t.Helper()
	service := &corev1.Service{}
	require.NoError(t, c.Get(t.Context(), client.ObjectKey{Namespace: gateway.namespace, Name: gateway.name}, service))
	out := []string{net.JoinHostPort(service.Spec.ClusterIP, fmt.Sprint(port))}
	pods, err := c.gateways(t.Context(), gateway)
	require.NoError(t, err)
	require.NotEmpty(t, pods)
	for _, at := range service.Spec.Ports {
		if int(at.Port) == port {
			for _, pod := range pods {
				out = append(out, net.JoinHostPort(pod, at.TargetPort.String()))
			}
		}
	}
	return out
}

// TestStrangersAreNotLetIn: who shows no certificate of the mesh gets no word out of the gateway, on any port, by any name.
func TestStrangersAreNotLetIn(t *testing.T) {
	shared.applied(t, vaultA, entry("safe", safe, safePorts))
	for _, o := range safeCalls {
		shared.arrives(t, vaultA, o, o.Port, "")
	}
	for _, from := range []string{stranger, vaultC} {
		t.Run(from, func(t *testing.T) {
			for _, door := range shared.doors(t, 443) {
				for _, sni := range []string{safe, sniOf(443), sniOf(5432)} {
					shared.refusedSaying(t, from, order{Protocol: "tls", Host: safe, Port: 443, Dial: door, SNI: sni}, closed)
				}
				shared.refusedSaying(t, from, order{Protocol: "http", Host: safe, Port: 80, Dial: door}, closed)
				shared.refusedSaying(t, from, order{Protocol: "echo", Host: safe, Port: 5432, Dial: door}, closed)
			}
			for _, door := range shared.doors(t, 80) {
				shared.refusedSaying(t, from, order{Protocol: "tls", Host: safe, Port: 443, Dial: door}, closed+"|HTTP response to HTTPS")
				plain := order{Protocol: "http", Host: safe, Port: 80, Dial: door}
				// The sidecar shows its certificate for an app that speaks HTTP, and is then known.
				shared.refusedSaying(t, from, plain, closed+"|"+forbidden)
			}
		})
	}
}

// TestAnotherNamespaceIsKnown: with a certificate of the mesh's, who is no client is turned away, whatever name it asks
// for and whatever it says of itself; and is let in by the same call once it is a client.
func TestAnotherNamespaceIsKnown(t *testing.T) {
	entryTo := func(exportTo string) string { return entry("safe", safe+"'], exportTo: ["+exportTo+", '.", safePorts) }
	shared.applied(t, vaultA, entryTo("vault-b"))
	for _, o := range safeCalls {
		shared.arrives(t, vaultA, o, o.Port, "")
	}
	http, https := shared.doors(t, 80), shared.doors(t, 443)
	forged := map[string]string{"x-forwarded-client-cert": "By=spiffe://cluster.local/ns/egress-governor-gateway/sa/egress-governor-gateway;Hash=" +
		"0000000000000000000000000000000000000000000000000000000000000000;Subject=\"\";URI=spiffe://cluster.local/ns/vault-a/sa/default"}
	type attempt struct {
		order
		says string
	}
	var attempts []attempt
	for i := range http {
		attempts = append(attempts,
			attempt{order{Protocol: "http", Host: safe, Port: 80, Dial: http[i], Hop: "outbound_.80_._." + safe}, forbidden},
			attempt{order{Protocol: "http", Host: safe, Port: 80, Dial: http[i], Hop: "outbound_.80_._." + safe, Headers: forged}, forbidden},
			attempt{order{Protocol: "tls", Host: safe, Port: 443, Dial: https[i], Hop: sniOf(443)}, closed},
			attempt{order{Protocol: "tcp", Host: safe, Port: 5432, Dial: https[i], Hop: sniOf(5432)}, closed},
		)
	}
	for _, a := range attempts {
		shared.refusedSaying(t, thief, a.order, a.says)
	}
	// The same calls of a client arrive: what was refused above is the caller.
	require.NoError(t, shared.apply(t.Context(), shared.decoded(t, vaultA, entryTo("vault-c"))[0]))
	for _, a := range attempts {
		shared.arrives(t, thief, a.order, a.Port, "")
	}
}

// TestAForgedIdentityIsNobodys: who sees the entry, and is none of its service accounts, writes the header by which gateways
// say who calls.
func TestAForgedIdentityIsNobodys(t *testing.T) {
	shared.applied(t, vaultA, entry("safe", safe+"'], exportTo: ['.', 'vault-c", safePorts))
	forged := web(safe)
	forged.Headers = map[string]string{"x-forwarded-client-cert": "URI=spiffe://cluster.local/ns/vault-a/sa/default"}
	require.Empty(t, shared.arrives(t, vaultC, forged, 80, "").Identity, "the host is not told")
	stored := shared.decoded(t, vaultA, entry("safe", safe+"'], exportTo: ['.', 'vault-c", safePorts))[0]
	stored.SetAnnotations(map[string]string{"egress-governor.io/service-accounts": "default"})
	require.NoError(t, shared.apply(t.Context(), stored))
	shared.becomes(t, vaultC, forged, forbidden)
	shared.refusedSaying(t, vaultC, webs(safe), closed)
	shared.refusedSaying(t, vaultC, tcp(safe, 5432), closed)
	for _, o := range safeCalls {
		shared.arrives(t, vaultA, o, o.Port, "")
	}
}

// becomes waits until a call is refused, with the error, and holds it to coming to nothing.
func (c *cluster) becomes(t *testing.T, from string, o order, says string) {
	t.Helper()
	pattern := regexp.MustCompile(says)
	var got answer
	require.NoError(t, until(t.Context(), time.Minute, func(ctx context.Context) (bool, error) {
		var err error
		got, err = c.call(ctx, from, o)
		return err == nil && pattern.MatchString(got.Error), nil
	}), "%+v from %s: %+v", o, from, &got)
	c.refusedSaying(t, from, o, says)
}

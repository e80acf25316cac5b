//go:build e2e

package e2e

import (
	"testing"

	"github.com/stretchr/testify/require"
)

const ports = "ports.partner.test"

// Calls of protocols that name no host, or name it on another port than the usual.
func tcp(host string, port int) order      { return order{Protocol: "tcp", Host: host, Port: port} }
func echo(host string) order               { return order{Protocol: "echo", Host: host, Port: 6379} }
func on(port int, host string) order       { return order{Protocol: "tls", Host: host, Port: port} }
func arrived(from string, o order) arrival { return arrival{from, o, o.Port, ""} }

// portsOf is the list of an entry's ports: web, TLS on two, and protocols in which the server or the client speaks first.
const (
	webOnly  = `{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}`
	alsoTLS  = `{number: 8443, name: tls-alt, protocol: TLS}`
	rawPorts = `{number: 5432, name: tcp-postgres, protocol: TCP}, {number: 3306, name: mysql, protocol: TCP}, {number: 6379, name: tcp-redis, protocol: TCP}`
)

func withPorts(list string) string { return "resolution: DNS, ports: [" + list + "]" }

// TestRawTCP calls ports whose protocols name no host: the gateway by MutualTLS leads each where it belongs.
func TestRawTCP(t *testing.T) {
	every := []arrival{
		arrived(vaultA, web(ports)), arrived(vaultA, webs(ports)), arrived(vaultA, on(8443, ports)),
		arrived(vaultA, tcp(ports, 5432)), arrived(vaultA, tcp(ports, 3306)), arrived(vaultA, echo(ports)),
	}
	for name, shape := range map[string]shape{
		"all in one entry": {entry("ports", ports+"'], exportTo: ['.', 'vault-b", withPorts(webOnly+", "+alsoTLS+", "+rawPorts)),
			append([]arrival{arrived(vaultB, tcp(ports, 5432)), arrived(vaultB, echo(ports))}, every...)},
		"two entries in two namespaces": {
			entry("ports", ports+"'], exportTo: ['.", withPorts(webOnly+", "+rawPorts)) + inNamespace(vaultB, entry("ports", ports+"'], exportTo: ['.", withPorts(alsoTLS+", {number: 5432, name: tcp, protocol: TCP}"))),
			[]arrival{
				every[0], every[1], every[3], every[4], every[5], arrived(vaultB, on(8443, ports)), arrived(vaultB, tcp(ports, 5432)),
			},
		},
		"PostgreSQL": {entry("sql", "sql.partner.test", withPorts(`{number: 5432, name: tcp-sql, protocol: TCP}`)),
			[]arrival{arrived(vaultA, order{Protocol: "postgres", Host: "sql.partner.test", Port: 5432})}},
		"static": {entry("static", "static.partner.test", `resolution: STATIC, endpoints: [{address: OUTSIDE}], ports: [{number: 6379, name: tcp, protocol: TCP}]`),
			[]arrival{arrived(vaultA, echo("static.partner.test"))}},
		"target port": {entry("api", api, `resolution: DNS, ports: [{number: 15432, targetPort: 5432, name: tcp, protocol: TCP}]`),
			[]arrival{{vaultA, tcp(api, 15432), 5432, ""}}},
	} {
		t.Run(name, func(t *testing.T) { shared.shown(t, vaultA, shape) })
	}
}

// TestAPortIsItsNamespaces: an entry opens its own ports to its own namespace, whatever others define of the host.
func TestAPortIsItsNamespaces(t *testing.T) {
	shared.applied(t, vaultA, entry("ports", ports+"'], exportTo: ['.", withPorts(rawPorts)))
	shared.applied(t, vaultB, entry("ports", ports+"'], exportTo: ['.", withPorts(webOnly)))
	shared.arrives(t, vaultA, tcp(ports, 5432), 5432, "")
	shared.arrives(t, vaultB, web(ports), 80, "")
	for _, attempt := range []struct {
		from string
		order
	}{{vaultB, tcp(ports, 5432)}, {vaultB, echo(ports)}, {vaultA, web(ports)}, {vaultA, webs(ports)}} {
		got := shared.refused(t, attempt.from, attempt.order)
		require.NotEmpty(t, got.Error)
	}
}

package routing

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// apiEntries are those of app-a, and a Service in each namespace.
const apiEntries = `
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: app-a}
spec: {hosts: [a.example.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: b, namespace: app-a}
spec: {hosts: [b.example.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: two, namespace: app-a}
spec: {hosts: [two.example.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}, {number: 8080, name: alt, protocol: HTTP}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: grpc, namespace: app-a}
spec: {hosts: [grpc.example.com], resolution: DNS, ports: [{number: 50051, name: grpc, protocol: GRPC}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wild, namespace: app-a}
spec: {hosts: ["*.wild.test"], resolution: DNS, endpoints: [{address: www.wild.test}], ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: one, namespace: app-a}
spec: {hosts: [one.wild.test], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: named, namespace: app-b}
spec: {hosts: [a.example.com], exportTo: [app-c], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}
---
apiVersion: v1
kind: Service
metadata: {name: local, namespace: app-a}
spec: {clusterIP: 10.0.0.90, selector: {app: local}, ports: [{name: http, port: 80}, {name: tls, port: 443}, {name: tcp, port: 5432}]}
---
apiVersion: v1
kind: Service
metadata: {name: local, namespace: app-b}
spec: {clusterIP: 10.0.0.91, selector: {app: local}, ports: [{name: http, port: 80}, {name: tls, port: 443}, {name: tcp, port: 5432}]}
`

// apiRoute is a route of a namespace. ENTRY stands for a ServiceEntry as parent, HOST for a host as backend.
func apiRoute(kind, namespace, spec string) string {
	spec = strings.NewReplacer(
		"ENTRY", "group: networking.istio.io, kind: ServiceEntry, name", "HOST", "group: networking.istio.io, kind: Hostname, name",
	).Replace(spec)
	return fmt.Sprintf("\n---\napiVersion: gateway.networking.k8s.io/v1\nkind: %s\nmetadata: {name: r, namespace: %s}\nspec: {%s}", kind, namespace, spec)
}

// arrival is a call and where it ends.
type arrival struct {
	call
	end string
}

func httpTo(namespace, host string, port int, end string) arrival {
	return arrival{call{namespace: namespace, host: host, port: port}, end}
}

func tlsTo(namespace, host, end string) arrival {
	return arrival{call{namespace: namespace, host: host, port: 443, tls: true}, end}
}

const (
	aHost, bHost = "a.example.com", "b.example.com"
	localA       = "outbound|80||local.app-a"
	localB       = "outbound|80||local.app-b"
	tlsLocalA    = "outbound|443||local.app-a"
	tlsLocalB    = "outbound|443||local.app-b"
)

// TestRoutesOfTheGatewayAPI walks the calls that each route decides over. What is not refused ends where the route says; what
// is refused would have ended elsewhere, and that is where.
func TestRoutesOfTheGatewayAPI(t *testing.T) {
	for name, tc := range map[string]struct {
		route, refused string
		calls          []arrival
	}{
		"its own host": {apiRoute("HTTPRoute", "app-a", "parentRefs: [{ENTRY: a}], rules: [{backendRefs: [{HOST: a.example.com, port: 80}]}]"), "",
			[]arrival{httpTo("app-a", aHost, 80, aHost+":80"), tlsTo("app-a", aHost, aHost+":443"), httpTo("app-b", aHost, 80, aHost+":80")}},
		"a share of the mesh": {apiRoute("HTTPRoute", "app-a", "parentRefs: [{ENTRY: a}], rules: [{backendRefs: [{HOST: a.example.com, port: 80, weight: 9}, {name: local, port: 80}]}]"), "",
			[]arrival{httpTo("app-a", aHost, 80, aHost+":80 and "+localA)}},
		"a mirror of the mesh": {apiRoute("HTTPRoute", "app-a", "parentRefs: [{ENTRY: a}], rules: [{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: local, port: 80}}}], backendRefs: [{HOST: a.example.com, port: 80}]}]"), "",
			[]arrival{httpTo("app-a", aHost, 80, aHost+":80 and "+localA)}},
		"matches, timeouts and headers": {apiRoute("HTTPRoute", "app-a", `parentRefs: [{ENTRY: a}], rules: [
			{matches: [{path: {type: PathPrefix, value: /}, headers: [{type: Exact, name: x, value: v1}]}], backendRefs: [{name: local, port: 80}]},
			{timeouts: {request: 3s}, filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x, value: v2}]}}], backendRefs: [{HOST: a.example.com, port: 80}]}]`), "",
			[]arrival{httpTo("app-a", aHost, 80, aHost+":80 and "+localA)}},
		"another host, asked for": {apiRoute("HTTPRoute", "app-a", "parentRefs: [{ENTRY: a}], rules: [{filters: [{type: URLRewrite, urlRewrite: {hostname: b.example.com}}], backendRefs: [{HOST: b.example.com, port: 80}]}]"), "",
			[]arrival{httpTo("app-a", aHost, 80, bHost+":80")}},
		"another host, as the fix has it": {apiRoute("HTTPRoute", "app-a", `parentRefs: [{ENTRY: a}], rules: [{backendRefs: [{HOST: a.example.com, port: 80}, {HOST: b.example.com, port: 80,
			filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: Host, value: b.example.com}]}}]}]}]`), "",
			[]arrival{httpTo("app-a", aHost, 80, aHost+":80 and "+bHost+":80")}},
		"a Service's calls, as the fix has it": {apiRoute("HTTPRoute", "app-a", `parentRefs: [{group: "", kind: Service, name: local}], rules: [{backendRefs: [{HOST: a.example.com, port: 80,
			filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: Host, value: a.example.com}]}}]}]}]`), "",
			[]arrival{httpTo("app-a", "local.app-a.svc.cluster.local", 80, aHost+":80"), httpTo("app-b", "local.app-a.svc.cluster.local", 80, aHost+":80")}},
		"one of two ports, as the fix has it": {apiRoute("HTTPRoute", "app-a", "parentRefs: [{ENTRY: two, port: 8080}], rules: [{backendRefs: [{HOST: two.example.com, port: 8080}]}]"), "",
			[]arrival{httpTo("app-a", "two.example.com", 80, "two.example.com:80"), httpTo("app-a", "two.example.com", 8080, "two.example.com:8080")}},
		"a consumer's": {apiRoute("HTTPRoute", "app-c", "parentRefs: [{ENTRY: a, namespace: app-a}], rules: [{backendRefs: [{name: local, namespace: app-a, port: 80}]}]"), "",
			[]arrival{httpTo("app-c", aHost, 80, localA), httpTo("app-a", aHost, 80, aHost+":80"), httpTo("app-b", aHost, 80, aHost+":80")}},
		"gRPC": {apiRoute("GRPCRoute", "app-a", "parentRefs: [{ENTRY: grpc}], rules: [{backendRefs: [{HOST: grpc.example.com, port: 50051}]}]"), "",
			[]arrival{httpTo("app-a", "grpc.example.com", 50051, "grpc.example.com:50051")}},
		"TLS": {apiRoute("TLSRoute", "app-a", "parentRefs: [{ENTRY: b, port: 443}], rules: [{backendRefs: [{HOST: b.example.com, port: 443}]}]"), "",
			[]arrival{tlsTo("app-a", bHost, bHost+":443"), tlsTo("app-a", aHost, aHost+":443"), httpTo("app-a", bHost, 80, bHost+":80")}},
		"TLS with a share of the mesh": {apiRoute("TLSRoute", "app-a", "parentRefs: [{ENTRY: b}], hostnames: [b.example.com], rules: [{backendRefs: [{HOST: b.example.com, port: 443}, {name: local, port: 443}]}]"), "exported-route",
			[]arrival{tlsTo("app-a", bHost, bHost+":443 and "+tlsLocalA)}},
		"TLS of a wildcard": {apiRoute("TLSRoute", "app-a", "parentRefs: [{ENTRY: wild, port: 443}], rules: [{backendRefs: [{HOST: '*.wild.test', port: 443}]}]"), "",
			[]arrival{tlsTo("app-a", "de.wild.test", "www.wild.test:443")}},
		"no rule at all": {apiRoute("HTTPRoute", "app-a", "parentRefs: [{ENTRY: a}]"), "", []arrival{httpTo("app-a", aHost, 80, aHost+":80")}},

		"to another host": {apiRoute("HTTPRoute", "app-a", "parentRefs: [{ENTRY: a}], rules: [{backendRefs: [{HOST: b.example.com, port: 80}]}]"), "other-host",
			[]arrival{httpTo("app-a", aHost, 80, aHost+":80")}},
		"a share to another host": {apiRoute("HTTPRoute", "app-a", "parentRefs: [{ENTRY: a}], rules: [{backendRefs: [{name: local, port: 80}, {HOST: b.example.com, port: 80}]}]"), "other-host",
			[]arrival{httpTo("app-a", aHost, 80, aHost+":80 and "+localA)}},
		"a mirror to another host": {apiRoute("HTTPRoute", "app-a", "parentRefs: [{ENTRY: a}], rules: [{filters: [{type: RequestMirror, requestMirror: {backendRef: {HOST: b.example.com, port: 80}}}], backendRefs: [{name: local, port: 80}]}]"), "other-host",
			[]arrival{httpTo("app-a", aHost, 80, aHost+":80 and "+localA)}},
		"its own host, asking for another": {apiRoute("HTTPRoute", "app-a", "parentRefs: [{ENTRY: a}], rules: [{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: host, value: b.example.com}]}}], backendRefs: [{HOST: a.example.com, port: 80}]}]"), "other-host",
			[]arrival{httpTo("app-a", aHost, 80, bHost+":80")}},
		"a Service's calls": {apiRoute("HTTPRoute", "app-a", `parentRefs: [{group: "", kind: Service, name: local}], rules: [{backendRefs: [{HOST: a.example.com, port: 80}]}]`), "other-host",
			[]arrival{httpTo("app-a", "local.app-a.svc.cluster.local", 80, "nowhere")}},
		"to another HTTP port": {apiRoute("HTTPRoute", "app-a", "parentRefs: [{ENTRY: two}], rules: [{backendRefs: [{HOST: two.example.com, port: 8080}]}]"), "port-mapping",
			[]arrival{httpTo("app-a", "two.example.com", 80, "two.example.com:80")}},
		"a host that no entry names": {apiRoute("HTTPRoute", "app-a", "parentRefs: [{ENTRY: a}], rules: [{backendRefs: [{HOST: nobody.example.com, port: 80}]}]"), "unknown-host",
			[]arrival{httpTo("app-a", aHost, 80, "nowhere")}},
		"another spelling": {apiRoute("HTTPRoute", "app-a", "parentRefs: [{ENTRY: a}], rules: [{backendRefs: [{HOST: A.example.com, port: 80}]}]"), "not-canonical",
			[]arrival{httpTo("app-a", aHost, 80, "nowhere")}},
		"HTTP of a wildcard is the entry's still": {apiRoute("HTTPRoute", "app-a", "parentRefs: [{ENTRY: wild}], rules: [{backendRefs: [{name: local, port: 80}]}]"), "wildcard-parent",
			[]arrival{httpTo("app-a", "de.wild.test", 80, "www.wild.test:80")}},
		"an entry that is not there": {apiRoute("HTTPRoute", "app-a", "parentRefs: [{ENTRY: nobody}], rules: [{backendRefs: [{name: local, port: 80}]}]"), "unknown-entry",
			[]arrival{httpTo("app-a", aHost, 80, aHost+":80")}},
		"TLS of everybody, by a stranger": {apiRoute("TLSRoute", "app-b", "parentRefs: [{ENTRY: a, namespace: app-a}], rules: [{backendRefs: [{name: local, port: 443}]}]"), "exported-route",
			[]arrival{tlsTo("app-a", aHost, tlsLocalB), tlsTo("app-b", aHost, tlsLocalB), tlsTo("app-c", aHost, tlsLocalB)}},
		"HTTP of those to whom a stranger's entry is exported": {apiRoute("HTTPRoute", "app-b", "parentRefs: [{ENTRY: named}], rules: [{backendRefs: [{name: local, port: 80}]}]"), "exported-route",
			[]arrival{httpTo("app-c", aHost, 80, localB), httpTo("app-a", aHost, 80, aHost+":80")}},
		"TLS straight out": {apiRoute("TLSRoute", "app-a", "parentRefs: [{ENTRY: b}], hostnames: [x.test], rules: [{backendRefs: [{name: local, port: 443}]}]"), "exported-route foreign-sni",
			[]arrival{tlsTo("app-a", bHost, "straight"), tlsTo("app-c", "x.test", tlsLocalA)}},
		"TLS of whatever nobody else takes": {apiRoute("TLSRoute", "app-a", "parentRefs: [{ENTRY: b}], hostnames: [x.test, y.test], rules: [{backendRefs: [{name: local, port: 443}]}]"), "exported-route foreign-sni",
			[]arrival{tlsTo("app-a", bHost, tlsLocalA), tlsTo("app-c", "whoever.test", tlsLocalA)}},
		"TLS of nobody, and of whatever nobody else takes": {apiRoute("TLSRoute", "app-a", "parentRefs: [{ENTRY: b}], hostnames: [x.test, y.test], rules: [{backendRefs: [{group: other.test, kind: Bucket, name: x}]}]"), "exported-route foreign-sni",
			[]arrival{tlsTo("app-a", bHost, "nowhere"), tlsTo("app-c", "whoever.test", "nowhere")}},
		"TLS of the wildcard above": {apiRoute("TLSRoute", "app-a", "parentRefs: [{ENTRY: one, port: 443}], hostnames: [one.wild.test], rules: [{backendRefs: [{HOST: one.wild.test, port: 443}]}]"), "left-out",
			[]arrival{tlsTo("app-a", "one.wild.test", "one.wild.test:443"), tlsTo("app-a", "two.wild.test", "straight")}},
		"TLS of the wildcard above, to nowhere": {apiRoute("TLSRoute", "app-a", "parentRefs: [{ENTRY: one}], hostnames: [one.wild.test], rules: [{backendRefs: [{group: other.test, kind: Bucket, name: x}]}]"), "exported-route left-out",
			[]arrival{tlsTo("app-a", "one.wild.test", "nowhere"), tlsTo("app-a", "two.wild.test", "straight")}},
		"TLS of the hosts beside, beside its own": {apiRoute("TLSRoute", "app-a", "parentRefs: [{ENTRY: b}], hostnames: [b.example.com, '*.example.com'], rules: [{backendRefs: [{name: local, port: 443}]}]"), "exported-route foreign-sni",
			[]arrival{tlsTo("app-a", bHost, tlsLocalA), tlsTo("app-c", "z.example.com", tlsLocalA)}},
		"TLS of the hosts beside": {apiRoute("TLSRoute", "app-a", "parentRefs: [{ENTRY: b}], hostnames: ['*.example.com'], rules: [{backendRefs: [{name: local, port: 443}]}]"), "exported-route foreign-sni",
			[]arrival{tlsTo("app-a", bHost, tlsLocalA), tlsTo("app-c", "z.example.com", tlsLocalA)}},
	} {
		for _, transport := range egress.Transports() {
			t.Run(fmt.Sprintf("%s by %s", name, transport), func(t *testing.T) {
				m, refused := sealedWorld(t, transport, apiEntries+tc.route)
				assert.Equal(t, tc.refused, refused)
				for _, c := range tc.calls {
					assert.Equal(t, c.end, endsOf(t, m, c.call), c.call)
				}
			})
		}
	}
}

// TestTLSOfTheGatewayAPIToAnotherHost: a plain gateway goes by the SNI, which is the client's; one by mutual TLS is told the port.
func TestTLSOfTheGatewayAPIToAnotherHost(t *testing.T) {
	for transport, end := range map[egress.Transport]string{egress.Plain: bHost + ":443", egress.MutualTLS: aHost + ":443"} {
		want := "exported-route"
		if transport == egress.Plain {
			want = "exported-route other-host"
		}
		m, refused := sealedWorld(t, transport, apiEntries+apiRoute("TLSRoute", "app-a", "parentRefs: [{ENTRY: b}], rules: [{backendRefs: [{HOST: a.example.com, port: 443}]}]"))
		assert.Equal(t, want, refused)
		assert.Equal(t, end, endsOf(t, m, call{namespace: "app-a", host: bHost, port: 443, tls: true}))
	}
}

// databases are entries of raw TCP, which a gateway by mutual TLS alone carries.
const databases = `
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: db, namespace: app-a}
spec: {hosts: [db.example.com], resolution: DNS, ports: [{number: 5432, name: tcp, protocol: TCP}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: replica, namespace: app-a}
spec: {hosts: [replica.example.com], resolution: DNS, ports: [{number: 5433, name: tcp, protocol: TCP}]}
`

// TestTCPOfTheGatewayAPI ends at the host of the destination, which has a name of its own at a gateway by mutual TLS.
func TestTCPOfTheGatewayAPI(t *testing.T) {
	for rules, want := range map[string]struct{ refused, end string }{
		"{HOST: db.example.com, port: 5432}":                              {"", "db.example.com:5432"},
		"{HOST: replica.example.com, port: 5433}":                         {"exported-route", "replica.example.com:5433"},
		"{HOST: db.example.com, port: 5432}, {name: local, port: 5432}":   {"exported-route", "db.example.com:5432 and outbound|5432||local.app-a"},
		"{HOST: a.example.com, port: 80}":                                 {"exported-route port-mapping", "nowhere"},
		"{name: istio-egressgateway, namespace: istio-system, port: 443}": {"gateway-destination", "outbound|443||istio-egressgateway.istio-system"},
	} {
		m, refused := sealedWorld(t, egress.MutualTLS, apiEntries+strings.TrimRight(databases, "\n")+apiRoute("TCPRoute", "app-a", "parentRefs: [{ENTRY: db, port: 5432}], rules: [{backendRefs: ["+rules+"]}]"))
		assert.Equal(t, want.refused, refused, rules)
		assert.Equal(t, want.end, endsOf(t, m, call{namespace: "app-a", port: 5432, raw: true}), rules)
	}
}

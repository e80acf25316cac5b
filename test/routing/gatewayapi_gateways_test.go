package routing

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/simulation"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// gatewayPods are a pod of the egress gateway, and one of an ingress gateway of app-a.
const gatewayPods = `
---
apiVersion: v1
kind: Pod
metadata: {name: gateway, namespace: istio-system, labels: {istio: egressgateway}}
spec: {serviceAccountName: gateway}
status: {podIP: 10.1.0.2, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: gateway, namespace: istio-system, labels: {kubernetes.io/service-name: istio-egressgateway}}
addressType: IPv4
ports: [{name: http2, port: 8080, protocol: TCP}, {name: https, port: 8443, protocol: TCP}]
endpoints: [{addresses: [10.1.0.2], conditions: {ready: true}, targetRef: {kind: Pod, name: gateway, namespace: istio-system}}]
---
apiVersion: v1
kind: Service
metadata: {name: ingress-istio, namespace: app-a}
spec: {clusterIP: 10.0.0.95, selector: {istio: ingress}, ports: [{name: http, port: 80, targetPort: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: ingress, namespace: app-a, labels: {istio: ingress}}
spec: {serviceAccountName: ingress}
status: {podIP: 10.1.0.7, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ingress, namespace: app-a, labels: {kubernetes.io/service-name: ingress-istio}}
addressType: IPv4
ports: [{name: http, port: 80, protocol: TCP}]
endpoints: [{addresses: [10.1.0.7], conditions: {ready: true}, targetRef: {kind: Pod, name: ingress, namespace: app-a}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: istio}
spec: {controllerName: istio.io/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: ingress, namespace: app-a}
spec:
  gatewayClassName: istio
  listeners: [{name: http, port: 80, protocol: HTTP}]
`

// onEgress is a Gateway of a namespace that names the egress gateway's Service as its address, and is open to all.
func onEgress(namespace string) string {
	return fmt.Sprintf(`
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: taking, namespace: %s}
spec:
  gatewayClassName: istio
  addresses: [{type: Hostname, value: %s}]
  listeners: [{name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}]
`, namespace, gatewayHost)
}

// TestAGatewayOfTheGatewayAPIOpensTheEgressGatewayFromItsNamespaceAlone: one of a tenant's is not looked at, so nobody has to
// judge it. What is bound to one of the gateway's namespace would take everybody's calls, and is refused.
func TestAGatewayOfTheGatewayAPIOpensTheEgressGatewayFromItsNamespaceAlone(t *testing.T) {
	for namespace, want := range map[string]struct {
		refused string
		end     []string
	}{
		"istio-system": {"gateway-route", []string{"outbound|80||a.example.com", "outbound|80||local.app-b.svc.cluster.local"}},
		"app-a":        {"", []string{"outbound|80||a.example.com"}},
		"app-b":        {"", []string{"outbound|80||a.example.com"}},
	} {
		m, refused := sealedWorld(t, egress.Plain, apiEntries+gatewayPods+strings.TrimRight(onEgress(namespace), "\n")+
			apiRoute("HTTPRoute", "app-b", "parentRefs: [{name: taking, namespace: "+namespace+"}], hostnames: [a.example.com], rules: [{matches: [{path: {type: PathPrefix, value: /}, headers: [{type: Exact, name: x, value: v1}]}], backendRefs: [{name: local, port: 80}]}]"))
		assert.Equal(t, want.refused, refused, namespace)
		found, err := clusters(t, m.gateway(t, ""), call{namespace: "app-a", host: aHost, port: 80}, 8080, simulation.CallModeGateway)
		require.NoError(t, err)
		assert.Equal(t, want.end, found, namespace)
	}
}

// TestIngressToAnExternalHost asks the egress gateway for what its own callers ask it for.
func TestIngressToAnExternalHost(t *testing.T) {
	for filters, want := range map[string]struct{ refused, end string }{
		"": {"other-host", "nowhere"},
		"filters: [{type: URLRewrite, urlRewrite: {hostname: a.example.com}}],": {"", aHost + ":80"},
	} {
		for _, transport := range egress.Transports() {
			m, refused := sealedWorld(t, transport, apiEntries+strings.TrimRight(gatewayPods, "\n")+
				apiRoute("HTTPRoute", "app-a", "parentRefs: [{name: ingress}], hostnames: [www.test], rules: [{"+filters+"backendRefs: [{HOST: a.example.com, port: 80}]}]"))
			assert.Equal(t, want.refused, refused)
			labels := map[string]string{"istio": "ingress"}
			ingress := m.proxy(t, &model.Proxy{
				Type: model.Router, ID: "ingress.app-a", ConfigNamespace: "app-a", IPAddresses: []string{"10.1.0.7"},
				Labels: labels, Metadata: &model.NodeMetadata{Namespace: "app-a", Labels: labels},
			})
			c := call{namespace: "app-a", host: "www.test", port: 80}
			assert.Equal(t, want.end, endsFrom(t, m, ingress, c, 80, simulation.CallModeGateway), "%s by %s", filters, transport)
		}
	}
}

// underBackendTLS are the entries, and a BackendTLSPolicy by which clients of the first ask for a name.
func underBackendTLS(hostname string) string {
	return strings.TrimRight(apiEntries, "\n") + `
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: a, namespace: app-a}
spec:
  targetRefs: [{group: networking.istio.io, kind: ServiceEntry, name: a}]
  validation: {hostname: ` + hostname + `, wellKnownCACertificates: System}`
}

// TestABackendTLSPolicyClosesTheWay that it is for: its clients encrypt what the gateway takes in clear.
func TestABackendTLSPolicyClosesTheWay(t *testing.T) {
	m, _ := sealedWorld(t, egress.Plain, underBackendTLS("b.example.com"))
	assert.Equal(t, bHost, sni(t, m.sidecar(t, "app-b"), "outbound|80||a.example.com"))
	assert.Equal(t, "nowhere", endsOf(t, m, call{namespace: "app-b", host: aHost, port: 80}))
}

// TestABackendTLSPolicyNamesAnExit to a gateway by Plain, which is a limit: on a TLS port of a sealed entry clients wrap what the app sends
// in TLS of another name, and the gateway goes by that, to the exit that somebody has an entry of. One without an exit leads nowhere.
func TestABackendTLSPolicyNamesAnExit(t *testing.T) {
	for hostname, end := range map[string]string{bHost: bHost + ":443", "evil.test": "nowhere"} {
		for _, transport := range egress.Transports() {
			m, _ := sealedWorld(t, transport, underBackendTLS(hostname))
			asked := sni(t, m.sidecar(t, "app-b"), "outbound|443||a.example.com")
			if transport == egress.MutualTLS {
				assert.Equal(t, "p443.a.example.com.port.egress-governor.internal", asked, "the client rule stands before it")
				continue
			}
			assert.Equal(t, hostname, asked)
			assert.Equal(t, end, exitOf(t, m.gateway(t, ""), call{namespace: "app-b", host: asked, port: 443, tls: true}, gatewayHost+":443"))
		}
	}
}

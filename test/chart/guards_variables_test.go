package chart

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/apiserver"
)

// proxied is a pod whose container istio-proxy has variables, of JSON, or a Deployment of such.
func proxied(t *testing.T, template bool, variables string) *unstructured.Unstructured {
	t.Helper()
	var given []any
	require.NoError(t, json.Unmarshal([]byte("["+variables+"]"), &given))
	spec := map[string]any{"containers": []any{map[string]any{"name": "app", "image": "app"}, map[string]any{"name": "istio-proxy", "image": "auto", "env": given}}}
	if !template {
		return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "a", "namespace": "app"}, "spec": spec}}
	}
	out := annotated(t, "a", "b")
	require.NoError(t, unstructured.SetNestedField(out.Object, spec, "spec", "template", "spec"))
	return out
}

func variable(t *testing.T, name, value string) string {
	t.Helper()
	out, err := json.Marshal(map[string]any{"name": name, "value": value})
	require.NoError(t, err)
	return string(out)
}

// steered are values of PROXY_CONFIG by which another than the mesh's istiod would say where calls lead, or the agent would lead some itself.
var steered = map[string]string{
	"another istiod":         `{"discoveryAddress":"xds.evil.svc:15010"}`,
	"in snake case":          `{"discovery_address":"xds.evil.svc:15010"}`,
	"by an escape":           `{"\u0064iscoveryAddress":"xds.evil.svc:15010"}`,
	"of YAML":                "discoveryAddress: xds.evil.svc:15010",
	"in single quotes":       `{'discoveryAddress':'xds.evil.svc:15010'}`,
	"a second one":           `{"discoveryAddress":"istiod.istio-system.svc:15012","discoveryAddress":"xds.evil.svc:15010"}`,
	"over lines":             "{\"discoveryAddress\"\n:\n\"xds.evil.svc:15010\"}",
	"istiod's name, longer":  `{"discoveryAddress":"istiod.istio-system.svc.evil.example.net:15012"}`,
	"by another variable":    `{"discoveryAddress":"$(MINE)"}`,
	"within another":         `{"serviceCluster":"$(OUTPUT_CERTS)"}`,
	"in clear":               `{"controlPlaneAuthPolicy":"NONE"}`,
	"in clear, by number":    `{"controlPlaneAuthPolicy":0}`,
	"no capture":             `{"interceptionMode":"NONE"}`,
	"another program":        `{"binaryPath":"/mine"}`,
	"another bootstrap":      `{"customConfigFile":"/mine"}`,
	"another template of it": `{"proxyBootstrapTemplatePath":"/mine"}`,
	"another root":           `{"caCertificatesPem":["x"]}`,
	"another admin port":     `{"proxyAdminPort":15999}`,
	"a proxy of its own":     `{"proxyMetadata":{"https_proxy":"evil.example.net"}}`,
	"a library":              `{"proxyMetadata":{"LD_PRELOAD":"/mine"}}`,
	"another CA":             `{"proxyMetadata":{"CA_ADDR":"xds.evil.svc:15012"}}`,
	"no capture of DNS":      `{"proxyMetadata":{"ISTIO_META_DNS_CAPTURE":"false"}}`,
	"traces elsewhere":       `{"tracing":{"zipkin":{"address":"evil.example.net:9411"}}}`,
	"statistics elsewhere":   `{"statsdUdpAddress":"203.0.113.7:8125"}`,
	"too much to read":       `{"serviceCluster":"` + strings.Repeat("a", 20000) + `"}`,
}

// TestVariablesOfASidecar: no pod says by them who steers its sidecar, and those of Istio's injector pass.
func TestVariablesOfASidecar(t *testing.T) {
	t.Parallel()
	server, namespace := guarding(t, nil), parsed(t, meshed)
	ask := func(server *apiserver.Server, template bool, variables string) error {
		_, err := server.Clone().Guard(t.Context(), apiserver.Request{Object: proxied(t, template, variables), Namespace: namespace})
		return err
	}
	for _, value := range []string{
		"{}\n", `{"discoveryAddress":"istiod-1-28.istio-system.svc:15012","meshId":"a","image":{"imageType":"distroless"}}`,
		`{"discoveryAddress":"istiod.istio-system.svc.cluster.local:15012","controlPlaneAuthPolicy":"MUTUAL_TLS","interceptionMode":"TPROXY"}`,
		`{"proxyMetadata":{"ISTIO_META_DNS_CAPTURE":"true"},"tracing":{"zipkin":{"address":"zipkin.istio-system:9411"}},"serviceCluster":"web.$(POD_NAMESPACE)"}`,
		`{"proxyStatsMatcher":{"inclusionRegexps":[".*\\.outbound\\|80.*"]},"concurrency":2}`,
	} {
		require.NoError(t, ask(server, false, variable(t, "PROXY_CONFIG", value)), value)
		require.ErrorContains(t, ask(server, true, variable(t, "PROXY_CONFIG", value)), "spec.template.spec: PROXY_CONFIG of container istio-proxy", "nobody has put it in yet")
	}
	for _, values := range []map[string]string{steered, leads} {
		for name, value := range values {
			require.ErrorContains(t, ask(server, false, variable(t, "PROXY_CONFIG", value)), "spec: PROXY_CONFIG of container istio-proxy may say", name)
		}
	}
	const fromAnnotation = `{"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['mine']"}}}`
	for name, variables := range map[string]string{
		"POD_NAMESPACE": fromAnnotation, "CA_ADDR": variable(t, "CA_ADDR", "xds.evil.svc:15012"), "ISTIO_META_INTERCEPTION_MODE": variable(t, "ISTIO_META_INTERCEPTION_MODE", "NONE"),
		"ISTIO_META_DNS_CAPTURE": variable(t, "ISTIO_META_DNS_CAPTURE", "false"), "GODEBUG": variable(t, "GODEBUG", "x509sha1=1"), "XDS_ROOT_CA": variable(t, "XDS_ROOT_CA", "SYSTEM"),
		"ISTIOD_SAN": variable(t, "ISTIOD_SAN", "evil"), "LD_PRELOAD": variable(t, "LD_PRELOAD", "/mine"), "ISTIO_META_GENERATOR": variable(t, "ISTIO_META_GENERATOR", "grpc"),
	} {
		require.ErrorContains(t, ask(server, false, variables), "spec: "+name+" of container istio-proxy may say")
		require.ErrorContains(t, ask(server, true, variables), "spec: "+name+" of container istio-proxy may say")
	}
	csr := variable(t, "CA_ADDR", "cert-manager-istio-csr.cert-manager.svc:443")
	require.NoError(t, ask(server, false, csr))
	more := guarding(t, values{"guards": values{"injection": values{"allowedVariables": []any{"XDS_ROOT_CA"}, "controlPlane": []any{"istiod.example.com:15012"}}}})
	require.ErrorContains(t, ask(more, false, csr), "CA_ADDR of container istio-proxy may say")
	require.NoError(t, ask(more, false, variable(t, "XDS_ROOT_CA", "SYSTEM")+","+variable(t, "PROXY_CONFIG", `{"discoveryAddress":"istiod.example.com:15012","proxyMetadata":{"XDS_ROOT_CA":"SYSTEM"}}`)))
	require.NoError(t, ask(more, true, variable(t, "XDS_ROOT_CA", "SYSTEM")))
}

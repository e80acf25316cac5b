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
	"after an escape":        `{"serviceCluster":"$$$(OUTPUT_CERTS)"}`,
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
	"traces to a domain":     `{"tracing":{"zipkin":{"address":"evil.com:9411"}}}`,
	"logs elsewhere":         `{"envoyAccessLogService":{"address":"evil.example.net:15000"}}`,
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
		`{"proxyStatsMatcher":{"inclusionRegexps":[".*\\.outbound\\|80.*","^http$","a$\\.b$$"]},"concurrency":2}`,
		`{"proxyStatsMatcher":{"inclusionRegexps":["` + strings.Repeat("^a$", 5000) + `"]}}`, `{"tracing":{"customTags":{` + strings.Repeat(`"name":{"literal":{"value":"a"}},`, 450) + `"name":{}}}}`,
		`{"envoyAccessLogService":{"address":"als.logs.svc:15000"},"tracing":{"openCensusAgent":{"address":"collector.tracing.svc.cluster.local:55678","context":["B3"]}}}`,
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
		"AWS_CA_BUNDLE": variable(t, "AWS_CA_BUNDLE", "/mine"), "AWS_REGION": variable(t, "AWS_REGION", "evil.example.net/"), "AWS_DEFAULT_REGION": `{"name": "AWS_DEFAULT_REGION", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}}`,
		"AWS_CONTAINER_CREDENTIALS_FULL_URI": variable(t, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://evil.example.net/v1/credentials"),
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

// TestIdentitiesOfClouds: what the webhooks of EKS and AKS put into every container after Istio's injector.
func TestIdentitiesOfClouds(t *testing.T) {
	t.Parallel()
	server, namespace := guarding(t, nil), parsed(t, meshed)
	for name, value := range map[string]string{
		"AWS_ROLE_ARN": "arn:aws:iam::111122223333:role/etl", "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/secrets/eks.amazonaws.com/serviceaccount/token",
		"AWS_DEFAULT_REGION": "eu-central-1", "AWS_REGION": "us-gov-west-1", "AWS_STS_REGIONAL_ENDPOINTS": "regional",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token",
		"AZURE_CLIENT_ID": "a", "AZURE_TENANT_ID": "b", "AZURE_FEDERATED_TOKEN_FILE": "/var/run/secrets/azure/tokens/azure-identity-token", "AZURE_AUTHORITY_HOST": "https://login.microsoftonline.com/",
	} {
		_, err := server.Clone().Guard(t.Context(), apiserver.Request{Object: proxied(t, false, variable(t, name, value)), Namespace: namespace})
		require.NoError(t, err, name)
	}
	_, err := server.Clone().Guard(t.Context(), apiserver.Request{Object: proxied(t, false, variable(t, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://[fd00:ec2::23]/v1/credentials")), Namespace: namespace})
	require.NoError(t, err)
}

// TestTheFixOfASetting is of that setting: who allows the whole of PROXY_CONFIG lets every workload name an istiod.
func TestTheFixOfASetting(t *testing.T) {
	t.Parallel()
	namespace := parsed(t, meshed)
	for name, of := range map[string]struct {
		variable, value, says string
		// allowed are values of guards.injection by which it passes.
		allowed values
	}{
		"traces":          {"PROXY_CONFIG", `{"tracing":{"zipkin":{"address":"zipkin.tracing:9411"}}}`, `by "address":"zipkin.tracing:9411". Fix: remove it, or have the platform team set it for the mesh, and name the address (guards.injection.telemetryAddresses); `, values{"telemetryAddresses": []any{"zipkin.tracing:9411"}}},
		"logs":            {"PROXY_CONFIG", "{\"envoyAccessLogService\":{\"address\":\n\"als.logs:15000\"}}", `by "address": "als.logs:15000". Fix: remove it, or have the platform team set it for the mesh, and name the address (guards.injection.telemetryAddresses); `, values{"telemetryAddresses": []any{"als.logs:15000"}}},
		"a canary":        {"PROXY_CONFIG", `{"discoveryAddress":"istiod.istio-canary.svc:15012"}`, `by "discoveryAddress":"istiod.istio-canary.svc:15012". Fix: remove it, or have the platform team set it for the mesh, and name the address of istiod or the CA (guards.injection.controlPlane); `, values{"controlPlane": []any{"istiod.istio-canary.svc:15012"}}},
		"a canary's CA":   {"CA_ADDR", "istiod.istio-canary.svc:15012", "where it calls. Fix: remove it, or have the platform team set it for the mesh, and name the address of istiod or the CA (guards.injection.controlPlane); ", values{"controlPlane": []any{"istiod.istio-canary.svc:15012"}}},
		"another":         {"PROXY_CONFIG", `{"tracing":{"tlsSettings":{}}}`, `by "tlsSettings":. Fix: remove it, or have the platform team set it for the mesh, and allow this setting by its own name, not by PROXY_CONFIG (guards.injection.allowedVariables); `, values{"allowedVariables": []any{"tlsSettings"}}},
		"of no JSON":      {"PROXY_CONFIG", "concurrency: 2", "where it calls. Fix: remove it, or have the platform team set it for the mesh; ", nil},
		"of great length": {"PROXY_CONFIG", `{"` + strings.Repeat("a", 8000) + `":1}`, "aaa. Fix: remove it", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ask := func(given values) error {
				_, err := guarding(t, given).Guard(t.Context(), apiserver.Request{Object: proxied(t, false, variable(t, of.variable, of.value)), Namespace: namespace})
				return err
			}
			require.ErrorContains(t, ask(nil), of.says)
			if of.allowed != nil {
				require.NoError(t, ask(values{"guards": values{"injection": of.allowed}}))
			}
		})
	}
}

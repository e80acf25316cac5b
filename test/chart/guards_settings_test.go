package chart

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/apiserver"
)

// annotated is a Deployment whose template has an annotation.
func annotated(t *testing.T, name, value string) *unstructured.Unstructured {
	t.Helper()
	out := parsed(t, "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: app}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {}, spec: {containers: [{name: app, image: app}]}}}")
	require.NoError(t, unstructured.SetNestedStringMap(out.Object, map[string]string{name: value}, "spec", "template", "metadata", "annotations"))
	return out
}

// settings are texts of proxy.istio.io/config that people write.
var settings = map[string]string{
	"hold":            "holdApplicationUntilProxyStarts: true",
	"snake case":      "hold_application_until_proxy_starts: true\n",
	"JSON":            `{ "holdApplicationUntilProxyStarts": true, "terminationDrainDuration": "30s" }`,
	"JSON over lines": "{\n  \"concurrency\": 2,\n  \"proxyMetadata\": {\n    \"ISTIO_META_DNS_CAPTURE\": \"true\"\n  },\n  \"proxyStatsMatcher\": {\n    \"inclusionRegexps\": [\n      \".*outbound.*\",\n      \".*\\\\.inbound\"\n    ]\n  }\n}\n",
	"DNS":             "proxyMetadata:\n  ISTIO_META_DNS_CAPTURE: \"true\"\n  ISTIO_META_DNS_AUTO_ALLOCATE: 'true'\n",
	"draining":        "terminationDrainDuration: 60s\nproxyMetadata:\n  EXIT_ON_ZERO_ACTIVE_CONNECTIONS: 'true'\n  MINIMUM_DRAIN_DURATION: 5s",
	"Istio's own statistics": "proxyStatsMatcher:\n  inclusionPrefixes:\n  - cluster.xds-grpc\n  - \"cluster.outbound\"\n  inclusionSuffixes: [upstream_rq_1xx, upstream_rq_2xx]\n" +
		"  inclusionRegexps:\n  - '.*\\.outbound\\|80.*'\n  - \".*(ssl|tls)_[a-z]+$\"\nextraStatTags: [request_host]",
	"a tag of Istio's documents": "tracing:\n  sampling: 10\n  custom_tags:\n    my_tag_header:\n      header:\n        name: host\n        defaultValue: none\n  max_path_tag_length: 256",
	"tags on one line":           "tracing: {sampling: 50.5, customTags: {team: {literal: {value: payments}}, zone: {environment: {name: ZONE}}}}",
	"behind a load balancer":     "gatewayTopology:\n  numTrustedProxies: 2\n  forwardClientCertDetails: SANITIZE_SET\n  proxyProtocol: {}",
	"an image":                   "image:\n  imageType: distroless",
	"headers":                    "proxyHeaders:\n  server: {value: shop}\n  requestId:\n    disabled: true\n  preserveHttp1HeaderCase: true\n  metadataExchangeHeaders: {mode: IN_MESH}",
	"a comment":                  "# Batches are done before they're \"done\".\nconcurrency: 0 # all of them\n\nstatsCompression: true",
	"files of the certificate":   "proxyMetadata: {OUTPUT_CERTS: /etc/istio-output-certs}",
	"a flag of Envoy":            "runtimeValues: {\"envoy.reloadable_features.http_reject_path_with_fragment\": \"false\"}",
	"private keys":               "privateKeyProvider:\n  cryptomb:\n    pollDelay: 2ms",
	"nothing":                    "",
	"a default before the name":  "tracing:\n  customTags:\n    host:\n      header:\n        defaultValue: none\n        name: host\n    zone:\n      environment: {default_value: a, name: ZONE}",
	"a default first, of JSON":   `{"tracing":{"customTags":{"host":{"header":{"defaultValue":"none","name":"host"}}}}}`,
	"a tag of Kubernetes' names": "tracing:\n  customTags:\n    app.kubernetes.io/name:\n      literal: {value: web}\n    \"team/of\":\n      environment:\n        name: TEAM",
	"a server's header":          "proxyHeaders:\n  server: {disabled: false, value: shop}",
	"a comment with an address":  "# see https://istio.io/latest\nconcurrency: 2 # at http://x:80/y, too",
	"a comment with a colon":     "concurrency: 2 # note: two\nproxyMetadata:\n  # team: payments, readinessProbe: none\n  ISTIO_META_DNS_CAPTURE: \"true\" # todo: remove",
	"a comment's apostrophe":     "concurrency: 2 # don't\ndrainDuration: '45s' # it's \"long\"",
	"comments beside patterns":   "proxyStatsMatcher: # mine: all\n  inclusionRegexps:\n  - \"upstream_rq_[0-9]{1,3}\" # don't remove: it is seen\n  - '.*\\.outbound\\|80.*'",
	"a comma in a list":          "proxyStatsMatcher:\n  inclusionRegexps:\n  - \"upstream_rq_[0-9]{1,3}\"\n  - 'a{2,}'",
	"the end of a word":          "proxyStatsMatcher:\n  inclusionRegexps: ['\\bupstream\\B']",
	"values with colons":         "serviceCluster: a:b\nproxyMetadata: {OUTPUT_CERTS: '/a:/b'}",
	"harmless fields":            "serviceCluster: web.app\navailabilityZone: a\ntracing: {enableIstioTags: false}",
}

// leads are texts that lead calls elsewhere, or may.
var leads = map[string]string{
	"a command":                    "readinessProbe: {periodSeconds: 1, exec: {command: [/bin/sh, -c, curl]}}",
	"a call":                       "readiness_probe:\n  http_get:\n    host: evil.example.net\n    port: 443\n",
	"a call of JSON":               `{"concurrency": 2, "readinessProbe": {"httpGet": {"port": 8080}}}`,
	"another proxy":                "proxyMetadata:\n  HTTPS_PROXY: http://evil.example.net:3128",
	"another proxy, no colon":      "proxyMetadata: {all_proxy: evil.example.net}",
	"another root":                 "caCertificatesPem: [x]",
	"a library":                    "proxyMetadata: {LD_PRELOAD: /mine}",
	"files of the agent's roots":   "proxyMetadata: {SSL_CERT_FILE: /mine}",
	"another network":              "proxyMetadata: {ISTIO_META_NETWORK: out}",
	"a name below nothing":         "readinessProbe\n: {exec: {command: [x]}}",
	"asked for":                    "? readinessProbe # concurrency\n: {exec: {command: [x]}}",
	"asked for in a flow":          "{? readinessProbe # concurrency\n : {exec: {command: [x]}}}",
	"by an anchor":                 "extraStatTags: [&concurrency readinessProbe]\n*concurrency : {exec: {command: [x]}}",
	"by a tag":                     "!!binary cmVhZGluZXNzUHJvYmU=: {}",
	"a value by a tag":             "proxyMetadata: {MINIMUM_DRAIN_DURATION: !!binary eA==}",
	"by an escape":                 `"\x72eadinessProbe": {}`,
	"over two lines":               "? \"readiness\\\n  Probe\"\n: {}",
	"after a comment's quote":      "concurrency: 2 # '\nreadinessProbe: {} # '",
	"after a plain word's quote":   "{concurrency: b\n 'c, readinessProbe: {exec: {command: [x]}}, drainDuration: 'x}",
	"half a quote":                 "proxyMetadata: {\"LD_PRELOAD #, concurrency\": /mine}",
	"another half":                 "proxyMetadata: {'LD_PRELOAD #, concurrency': /mine}",
	"a quote of the other kind":    "proxyMetadata: {'LD_PRELOAD #, \"concurrency': /mine}",
	"merged":                       "<<: {readinessProbe: {}}",
	"a line within a value":        "proxyMetadata: {MINIMUM_DRAIN_DURATION: \"x\\\"\\n    command: [a]\"}",
	"the end of the text":          "proxyMetadata: {MINIMUM_DRAIN_DURATION: 'x\"\n\n  --- '}",
	"the end, by a name":           "proxyMetadata: {A\n\n --- , concurrency: x}",
	"another end":                  "proxyMetadata: {\"A\n\n ...\"}",
	"a line within quotes":         "proxyMetadata: {MINIMUM_DRAIN_DURATION: 'x\"\n\n  concurrency: '}",
	"a quote within a plain word":  "{concurrency: b\n 'c, '\n\n , \"x\"\n , 'd'}",
	"a comment within a value":     "proxyMetadata:\n  MINIMUM_DRAIN_DURATION: b, \" #\"\n\n    x",
	"a block":                      "proxyMetadata:\n  MINIMUM_DRAIN_DURATION: |\n    x\"\n        command",
	"a folded block":               "proxyMetadata:\n  MINIMUM_DRAIN_DURATION: >-\n    x",
	"a quote within a value":       `proxyMetadata: {MINIMUM_DRAIN_DURATION: 'x\"'}`,
	"a line of another alphabet":   "extraStatTags: [\"x\u0085spec\"]",
	"a line separator":             "extraStatTags: [\"x\u2028spec\"]",
	"a carriage return":            "extraStatTags: [x\rspec]",
	"an image of one's own":        "image: evil",
	"no capture of DNS":            "proxyMetadata: {ISTIO_META_DNS_CAPTURE: \"false\"}",
	"no capture, true at first":    "proxyMetadata:\n  ISTIO_META_DNS_CAPTURE: true\n    x\n",
	"no capture, a quote within":   "proxyMetadata: {ISTIO_META_DNS_CAPTURE: 'true''x'}",
	"captured otherwise":           "interceptionMode: NONE",
	"more than anybody reads":      strings.Repeat("# x\n", 3000) + "concurrency: 2",
	"a sink of statistics":         "statsdUdpAddress: evil.example.net:8125",
	"in clear to istiod":           "controlPlaneAuthPolicy: NONE",
	"a library like a tag":         "proxyMetadata: {LD_PRELOAD: literal:value:/mine}",
	"another like a tag":           "proxyMetadata:\n  LD_PRELOAD:\n    literal:value:/mine",
	"one with a bracket":           "proxyMetadata:\n  LD_PRELOAD:\n    literal:{value:/mine",
	"a comment in quotes":          "{concurrency:\", \"\n # \", readinessProbe: {}, \"tracing\": \"\n}",
	"no comment, within quotes":    "serviceCluster: \"x\n # \"\nreadinessProbe: {}",
	"no comment, by an escape":     "{serviceCluster: \"a\\\", tracing: x #\", readinessProbe: {exec: {}}}",
	"a name beside a word's colon": "{concurrency:x, readinessProbe: {}}",
	"a name in a comment as well":  "concurrency: 2 # a, concurrency: x\nreadinessProbe: {}",
	"a colon behind a quoted name": "{\"readinessProbe\":{\"exec\":x}}",
	"a colon behind an alias":      "{serviceCluster: &a readinessProbe, *a:b}",
	"the proxy's admin port":       "proxyAdminPort: 15999",
	"the agent's port":             "statusPort: 15998",
	"its admin port, in snake":     "proxy_admin_port: 15999",
	"a port for health":            "proxyMetadata: {ENVOY_STATUS_PORT: \"80\"}",
	"a port for statistics":        "proxyMetadata:\n  ENVOY_PROMETHEUS_PORT: \"80\"",
	"a tag that is a probe's host": "readinessProbe: {literal: {value: x}, httpGet: {host: evil}}",
}

// TestProxyConfigIsWhatIsKnown: of a pod's own settings those pass that lead no calls elsewhere, however they are written, and the first
// that is unknown is named.
func TestProxyConfigIsWhatIsKnown(t *testing.T) {
	t.Parallel()
	server, namespace := guarding(t, nil), parsed(t, meshed)
	ask := func(server *apiserver.Server, value string) error {
		_, err := server.Clone().Guard(t.Context(), apiserver.Request{Object: annotated(t, "proxy.istio.io/config", value), Namespace: namespace})
		return err
	}
	for name, value := range settings {
		require.NoError(t, ask(server, value), name)
	}
	for name, value := range leads {
		require.ErrorContains(t, ask(server, value), "denied request: spec.template.metadata.annotations[proxy.istio.io/config]: ", name)
	}
	require.ErrorContains(t, ask(server, "concurrency: 2\nreadinessProbe: {exec: {command: [x]}}"), "[proxy.istio.io/config]: readinessProbe may say")
	more := guarding(t, values{"guards": values{"traffic": values{"allowedProxyConfig": []any{"meshId", "ISTIO_META_TEAM", "zipkin", "address", "HTTPS_PROXY"}}}})
	require.NoError(t, ask(more, "meshId: a\nproxyMetadata: {ISTIO_META_TEAM: a}"))
	require.NoError(t, ask(more, "tracing:\n  zipkin:\n    address: zipkin.istio-system:9411\nproxyMetadata: {HTTPS_PROXY: \"http://out.example.com:3128/a\"}"))
	require.NoError(t, ask(more, `{"tracing":{"zipkin":{"address":"zipkin.istio-system:9411"}}}`))
	require.ErrorContains(t, ask(more, "tracing: {zipkin: {address: a:9411}, lightstep: {address: b:1}}"), "lightstep may say")
}

// TestWhatIsWrittenAsItIsSaysNoMore: annotations that the injector's templates write into YAML are made of what their kind is.
func TestWhatIsWrittenAsItIsSaysNoMore(t *testing.T) {
	t.Parallel()
	server, namespace := guarding(t, nil), parsed(t, meshed)
	ask := func(name, value string) error {
		_, err := server.Clone().Guard(t.Context(), apiserver.Request{Object: annotated(t, name, value), Namespace: namespace})
		return err
	}
	for name, honest := range map[string][]string{
		"sidecar.istio.io/logLevel":                       {"warning", ""},
		"sidecar.istio.io/componentLogLevel":              {"misc:error,rbac:debug"},
		"sidecar.istio.io/agentLogLevel":                  {"default:info,ads:debug"},
		"sidecar.istio.io/proxyCPU":                       {"100m", "0.5"},
		"sidecar.istio.io/proxyMemoryLimit":               {"1Gi"},
		"sidecar.istio.io/proxyImageType":                 {"distroless"},
		"status.sidecar.istio.io/port":                    {"15020", "0"},
		"readiness.status.sidecar.istio.io/periodSeconds": {"2"},
		"traffic.sidecar.istio.io/includeInboundPorts":    {"*", "80, 443"},
		"traffic.sidecar.istio.io/includeOutboundPorts":   {"5432"},
		"traffic.sidecar.istio.io/kubevirtInterfaces":     {"net1,eth0.5"},
		"istio.io/reroute-virtual-interfaces":             {"tap0"},
		"resource.opentelemetry.io/service.version":       {"1.2 (main)"},
		"apm.datadoghq.com/env":                           {`{"DD_ENV": "prod", "DD_VERSION": "1:2"}`},
		"k8s.v1.cni.cncf.io/networks":                     {"macvlan", "[\n  {\"name\": \"a\", \"interface\": \"net1\"}\n]"},
		"sidecar.istio.io/userVolume":                     {`{"certs": {"secret": {"secretName": "mine", "optional": true}}}`, `[{"name": "mine", "emptyDir": {"medium": "Memory"}}]`, ""},
		"sidecar.istio.io/statsInclusionRegexps":          {`.*\.outbound\|.*`},
	} {
		for _, value := range honest {
			require.NoError(t, ask(name, value), "%s: %q", name, value)
			if !strings.Contains(name, "/stats") {
				for _, more := range []string{"\n    command:\n    - sh", "\"\n    command: [sh]", "\u0085    command", "'\n  hostNetwork: true", `\n"`} {
					if name == "k8s.v1.cni.cncf.io/networks" && !strings.Contains(more, "'") || strings.HasPrefix(name, "resource.") && strings.HasPrefix(more, "'") {
						continue
					}
					if name == "sidecar.istio.io/userVolume" && !strings.Contains(more, `\`) {
						continue
					}
					require.ErrorContains(t, ask(name, value+more), "denied request: spec.template.metadata.annotations["+name+"]: ", "%s: %q", name, value+more)
				}
			}
		}
	}
	for _, laid := range []string{
		`{"istiod-ca-cert": {"configMap": {"name": "mine"}}}`, `[{"name": "istiod-ca-cert", "configMap": {"name": "mine"}}]`, `{"a": {"nfs": {"server": "evil.example.net", "path": "/"}}}`,
		`{"a": {"NFS": {"server": "evil.example.net", "path": "/"}}}`, `{"istio\u002ddata": {}}`, `[{"Name": "istio-envoy"}]`,
	} {
		require.ErrorContains(t, ask("sidecar.istio.io/userVolume", laid), "annotations[sidecar.istio.io/userVolume]", laid)
	}
	for _, port := range []string{"15999", "15000", "00", "0,15999"} {
		require.ErrorContains(t, ask("status.sidecar.istio.io/port", port), "annotations[status.sidecar.istio.io/port]", port)
	}
	require.ErrorContains(t, ask("apm.datadoghq.com/env", `{"LD_PRELOAD": "/mine"}`), "annotations[apm.datadoghq.com/env]")
	image := annotated(t, "a", "b")
	require.NoError(t, unstructured.SetNestedSlice(image.Object, []any{map[string]any{"name": "app", "image": "app:1\"\n    command: [sh]"}}, "spec", "template", "spec", "containers"))
	_, err := server.Clone().Guard(t.Context(), apiserver.Request{Object: image, Namespace: namespace})
	require.ErrorContains(t, err, "spec.template.spec.containers: an image has quotes")
	was := annotated(t, "k8s.v1.cni.cncf.io/networks", "macvlan")
	_, err = server.Clone().Guard(t.Context(), apiserver.Request{Object: annotated(t, "k8s.v1.cni.cncf.io/networks", "a', b: 'c"), Old: was, Namespace: namespace})
	require.ErrorContains(t, err, "annotations[k8s.v1.cni.cncf.io/networks]", "a change of the annotation alone")
}

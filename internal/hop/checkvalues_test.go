package hop_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// TestValuesThatEnvoyRejects stop every proxy that imports the route; those that people write stay.
func TestValuesThatEnvoyRejects(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{
		`{rewrite: {uri: "/a?b=c d", authority: a.test}, timeout: 3s, fault: {abort: {httpStatus: 599}, delay: {fixedDelay: 1s}}}`: "",
		`{rewrite: {uri: "/a\nb"}}`:                                                  "bad-value spec.http[0].rewrite.uri",
		`{rewrite: {authority: "a\rb"}}`:                                             "bad-value spec.http[0].rewrite.authority",
		`{rewrite: {uriRegexRewrite: {match: /a, rewrite: "/\0"}}}`:                  "bad-value spec.http[0].rewrite.uriRegexRewrite.rewrite",
		`{redirect: {uri: /a, authority: b, redirectCode: 308}}`:                     "",
		`{redirect: {uri: "/\n"}}`:                                                   "bad-value spec.http[0].redirect.uri",
		`{redirect: {prefixRewrite: "/\n"}}`:                                         "bad-value spec.http[0].redirect.prefixRewrite",
		`{redirect: {authority: "a\n", redirectCode: 304}}`:                          "bad-value spec.http[0].redirect.authority, bad-value spec.http[0].redirect.redirectCode",
		`{redirect: {uri: /a, redirectCode: 0}}`:                                     "",
		`{directResponse: {status: 200, body: {string: "a\nb"}}}`:                    "",
		`{directResponse: {status: 600}}`:                                            "bad-value spec.http[0].directResponse.status",
		`{fault: {abort: {httpStatus: 600}}}`:                                        "bad-value spec.http[0].fault.abort.httpStatus",
		`{route: [{weight: 2147483647}, {weight: 2147483647}]}`:                      "",
		`{route: [{weight: 2147483647}, {weight: 2147483647}, {weight: 2}]}`:         "bad-value spec.http[0].route",
		`{match: [{queryParams: {a: {exact: a}}}, {queryParams: {"": {exact: a}}}]}`: "bad-value spec.http[0].match[1].queryParams",
		`{match: [{headers: {"@request.auth.claims.group.id": {exact: a}, "@Request.Auth.Claims[a.b][c]": {prefix: a}, "@request.auth.claimsb": {}, x-a: {}}}]}`: "",
		`{match: [{headers: {"@request.auth.claims.a..b": {exact: a}}, withoutHeaders: {"@request.auth.claims[a][]": {exact: a}}}]}`:                             "bad-value spec.http[0].match[0].headers, bad-value spec.http[0].match[0].withoutHeaders",
		`{match: [{headers: {"@request.auth.claims.a": {}}}]}`: "bad-value spec.http[0].match[0].headers",
		`null`: "",
	} {
		assert.Equal(t, want, refusedAs(hop.CheckValues(route(t, `{hosts: [a.test], http: [`+spec+`]}`))), spec)
	}
	in := route(t, `{hosts: [a.test], http: [{}]}`)
	in.Object["spec"].(map[string]any)["http"].([]any)[0].(map[string]any)["match"] = []any{map[string]any{"queryParams": map[string]any{
		strings.Repeat("a", 1024): map[string]any{"exact": "a"}, strings.Repeat("b", 1025): map[string]any{"exact": "a"},
	}}}
	assert.Equal(t, "bad-value spec.http[0].match[0].queryParams", refusedAs(hop.CheckValues(in)))
}

// TestValuesOfTheGatewayAPIThatEnvoyRejects: the CRD says how long they may be, and of names of headers that are removed not even that.
func TestValuesOfTheGatewayAPIThatEnvoyRejects(t *testing.T) {
	t.Parallel()
	for rule, want := range map[string]string{
		`{filters: [{urlRewrite: {path: {replaceFullPath: /a}}}, {requestRedirect: {path: {replacePrefixMatch: /b}}}, {requestHeaderModifier: {remove: [x-a]}}], retry: {backoff: 1s}}`: "",
		`{filters: [{}, {urlRewrite: {path: {replaceFullPath: "/a\nb"}}}]}`:               "bad-value spec.rules[0].filters[1].urlRewrite.path.replaceFullPath",
		`{backendRefs: [{filters: [{urlRewrite: {path: {replacePrefixMatch: "/\r"}}}]}]}`: "bad-value spec.rules[0].backendRefs[0].filters[0].urlRewrite.path.replacePrefixMatch",
		`{filters: [{requestRedirect: {path: {replaceFullPath: "/\n"}}}]}`:                "bad-value spec.rules[0].filters[0].requestRedirect.path.replaceFullPath",
		`{filters: [{responseHeaderModifier: {remove: [a, "b\n"]}}]}`:                     "header-format spec.rules[0].filters[0].responseHeaderModifier.remove[1]",
		`{retry: {backoff: 0s}}`: "bad-value spec.rules[0].retry.backoff",
	} {
		assert.Equal(t, want, refusedAs(hop.CheckAPIValues(ofAPI(t, "HTTPRoute", "rules: ["+rule+"]"))), rule)
	}
}

// TestSettingsThatEnvoyRejects with all routes of a port, or with the port, whichever host the rule is for.
func TestSettingsThatEnvoyRejects(t *testing.T) {
	t.Parallel()
	for policy, want := range map[string]string{
		`{loadBalancer: {consistentHash: {httpHeaderName: x-user}}, connectionPool: {tcp: {idleTimeout: 1h, connectTimeout: 1s}}}`:                                                "",
		`{loadBalancer: {consistentHash: {httpCookie: {name: user, ttl: 0s, path: /, attributes: [{name: SameSite, value: Strict}]}}}, connectionPool: {tcp: {idleTimeout: 0s}}}`: "",
		`{loadBalancer: {consistentHash: {httpQueryParameterName: q, ringHash: {minimumRingSize: 9}}}}`:                                                                           "",
		`{loadBalancer: {consistentHash: {useSourceIp: true}}}`:                                                                                                                   "",
		`{loadBalancer: {consistentHash: {httpHeaderName: ""}}}`:                                                                                                                  "bad-value spec.trafficPolicy.loadBalancer.consistentHash.httpHeaderName",
		`{loadBalancer: {consistentHash: {httpHeaderName: "x\n"}}}`:                                                                                                               "bad-value spec.trafficPolicy.loadBalancer.consistentHash.httpHeaderName",
		`{loadBalancer: {consistentHash: {httpQueryParameterName: ""}}}`:                                                                                                          "bad-value spec.trafficPolicy.loadBalancer.consistentHash.httpQueryParameterName",
		`{loadBalancer: {consistentHash: {httpCookie: {name: "", ttl: -1s, attributes: [{name: "a\n"}, {name: b, value: "\n"}]}}}}`: "bad-value spec.trafficPolicy.loadBalancer.consistentHash.httpCookie.name, " +
			"bad-value spec.trafficPolicy.loadBalancer.consistentHash.httpCookie.ttl, bad-value spec.trafficPolicy.loadBalancer.consistentHash.httpCookie.attributes[0].name, " +
			"bad-value spec.trafficPolicy.loadBalancer.consistentHash.httpCookie.attributes[1].value",
		`{connectionPool: {tcp: {idleTimeout: "-0.0005s"}}}`:                                           "bad-value spec.trafficPolicy.connectionPool.tcp.idleTimeout",
		`{portLevelSettings: [{port: {number: 80}, connectionPool: {tcp: {idleTimeout: "forever"}}}]}`: "bad-value spec.trafficPolicy.portLevelSettings[0].connectionPool.tcp.idleTimeout",
	} {
		assert.Equal(t, want, refusedAs(hop.CheckSettings(mesh().ReadRule(destinationRule(t, `{host: a, trafficPolicy: `+policy+`}`)))), policy)
		inSubset := strings.ReplaceAll(want, "spec.trafficPolicy", "spec.subsets[0].trafficPolicy")
		assert.Equal(t, inSubset, refusedAs(hop.CheckSettings(mesh().ReadRule(destinationRule(t, `{host: a, subsets: [{name: v1, trafficPolicy: `+policy+`}]}`)))), policy)
	}
}

// TestSettingsThatCostOthers: what every proxy that knows the host would hold, or be busy with, has a bound, and what people write is below it.
func TestSettingsThatCostOthers(t *testing.T) {
	t.Parallel()
	const hash, pool = "loadBalancer.consistentHash.", "connectionPool."
	for policy, want := range map[string]string{
		`{loadBalancer: {consistentHash: {useSourceIp: true, ringHash: {minimumRingSize: 1024}}}}`:                               "",
		`{loadBalancer: {consistentHash: {useSourceIp: true, ringHash: {minimumRingSize: 4096}}}}`:                               "",
		`{loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 65537}}}}`:                                      "",
		`{loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 0}}}}`:                                          "",
		`{loadBalancer: {consistentHash: {useSourceIp: true, ringHash: {minimumRingSize: 8388608}}}}`:                            "costly-setting " + hash + "ringHash.minimumRingSize",
		`{loadBalancer: {consistentHash: {useSourceIp: true, minimumRingSize: 4097}}}`:                                           "costly-setting " + hash + "minimumRingSize",
		`{loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 5000011}}}}`:                                    "costly-setting " + hash + "maglev.tableSize",
		`{loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 65536}}}}`:                                      "bad-value " + hash + "maglev.tableSize",
		`{loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {a: 80, b: 20}}]}}}`:                                     "",
		`{loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {a: 1, b: 4000000000}}]}}}`:                              "bad-value loadBalancer.localityLbSetting.distribute[0].to[b]",
		`{loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {a: 99, b: 1}}]}}}`:                                      "",
		`{loadBalancer: {consistentHash: {useSourceIp: true}, localityLbSetting: {distribute: [{from: a, to: {a: 99, b: 1}}]}}}`: "costly-setting loadBalancer.localityLbSetting.distribute[0].to[b]",
		`{loadBalancer: {warmup: {duration: 60s, minimumPercent: 10, aggression: 1}}}`:                                           "",
		`{connectionPool: {tcp: {connectTimeout: 1s, maxConnections: 100, tcpKeepalive: {time: 7200s, interval: 75s, probes: 9}}, ` +
			`http: {http1MaxPendingRequests: 1, http2MaxRequests: 1000, maxRequestsPerConnection: 10, maxRetries: 3, idleTimeout: 30s}}, ` +
			`outlierDetection: {consecutive5xxErrors: 1, interval: 1s, baseEjectionTime: 3m, maxEjectionPercent: 100, minHealthPercent: 50}, retryBudget: {percent: 20, minRetryConcurrency: 3}}`: "",
		`{outlierDetection: {interval: 1ms}}`:                                                          "costly-setting outlierDetection.interval",
		`{outlierDetection: {interval: 0s}}`:                                                           "bad-value outlierDetection.interval",
		`{outlierDetection: {maxEjectionPercent: 101}}`:                                                "bad-value outlierDetection.maxEjectionPercent",
		`{outlierDetection: {minHealthPercent: 101}}`:                                                  "bad-value outlierDetection.minHealthPercent",
		`{connectionPool: {tcp: {connectTimeout: 0s}}}`:                                                "bad-value " + pool + "tcp.connectTimeout",
		`{connectionPool: {tcp: {maxConnectionDuration: 0.5ms}}}`:                                      "bad-value " + pool + "tcp.maxConnectionDuration",
		`{connectionPool: {tcp: {maxConnections: -1}}}`:                                                "bad-value " + pool + "tcp.maxConnections",
		`{connectionPool: {tcp: {tcpKeepalive: {interval: 1ms}}}}`:                                     "costly-setting " + pool + "tcp.tcpKeepalive.interval",
		`{connectionPool: {http: {http2KeepAlive: {interval: 1ms, timeout: 10s}}}}`:                    "costly-setting " + pool + "http.http2KeepAlive.interval",
		`{connectionPool: {http: {maxConcurrentStreams: -1}}}`:                                         "bad-value " + pool + "http.maxConcurrentStreams",
		`{retryBudget: {percent: 99.5}, loadBalancer: {warmup: {duration: 60s, minimumPercent: 0.5}}}`: "",
		`{retryBudget: {percent: 100.5}}`:                                                              "bad-value retryBudget.percent",
		`{retryBudget: {percent: -0.5}}`:                                                               "bad-value retryBudget.percent",
		`{loadBalancer: {warmup: {duration: 60s, minimumPercent: 100.1}}}`:                             "bad-value loadBalancer.warmup.minimumPercent",
		`{retryBudget: {budgetInterval: -1s}}`:                                                         "bad-value retryBudget.budgetInterval",
		`{portLevelSettings: [{port: {number: 80}, outlierDetection: {interval: 1ms}}]}`:               "costly-setting portLevelSettings[0].outlierDetection.interval",
	} {
		want = strings.Replace(want, " ", " spec.trafficPolicy.", 1)
		assert.Equal(t, want, refusedAs(hop.CheckSettings(mesh().ReadRule(destinationRule(t, `{host: a, trafficPolicy: `+policy+`}`)))), policy)
	}
}

// TestSubsetsAreAsManyAsVersions: each is a cluster for each port of the host in whoever knows it, and of a wildcard for each host.
func TestSubsetsAreAsManyAsVersions(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		host  string
		count int
		want  string
	}{
		{"a.example.com", 100, ""},
		{"a.example.com", 101, "costly-setting spec.subsets"},
		{"'*.example.com'", 10, ""},
		{"'*.example.com'", 11, "costly-setting spec.subsets"},
	} {
		rule := mesh().ReadRule(destinationRule(t, `{host: `+tc.host+`, subsets: [`+strings.TrimSuffix(strings.Repeat("{name: v1}, ", tc.count), ", ")+`]}`))
		assert.Equal(t, tc.want, refusedAs(hop.CheckSettings(rule)), "%s: %d", tc.host, tc.count)
	}
}

// TestWeightsOfEndpoints: a ring by which proxies hash calls grows until the smallest has a place in it.
func TestWeightsOfEndpoints(t *testing.T) {
	t.Parallel()
	for endpoints, want := range map[string]string{
		`[{address: 192.0.2.1, weight: 99}, {address: 192.0.2.2, weight: 1}]`:                  "",
		`[{address: 192.0.2.1, weight: 500}, {address: 192.0.2.2}]`:                            "",
		`[{address: 192.0.2.1, weight: 4000000000}, {address: 192.0.2.2, weight: 4000000000}]`: "",
		`[{address: 192.0.2.1, weight: 4000000000}, {address: 192.0.2.2, weight: 1}]`:          "costly-setting spec.endpoints[1].weight",
		`[{address: 192.0.2.1}, {address: 192.0.2.2, weight: 1001}]`:                           "costly-setting spec.endpoints[0].weight",
	} {
		entry, err := egress.ParseServiceEntry(entry(t, `{hosts: [api.example.com], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: `+endpoints+`}`))
		require.NoError(t, err)
		assert.Equal(t, want, refusedAs(hop.CheckWeights(entry.Endpoints)), endpoints)
		assert.Empty(t, hop.Check(entry, mesh().Gateways[0], mesh()), endpoints+": it can be carried")

		stored := egresstest.Sealed("api.example.com", entry.Ports...)
		stored.Definition = entry.Define()
		view := &egresstest.Cluster{Mesh: mesh(), Known: []*egress.Entry{stored}}
		for _, object := range hop.ExitSet(mesh(), view.Exit("api.example.com", gateways), view, gateways, "api.example.com") {
			if exit, is := object.(*networkingv1.ServiceEntry); is {
				assert.Equal(t, want == "", exit.Spec.Endpoints[0].Weight+exit.Spec.Endpoints[1].Weight > 0, endpoints+": stored before")
			}
		}
	}
}

// TestAnExitHasNoSettingThatEnvoyRejects: a rule that was stored before such were refused stops no exit but what it says itself.
func TestAnExitHasNoSettingThatEnvoyRejects(t *testing.T) {
	t.Parallel()
	rules := func(policy string) (out []hop.Object) {
		view := ruled(t, `{host: api.example.com, trafficPolicy: `+policy+`}`)
		for _, object := range hop.ExitSet(mesh(), view.Exit("api.example.com", gateways), view, gateways, "api.example.com") {
			if rule, is := object.(*unstructured.Unstructured); is && rule.GetKind() == "DestinationRule" {
				out = append(out, object)
			}
		}
		return out
	}
	const kept = `outlierDetection: {consecutive5xxErrors: 3}`
	assert.Equal(t, rules(`{`+kept+`}`), rules(`{`+kept+`, loadBalancer: {consistentHash: {httpHeaderName: ""}}, connectionPool: {tcp: {idleTimeout: "-0.0005s"}}}`))
	assert.Empty(t, rules(`{loadBalancer: {consistentHash: {httpQueryParameterName: ""}}}`))
	assert.Equal(t, rules(`{`+kept+`}`), rules(`{`+kept+`, loadBalancer: {consistentHash: {useSourceIp: true, ringHash: {minimumRingSize: 8388608}}}}`))
	assert.Empty(t, rules(`{outlierDetection: {interval: 1ms}}`))
	assert.Len(t, rules(`{loadBalancer: {consistentHash: {httpQueryParameterName: q}}}`), 1)
}

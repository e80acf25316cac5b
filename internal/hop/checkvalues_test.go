package hop_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"

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

// TestAnExitHasNoSettingThatEnvoyRejects: a rule that was stored before such were refused stops no exit but what it says itself.
func TestAnExitHasNoSettingThatEnvoyRejects(t *testing.T) {
	t.Parallel()
	rules := func(policy string) (out []hop.Object) {
		view := ruled(t, `{host: api.example.com, trafficPolicy: `+policy+`}`)
		for _, object := range hop.ExitSet(mesh(), view.Exit("api.example.com", gateways), view, gateways, "api.example.com") {
			if _, is := object.(*networkingv1.DestinationRule); is {
				out = append(out, object)
			}
		}
		return out
	}
	const kept = `outlierDetection: {consecutive5xxErrors: 3}`
	assert.Equal(t, rules(`{`+kept+`}`), rules(`{`+kept+`, loadBalancer: {consistentHash: {httpHeaderName: ""}}, connectionPool: {tcp: {idleTimeout: "-0.0005s"}}}`))
	assert.Empty(t, rules(`{loadBalancer: {consistentHash: {httpQueryParameterName: ""}}}`))
	assert.Len(t, rules(`{loadBalancer: {consistentHash: {httpQueryParameterName: q}}}`), 1)
}

package hop_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/egress-governor/egress-governor/internal/hop"
)

// TestHeaderValuesThatEnvoyRejects stop every proxy that imports the route; those that it takes stay.
func TestHeaderValuesThatEnvoyRejects(t *testing.T) {
	t.Parallel()
	for value, good := range map[string]bool{
		"plain": true, "100%%": true, "%REQ(x-request-id)%": true, "a %DOWNSTREAM_REMOTE_ADDRESS% b %HOSTNAME%": true,
		"%REQ(x):10%": true, "%NOT_A_COMMAND%": false, "50%": false, "%": false, "%REQ(x)": false, "%req(x)%": false,
		`a\r\nx-c: d`: false, `a\nb`: false, `a\0b`: false, `a\tb`: true, strings.Repeat("a", 16<<10): true, strings.Repeat("a", 16<<10+1): false,
		// What commands take, and what not.
		"%START_TIME(%s)%": true, "t=%START_TIME(%s.%3f)%": true, "%START_TIME%": true, "%START_TIME()%": true, "%START_TIME(%Y/%m/%dT%H:%M:%S%z)% %EMIT_TIME(%s)%": true,
		"%START_TIME(%n)%": false, "%START_TIME(%s %-3En)%": false, "%START_TIME(%s):3%": false, "%DOWNSTREAM_PEER_CERT_V_END(%s)%": true,
		"%REQ(:authority)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH):9% %RESP(a?b)% %TRAILER(a)%": true, "%REQ%": false, "%REQ()%": false, "%REQ(a?b?c)%": false, "%REQ(a b)%": false,
		"%PROTOCOL(x)%": false, "%PROTOCOL:3%": false, "%PROTOCOL()%": true, "%REQ(a):99999999999999999999%": false,
		"%DYNAMIC_METADATA(a:b:c)%": true, `%UPSTREAM_METADATA([\"a\", \"b\"])%`: true, "%DYNAMIC_METADATA(a:b):5%": false, "%DYNAMIC_METADATA%": false,
		"%METADATA(ROUTE:istio:config)%": true, "%METADATA(OTHER:a:b)%": false, "%FILTER_STATE(a)% %FILTER_STATE(a:PLAIN):9% %FILTER_STATE(a:FIELD:b)%": true,
		"%FILTER_STATE(a:OTHER)%": false, "%FILTER_STATE%": false, "%FILTER_STATE(a:FIELD)%": false, "%ENVIRONMENT(POD_NAME):9%": true, "%ENVIRONMENT%": false,
		"%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS_NUMBER%": true, "%GRPC_STATUS(x)%": false, "%CEL(()%": false, "%PER_REQUEST_STATE(a)%": false,
		"%UPSTREAM_REQUEST_ATTEMPT_COUNT% %UPSTREAM_LOCAL_PORT% %UPSTREAM_TLS_VERSION% %DOWNSTREAM_PEER_DNS_SAN%": true,
	} {
		in := route(t, `{hosts: [a.test], http: [{headers: {response: {add: {x-a: "`+value+`"}}}, route: [{destination: {host: local}, headers: {request: {set: {x-b: "`+value+`"}}}}]},
			{headers: {request: {set: {x-c: "`+value+`"}}}, redirect: {uri: /}}]}`)
		want := "header-format spec.http[0].headers.response.add[x-a], header-format spec.http[0].route[0].headers.request.set[x-b], header-format spec.http[1].headers.request.set[x-c]"
		if good {
			want = ""
		}
		assert.Equal(t, want, refusedAs(hop.CheckHeaders(in)), value)
	}
	assert.Empty(t, hop.CheckHeaders(route(t, `{hosts: [a.test], tcp: [{route: [{destination: {host: local}}]}]}`)))
}

// TestHeaderNamesThatEnvoyRejects, and more headers than it takes for one call: a destination's come to those of its route.
func TestHeaderNamesThatEnvoyRejects(t *testing.T) {
	t.Parallel()
	headers := func(from, to int) string {
		var out []string
		for i := range to - from {
			out = append(out, fmt.Sprintf("x-%d: a", from+i))
		}
		return "{" + strings.Join(out, ", ") + "}"
	}
	for spec, want := range map[string]string{
		`{headers: {request: {set: {"x-a\nb": a}, add: {"x\0": a}, remove: ["a", "b\r"]}}}`:                                   "header-format spec.http[0].headers.request.add, header-format spec.http[0].headers.request.set, header-format spec.http[0].headers.request.remove[1]",
		`{route: [{headers: {response: {set: {"x-a\nb": "%"}, remove: ["\n"]}}}]}`:                                            "header-format spec.http[0].route[0].headers.response.set, header-format spec.http[0].route[0].headers.response.remove[0]",
		`{headers: {request: {set: {x_a: a, X-B!: b, "x.c": c}, remove: [x-envoy-max-retries]}}}`:                             "",
		`{headers: {request: {set: ` + headers(0, 1000) + `}}}`:                                                               "",
		`{headers: {request: {set: ` + headers(0, 600) + `, add: ` + headers(600, 1001) + `}}}`:                               "header-format spec.http[0].headers.request",
		`{headers: {request: {set: ` + headers(0, 600) + `}}, route: [{headers: {request: {set: ` + headers(0, 401) + `}}}]}`: "header-format spec.http[0].route[0].headers.request",
	} {
		assert.Equal(t, want, refusedAs(hop.CheckHeaders(route(t, `{hosts: [a.test], http: [`+spec+`]}`))), spec)
	}
	in := route(t, `{hosts: [a.test], http: [{}]}`)
	in.Object["spec"].(map[string]any)["http"].([]any)[0].(map[string]any)["headers"] = map[string]any{"request": map[string]any{"set": map[string]any{
		strings.Repeat("a", 16<<10): "a", strings.Repeat("b", 16<<10+1): "b",
	}}}
	assert.Equal(t, "header-format spec.http[0].headers.request.set", refusedAs(hop.CheckHeaders(in)))
}

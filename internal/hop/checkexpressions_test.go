package hop_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/egress-governor/egress-governor/internal/hop"
)

// TestExpressionsThatEnvoyRejects stop every proxy that imports the route; those that people write stay.
func TestExpressionsThatEnvoyRejects(t *testing.T) {
	t.Parallel()
	for expression, good := range map[string]bool{
		`^/api/v[0-9]+/.*$`: true, `[^/]{0,255}`: true, `.{1,1000}`: true, `(?i)[a-z0-9-]{1,63}(\\.[a-z0-9-]{1,63}){0,10}`: true, `\\p{L}+`: true,
		`\\p{L}{500}`: false, `(\\p{L}|\\p{N}){100}`: false, `([^a]{100}){10}.{1000}`: false, `[[:alpha:]]{10}[]{]{3}\\x{41}`: true, `([\\p{L}]){9}{9}`: false, `a{99999999999999999999}`: false, `(((((((a{99}){99}){99}){99}){99}){99}){99}){99}`: false, strings.Repeat("a", 4096): true,
	} {
		in := route(t, `{hosts: [a.test], http: [{match: [{uri: {regex: "`+expression+`"}, headers: {x-a: {regex: "`+expression+`"}}}],
			rewrite: {uriRegexRewrite: {match: "`+expression+`", rewrite: /}}, corsPolicy: {allowOrigins: [{regex: "`+expression+`"}]}, route: [{destination: {host: local}}]}],
			rules: [{matches: [{path: {type: RegularExpression, value: "`+expression+`"}, headers: [{type: Exact, value: "`+expression+`"}]}]}]}`)
		var fields []string
		for _, refusal := range hop.CheckExpressions(in) {
			assert.Equal(t, "large-expression", refusal.Code)
			fields = append(fields, refusal.Field)
		}
		want := "spec.http[0].corsPolicy.allowOrigins[0].regex, spec.http[0].match[0].headers.x-a.regex, spec.http[0].match[0].uri.regex, spec.http[0].rewrite.uriRegexRewrite.match, spec.rules[0].matches[0].path.value"
		if good {
			want = ""
		}
		assert.Equal(t, want, strings.Join(fields, ", "), expression)
	}
	many := `{hosts: [a.test], http: [` + strings.Repeat(`{match: [{uri: {regex: "`+strings.Repeat("a", 1000)+`"}}]},`, 1000) + `]}`
	assert.Len(t, hop.CheckExpressions(route(t, many)), 1, "not all of them are looked at")
}

// TestExpressionsThatAreNone are Istio's webhook's to refuse in VirtualServices, and nobody's in routes of the Gateway API.
func TestExpressionsThatAreNone(t *testing.T) {
	t.Parallel()
	for expression, good := range map[string]bool{`[a-z]+`: true, `\\C*`: true, `(`: false, `a**`: false, `[z-a]`: false, `(?=a)`: false, `\\1`: false, `a{1001}`: false,
		`\\p{L}\\pN[\\p{^Greek}\\PL]`: true, `\\\\p{Letter}`: true, `\\p{Any}`: true,
		`\\p{Letter}`: false, `[a\\p{ASCII}]`: false, `\\P{greek}`: false, `\\p{^Cn}`: false, `\\p{LC}`: false, `\\\\\\p{Assigned}`: false} {
		in := route(t, `{rules: [{matches: [{path: {type: RegularExpression, value: "`+expression+`"}, method: {type: RegularExpression, service: "`+expression+`", method: "`+expression+`"}}, {method: {type: Exact, service: "`+expression+`"}}]}]}`)
		var fields []string
		for _, refusal := range hop.CheckExpressions(in) {
			fields = append(fields, refusal.Code+" "+refusal.Field)
		}
		want := "bad-expression spec.rules[0].matches[0].method.method, bad-expression spec.rules[0].matches[0].method.service, bad-expression spec.rules[0].matches[0].path.value"
		if good {
			want = ""
		}
		assert.Equal(t, want, strings.Join(fields, ", "), expression)
	}
}

// TestAnyValueOfAHeaderThatCallsAreToBeWithout is a star by itself, which is no expression anywhere else.
func TestAnyValueOfAHeaderThatCallsAreToBeWithout(t *testing.T) {
	t.Parallel()
	in := route(t, `{hosts: [a.test], http: [{match: [{withoutHeaders: {x-a: {regex: "*"}}}, {headers: {x-a: {regex: "*"}}, withoutHeaders: {x-b: {regex: "**"}}}]}]}`)
	assert.Equal(t, "bad-expression spec.http[0].match[1].headers.x-a.regex, bad-expression spec.http[0].match[1].withoutHeaders.x-b.regex", refusedAs(hop.CheckExpressions(in)))
}

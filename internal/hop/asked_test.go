package hop_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// TestWhatARefusedRouteIsToldWorks: the fix of one answer is not the fault of the next.
func TestWhatARefusedRouteIsToldWorks(t *testing.T) {
	t.Parallel()
	view := cluster()
	view.Known = append(view.Known, sealedBoth("both.example.com"), sealedBoth("*.wild.example.com"))
	for name, tc := range map[string]struct{ spec, want, fix string }{
		"a Service's calls to a TLS port": {
			`{hosts: [local], http: [{rewrite: {authority: both.example.com}, route: [{destination: {host: both.example.com, port: {number: 443}}}]}]}`,
			"port-mapping", "write both.example.com:443 in spec.http[0].rewrite.authority",
		},
		"as it says": {`{hosts: [local], http: [{rewrite: {authority: "both.example.com:443"}, route: [{destination: {host: both.example.com, port: {number: 80}}}]}]}`, "", ""},
		"another host's calls to a TLS port": {
			`{hosts: [api.example.com], http: [{route: [{destination: {host: both.example.com, port: {number: 443}}}]}]}`,
			"port-mapping", "lead the route to port 80 of the host, set headers.request.set.host: both.example.com:443 beside this destination",
		},
		"as that says": {`{hosts: [api.example.com], http: [{route: [{destination: {host: both.example.com, port: {number: 80}}, headers: {request: {set: {host: "both.example.com:443"}}}}]}]}`, "", ""},
		"a third host, and another in the header": {
			`{hosts: [api.example.com], http: [{rewrite: {authority: third.test}, headers: {request: {set: {Host: fourth.test}}}, route: [{destination: {host: both.example.com}, headers: {request: {set: {host: both.example.com}}}}]}]}`,
			"other-host", "remove the host in spec.http[0].rewrite.authority and spec.http[0].headers.request.set, and set headers.request.set.host: both.example.com beside this destination",
		},
		"as is said of it": {`{hosts: [api.example.com], http: [{route: [{destination: {host: both.example.com}, headers: {request: {set: {host: both.example.com}}}}]}]}`, "", ""},
		"a wildcard":       {`{hosts: [api.example.com], http: [{route: [{destination: {host: "*.wild.example.com"}}]}]}`, "other-host", "to a name below *.wild.example.com"},
		"a name below":     {`{hosts: [api.example.com], http: [{route: [{destination: {host: "*.wild.example.com"}, headers: {request: {set: {host: a.wild.example.com}}}}]}]}`, "", ""},
		"one port of several": {
			`{hosts: [two.example.com], http: [{route: [{destination: {host: two.example.com, port: {number: 8080}}}]}]}`,
			"port-mapping", "or set headers.request.set.host: two.example.com:8080 beside this destination",
		},
		"which is asked for":    {`{hosts: [two.example.com], http: [{route: [{destination: {host: two.example.com, port: {number: 8080}}, headers: {request: {set: {host: "two.example.com:8080"}}}}]}]}`, "", ""},
		"the port of no port":   {`{hosts: [local], http: [{rewrite: {authority: two.example.com}, route: [{destination: {host: two.example.com, port: {number: 80}}}]}]}`, "", ""},
		"another is asked for":  {`{hosts: [two.example.com], http: [{rewrite: {authority: "two.example.com:80"}, route: [{destination: {host: two.example.com, port: {number: 8080}}}]}]}`, "port-mapping", "8080"},
		"one asks, and one not": {`{hosts: [two.example.com], http: [{rewrite: {authority: "two.example.com:8080"}, route: [{destination: {host: two.example.com, port: {number: 8080}}, headers: {request: {set: {host: two.example.com}}}}]}]}`, "port-mapping", "8080"},
	} {
		got, fix := []string{}, ""
		for _, refusal := range hop.CheckRoutes(egress.Resolve(route(t, tc.spec), mesh(), view)) {
			if refusal.Code != "authority-port" {
				got, fix = append(got, refusal.Code), fix+refusal.Fix
			}
		}
		assert.Equal(t, tc.want, strings.Join(got, ", "), name)
		assert.Contains(t, fix, tc.fix, name)
	}
}

func sealedBoth(host string) *egress.Entry {
	return egresstest.Sealed(host, egress.Port{Number: 80, Name: "http", Protocol: "HTTP"}, egress.Port{Number: 443, Name: "tls", Protocol: "TLS"})
}

// TestASpellingThatSidecarsDoNotKnowIsRefused, where the destination stays as it is written; the gateway's stands in the place of
// any other.
func TestASpellingThatSidecarsDoNotKnowIsRefused(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{
		`{hosts: [API.example.com], http: [{route: [{destination: {host: API.example.com}}]}]}`:                                                             "spec.http[0].route[0].destination.host",
		`{hosts: [api.example.com], http: [{route: [{destination: {host: api.example.com.}, headers: {request: {set: {host: api.example.com}}}}]}]}`:        "spec.http[0].route[0].destination.host",
		`{hosts: [api.example.com], tls: [{match: [{sniHosts: [api.example.com]}], route: [{destination: {host: API.example.com, port: {number: 443}}}]}]}`: "spec.tls[0].route[0].destination.host",
		`{hosts: [api.example.com.], http: [{route: [{destination: {host: api.example.com}}]}]}`:                                                            "spec.hosts[0]",
		`{hosts: [api.example.com.], gateways: [in], http: [{route: [{destination: {host: local}}]}]}`:                                                      "",
		`{hosts: [Local], http: [{route: [{destination: {host: Local}}]}]}`:                                                                                 "",
		`{hosts: [API.example.com], http: [{route: [{destination: {host: api.example.com}}]}]}`:                                                             "",
	} {
		var got []string
		for _, refusal := range hop.CheckRoutes(egress.Resolve(route(t, spec), mesh(), cluster())) {
			if refusal.Code == "not-canonical" {
				got = append(got, refusal.Field)
			}
		}
		assert.Equal(t, want, strings.Join(got, ", "), spec)
	}
}

package hop_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// TestNoTLSRouteLeavesCallsOut: sidecars know a host that one TLS route is for by such routes alone, and what none of them
// is for goes straight out.
func TestNoTLSRouteLeavesCallsOut(t *testing.T) {
	t.Parallel()
	const to = "route: [{destination: {host: local}}]"
	wild := egresstest.Sealed("*.wide.test", egress.Port{Number: 443, Name: "tls", Protocol: "TLS"})
	theirs := egresstest.Sealed("*.theirs.test", egress.Port{Number: 443, Name: "tls", Protocol: "TLS"})
	theirs.Namespace, theirs.ExportTo = "elsewhere", []string{"."}
	plain := egresstest.Sealed("*.plain.test", egress.Port{Number: 80, Name: "http", Protocol: "HTTP"})
	view := cluster()
	view.Known = append(view.Known, wild, theirs, plain)
	for name, tc := range map[string]struct{ spec, want string }{
		"one of two hosts":         {`{hosts: [a.test, b.test], tls: [{match: [{sniHosts: [b.test]}], ` + to + `}]}`, "left-out spec.tls[0].match[0].sniHosts"},
		"another host's":           {`{hosts: [a.test], tls: [{match: [{sniHosts: [b.test]}], ` + to + `}]}`, "left-out spec.tls[0].match[0].sniHosts"},
		"both":                     {`{hosts: [a.test, b.test], tls: [{match: [{sniHosts: [a.test, b.test]}], ` + to + `}]}`, ""},
		"both, by routes":          {`{hosts: [a.test, b.test], tls: [{match: [{sniHosts: [b.test]}], ` + to + `}, {match: [{sniHosts: [a.test]}], ` + to + `}]}`, ""},
		"both, in a spelling":      {`{hosts: [A.test., b.test], tls: [{match: [{sniHosts: [a.test, b.test]}], ` + to + `}]}`, ""},
		"both, by a wildcard":      {`{hosts: [a.test, b.test], tls: [{match: [{sniHosts: ["*.test"]}], ` + to + `}]}`, ""},
		"both, by all":             {`{hosts: [a.test, b.test], tls: [{match: [{sniHosts: ["*"]}], ` + to + `}]}`, ""},
		"some below a wildcard":    {`{hosts: ["*.test"], tls: [{match: [{sniHosts: [b.test]}], ` + to + `}]}`, "left-out spec.tls[0].match[0].sniHosts"},
		"all below a wildcard":     {`{hosts: ["*.test"], tls: [{match: [{sniHosts: [b.test, "*.test"]}], ` + to + `}]}`, ""},
		"on another port":          {`{hosts: [a.test, b.test], tls: [{match: [{port: 443, sniHosts: [b.test]}], ` + to + `}, {match: [{port: 8443, sniHosts: [a.test]}], ` + to + `}]}`, "left-out spec.tls[0].match[0].sniHosts, left-out spec.tls[1].match[0].sniHosts"},
		"on every port":            {`{hosts: [a.test, b.test], tls: [{match: [{port: 443, sniHosts: [b.test]}], ` + to + `}, {match: [{sniHosts: [a.test, b.test]}], ` + to + `}]}`, ""},
		"of other workloads":       {`{hosts: [a.test, b.test], tls: [{match: [{sniHosts: [b.test]}], ` + to + `}, {match: [{sourceLabels: {app: x}, sniHosts: [a.test]}], ` + to + `}]}`, "left-out spec.tls[0].match[0].sniHosts"},
		"of one workload":          {`{hosts: [a.test], tls: [{match: [{sourceLabels: {app: x}, sniHosts: [a.test]}], ` + to + `}]}`, ""},
		"of another namespace":     {`{hosts: [a.test, b.test], tls: [{match: [{sniHosts: [b.test]}], ` + to + `}, {match: [{sourceNamespace: x, sniHosts: [a.test]}], ` + to + `}]}`, "left-out spec.tls[0].match[0].sniHosts"},
		"at some addresses":        {`{hosts: [a.test], tls: [{match: [{sniHosts: [a.test], destinationSubnets: [203.0.113.0/24]}], ` + to + `}]}`, "left-out spec.tls[0].match[0].destinationSubnets"},
		"at some, and at all":      {`{hosts: [a.test], tls: [{match: [{sniHosts: [a.test], destinationSubnets: [203.0.113.0/24]}], ` + to + `}, {match: [{sniHosts: [a.test]}], ` + to + `}]}`, ""},
		"an entry's wildcard":      {`{hosts: [a.wide.test], tls: [{match: [{sniHosts: [a.wide.test]}], ` + to + `}]}`, "left-out spec.tls[0].match[0].sniHosts"},
		"an entry's, with it":      {`{hosts: [a.wide.test, "*.wide.test"], tls: [{match: [{sniHosts: [a.wide.test, "*.wide.test"]}], ` + to + `}]}`, ""},
		"another's, hidden":        {`{hosts: [a.theirs.test], exportTo: ["."], tls: [{match: [{sniHosts: [a.theirs.test]}], ` + to + `}]}`, ""},
		"another's, exported":      {`{hosts: [a.theirs.test], exportTo: [elsewhere], tls: [{match: [{sniHosts: [a.theirs.test]}], ` + to + `}]}`, "left-out spec.tls[0].match[0].sniHosts"},
		"a wildcard without TLS":   {`{hosts: [a.plain.test], tls: [{match: [{sniHosts: [a.plain.test]}], ` + to + `}]}`, ""},
		"a Service":                {`{hosts: [local, a.test], tls: [{match: [{sniHosts: [a.test]}], ` + to + `}]}`, ""},
		"of a gateway":             {`{hosts: [a.test, b.test], gateways: [g], tls: [{match: [{sniHosts: [b.test]}], ` + to + `}]}`, ""},
		"of a gateway, by a match": {`{hosts: [a.test, b.test], gateways: [g, mesh], tls: [{match: [{gateways: [g], sniHosts: [b.test]}], ` + to + `}]}`, ""},
		"of the mesh, by a match":  {`{hosts: [a.test, b.test], gateways: [g, mesh], tls: [{match: [{gateways: [mesh], sniHosts: [b.test]}], ` + to + `}]}`, "left-out spec.tls[0].match[0].sniHosts"},
		"of HTTP":                  {`{hosts: [a.test, b.test], http: [{` + to + `}]}`, ""},
	} {
		var got []string
		for _, refusal := range hop.CheckRoutes(egress.Resolve(route(t, tc.spec), mesh(), view)) {
			if refusal.Code == "left-out" {
				got = append(got, refusal.Code+" "+refusal.Field)
			}
		}
		assert.Equal(t, tc.want, strings.Join(got, ", "), name)
	}
}

// TestWildcardsThatRoutesNarrow, whether or not there is an entry of them yet.
func TestWildcardsThatRoutesNarrow(t *testing.T) {
	t.Parallel()
	const to = "route: [{destination: {host: local}}]"
	many := strings.Repeat(`{sniHosts: ["*.b.test"]}, `, 50_001)
	for name, tc := range map[string]struct {
		spec string
		want []string
	}{
		"a host":        {`{hosts: [a.b.test], tls: [{match: [{sniHosts: [a.b.test]}], ` + to + `}]}`, []string{"a.b.test", "*.b.test", "*.test", "*"}},
		"the wildcard":  {`{hosts: [a.b.test, "*.b.test"], tls: [{match: [{sniHosts: ["*.b.test"]}], ` + to + `}]}`, []string{"a.b.test", "*.test", "*"}},
		"everything":    {`{hosts: [a.b.test], tls: [{match: [{sniHosts: ["*"]}], ` + to + `}]}`, nil},
		"of HTTP":       {`{hosts: [a.b.test], http: [{` + to + `}]}`, nil},
		"of a gateway":  {`{hosts: [a.b.test], gateways: [g], tls: [{match: [{sniHosts: [a.b.test]}], ` + to + `}]}`, nil},
		"a Service":     {`{hosts: [local], tls: [{match: [{sniHosts: [local]}], ` + to + `}]}`, nil},
		"too much work": {`{hosts: ["*.b.test"], tls: [{match: [` + many + `], ` + to + `}]}`, []string{"*.test", "*"}},
	} {
		assert.Equal(t, tc.want, hop.Narrows(route(t, tc.spec), mesh()), name)
	}
}

// TestAnotherNameLeadsToAPort where the gateway is called under that of the port, and nowhere else: not where it reads what calls ask for.
func TestAnotherNameLeadsToAPort(t *testing.T) {
	t.Parallel()
	tls := func(of *egress.Entry) *egress.Entry { of.Transport = egress.MutualTLS; return of }
	port := egress.Port{Number: 443, Name: "tls", Protocol: "TLS"}
	resolved := tls(egresstest.Sealed("*.resolved.test", port))
	resolved.Definition.Endpoints = nil
	more := tls(egresstest.Sealed("db.example.com", egress.Port{Number: 8443, Name: "alt", Protocol: "TLS"}))
	more.Name = "more"
	moves := tls(egresstest.Sealed("moves.test", port))
	moves.Moving = egress.Leg{Gateway: "other", Transport: egress.Plain}
	for to, want := range map[string]string{
		"db.example.com, port: {number: 443}": "", "db.example.com, port: {number: 5432}": "", "db.example.com": "",
		"db.example.com, port: {number: 8443}":     "",
		"db.example.com, port: {number: 80}":       "other-host",
		"\"*.served.test\", port: {number: 443}":   "",
		"\"*.resolved.test\", port: {number: 443}": "other-host",
		"moves.test, port: {number: 443}":          "other-host",
		"plain.test, port: {number: 443}":          "other-host",
	} {
		mesh, view := mutual(t, []string{"."}, nil)
		view.Known = append(view.Known, more, resolved, moves, tls(egresstest.Sealed("*.served.test", port)), egresstest.Sealed("plain.test", port))
		var got []string
		spec := `{hosts: [a.test], exportTo: ["."], tls: [{match: [{sniHosts: [a.test]}], route: [{destination: {host: ` + to + `}}]}]}`
		for _, refusal := range hop.CheckRoutes(egress.Resolve(route(t, spec), mesh, view)) {
			got = append(got, refusal.Code)
		}
		assert.Equal(t, want, strings.Join(got, ", "), to)
	}
}

// TestAnotherNameBeforeTheEntry is what it will be with it, where routes stay as they are written, too.
func TestAnotherNameBeforeTheEntry(t *testing.T) {
	t.Parallel()
	for by, want := range map[egress.Transport]int{egress.Plain: 1, egress.MutualTLS: 0} {
		mesh := egresstest.Mesh()
		mesh.Inject, mesh.Gateways[0].Transport = false, by
		view := cluster()
		view.Mesh, view.Leaving = mesh, map[string]string{"payments": "default"}
		object := route(t, `{hosts: [a.test], exportTo: ["."], tls: [{match: [{sniHosts: [a.test]}], route: [{destination: {host: later.test, port: {number: 443}}}]}]}`)
		assert.Len(t, hop.CheckLeft(object, egress.Resolve(object, mesh, view), mesh, view), want, by)
	}
}

func TestWhatTLSCallsAreToAskFor(t *testing.T) {
	t.Parallel()
	assert.Contains(t, hop.AskingBySNI("b.test"), `to have "b.test" answer those calls, put it into spec.endpoints of the ServiceEntry of the host`)
	assert.NotContains(t, hop.AskingBySNI("*.b.test"), "endpoints", "a wildcard is no address")
}

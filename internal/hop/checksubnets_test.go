package hop_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// TestRoutesForAddresses, which take the calls of all hosts at these.
func TestRoutesForAddresses(t *testing.T) {
	t.Parallel()
	const to, first = `route: [{destination: {host: own.test}}]`, "destination-subnets spec.tcp[0].match[0].destinationSubnets[0]"
	own := egresstest.Sealed("own.test", egress.Port{Number: 443, Name: "tls", Protocol: "TLS"})
	own.Addresses = []string{"203.0.113.7", "2001:db8::7"}
	madeUp := egresstest.Sealed("made-up.test", egress.Port{Number: 443, Name: "tls", Protocol: "TLS"})
	madeUp.Addresses = []string{"240.240.0.7"}
	inside := egresstest.Sealed("inside.test", egress.Port{Number: 443, Name: "tls", Protocol: "TLS"})
	inside.Addresses, inside.External, inside.Gateway = []string{"10.77.0.7", "10.77.8.0/24", "2001:db8:77::/64"}, false, ""
	outside, declared := *inside, *own
	outside.Name, outside.Hosts, outside.Addresses = "outside", []string{"outside.test"}, []string{"203.0.113.9", "203.0.113.0/24"}
	declared.Name, declared.Hosts, declared.Addresses = "declared", []string{"declared.test"}, []string{"10.77.0.7"}
	view, of := cluster(), mesh()
	of.CIDRs = []netip.Prefix{netip.MustParsePrefix("10.77.0.0/16"), netip.MustParsePrefix("2001:db8:77::/48")}
	view.Known = append(view.Known, own, madeUp, inside, &outside, &declared)
	for name, tc := range map[string]struct{ spec, want string }{
		"its own":                   {`{hosts: [own.test], tcp: [{match: [{destinationSubnets: [203.0.113.7/32, "2001:db8::7/128"]}], ` + to + `}]}`, ""},
		"a range of its own":        {`{hosts: [own.test], tcp: [{match: [{destinationSubnets: [203.0.113.0/24]}], ` + to + `}]}`, first},
		"others'":                   {`{hosts: [own.test], exportTo: ["."], tcp: [{match: [{destinationSubnets: [203.0.113.8]}], ` + to + `}]}`, first},
		"one of others":             {`{hosts: [own.test], tcp: [{match: [{port: 443}, {destinationSubnets: [203.0.113.7, 0.0.0.0/1]}], ` + to + `}]}`, "destination-subnets spec.tcp[0].match[1].destinationSubnets[1]"},
		"of a host without any":     {`{hosts: [api.example.com], tcp: [{match: [{destinationSubnets: [203.0.113.7]}], ` + to + `}]}`, first},
		"of a host of nobody":       {`{hosts: [later.test], tcp: [{match: [{destinationSubnets: [203.0.113.7]}], ` + to + `}]}`, first},
		"by SNI":                    {`{hosts: [a.test], tls: [{match: [{sniHosts: [a.test]}], ` + to + `}, {match: [{sniHosts: [a.test], destinationSubnets: [0.0.0.0/1]}], ` + to + `}]}`, "destination-subnets spec.tls[1].match[0].destinationSubnets[0]"},
		"said already":              {`{hosts: [a.test], tls: [{match: [{sniHosts: [a.test], destinationSubnets: [0.0.0.0/1]}], ` + to + `}]}`, "left-out spec.tls[0].match[0].destinationSubnets"},
		"by name, at an address":    {`{hosts: [own.test], tls: [{match: [{sniHosts: [own.test]}], ` + to + `}]}`, "left-out spec.tls[0].match[0].sniHosts"},
		"by any name":               {`{hosts: [own.test], tls: [{match: [{sniHosts: ["*"]}], ` + to + `}]}`, ""},
		"by name, at one of ours":   {`{hosts: [made-up.test], tls: [{match: [{sniHosts: [made-up.test]}], ` + to + `}]}`, ""},
		"by name, at the mesh's":    {`{hosts: [inside.test], tls: [{match: [{sniHosts: [inside.test]}], ` + to + `}]}`, ""},
		"by name, beside another":   {`{hosts: [inside.test, own.test], tls: [{match: [{sniHosts: [inside.test, own.test]}], ` + to + `}]}`, "left-out spec.tls[0].match[0].sniHosts"},
		"inside, at what is not":    {`{hosts: [outside.test], tls: [{match: [{sniHosts: [outside.test]}], ` + to + `}]}`, "left-out spec.tls[0].match[0].sniHosts"},
		"outside, at the mesh's":    {`{hosts: [declared.test], tls: [{match: [{sniHosts: [declared.test]}], ` + to + `}]}`, "left-out spec.tls[0].match[0].sniHosts"},
		"a part of the mesh's":      {`{hosts: [inside.test], tcp: [{match: [{destinationSubnets: [10.77.0.7, 10.77.8.0/24, 10.77.8.128/25, 10.77.8.9, "2001:db8:77::8"]}], ` + to + `}]}`, ""},
		"more than the mesh's":      {`{hosts: [inside.test], tcp: [{match: [{destinationSubnets: [10.77.8.0/23]}], ` + to + `}]}`, first},
		"beside what it has":        {`{hosts: [inside.test], tcp: [{match: [{destinationSubnets: [10.77.9.0/25]}], ` + to + `}]}`, first},
		"of the mesh, no subnet":    {`{hosts: [inside.test], tcp: [{match: [{destinationSubnets: [all]}], ` + to + `}]}`, first},
		"a part of what is not":     {`{hosts: [outside.test], tcp: [{match: [{destinationSubnets: [203.0.113.0/25]}], ` + to + `}]}`, first},
		"of a Service of the mesh":  {`{hosts: [local], tcp: [{match: [{destinationSubnets: [203.0.113.0/24]}], route: [{destination: {host: local}}]}]}`, ""},
		"on a gateway of the guide": {`{hosts: [own.test], gateways: [elsewhere/ingress], tcp: [{match: [{destinationSubnets: [203.0.113.0/24]}], route: [{destination: {host: local}}]}]}`, ""},
	} {
		var got []string
		for _, refusal := range hop.CheckRoutes(egress.Resolve(route(t, tc.spec), of, view)) {
			if refusal.Code == "destination-subnets" || refusal.Code == "left-out" {
				got = append(got, refusal.Code+" "+refusal.Field)
			}
		}
		assert.Equal(t, tc.want, strings.Join(got, ", "), name)
	}
}

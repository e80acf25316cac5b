package hop_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// TestOtherNamesOfHostsOutside: sidecars lead a route to an ExternalName Service to the host behind it, however many are
// between the two.
func TestOtherNamesOfHostsOutside(t *testing.T) {
	t.Parallel()
	view := cluster()
	for name, alias := range map[string]string{
		"out": "api.example.com", "further": "out.payments.svc.cluster.local", "inside": "local.payments.svc.cluster.local",
		"round": "round.payments.svc.cluster.local",
	} {
		view.Services[name+".payments.svc.cluster.local"] = &egress.Service{ExternalName: true, Alias: alias}
	}
	for name, tc := range map[string]struct{ spec, want string }{
		"a destination":           {`{hosts: [www.test], http: [{route: [{destination: {host: out}}]}]}`, "external-name spec.http[0].route[0].destination.host"},
		"a share":                 {`{hosts: [local], http: [{route: [{destination: {host: local}}, {destination: {host: out.payments.svc.cluster.local}}]}]}`, "external-name spec.http[0].route[1].destination.host"},
		"a mirror":                {`{hosts: [www.test], http: [{route: [{destination: {host: local}}], mirror: {host: further}}]}`, "external-name spec.http[0].mirror.host"},
		"by SNI":                  {`{hosts: [www.test], tls: [{match: [{sniHosts: [www.test]}], route: [{destination: {host: out}}]}]}`, "external-name spec.tls[0].route[0].destination.host"},
		"of a Service":            {`{hosts: [www.test], http: [{route: [{destination: {host: inside}}]}]}`, ""},
		"of itself":               {`{hosts: [www.test], http: [{route: [{destination: {host: round}}]}]}`, ""},
		"as the answer says":      {`{hosts: [www.test], http: [{rewrite: {authority: api.example.com}, route: [{destination: {host: api.example.com}}]}]}`, ""},
		"a Service of the mesh's": {`{hosts: [www.test], http: [{route: [{destination: {host: local}}]}]}`, ""},
	} {
		var got []string
		for _, refusal := range hop.CheckRoutes(egress.Resolve(route(t, tc.spec), mesh(), view)) {
			got = append(got, refusal.Code+" "+refusal.Field)
			assert.Contains(t, refusal.Fix, `"api.example.com"`, name)
		}
		assert.Equal(t, tc.want, strings.Join(got, ", "), name)
	}
}

// TestRulesForCallsOfTheGatewayItself, whoever's they are: under them its Service could not be called, so routes are left to
// the sealed entry.
func TestRulesForCallsOfTheGatewayItself(t *testing.T) {
	t.Parallel()
	in := route(t, `{hosts: [api.example.com], http: [{route: [{destination: {host: api.example.com}}]}]}`)
	for namespace, want := range map[string]string{
		"payments": "api.example.com", "istio-system": "api.example.com", "root": "api.example.com", "other": gatewayService,
	} {
		view, of := cluster(), mesh()
		of.IstioNamespace = "root"
		view.Rules = []*egress.Rule{{Namespace: namespace, Host: "*.local", InForce: true}}
		out, err := hop.Inject(in, of.Gateways[0], of, view)
		require.NoError(t, err)
		assert.Equal(t, []string{want}, hostsOf(out), namespace)
		view.Rules[0].InForce = false
		out, err = hop.Inject(in, of.Gateways[0], of, view)
		require.NoError(t, err)
		assert.Equal(t, []string{gatewayService}, hostsOf(out), namespace)
	}
}

// TestMetadataServersHaveAWayOfTheirOwn, which the answer names; what else is no external host has none.
func TestMetadataServersHaveAWayOfTheirOwn(t *testing.T) {
	t.Parallel()
	const ports = "resolution: %s, ports: [{number: 80, name: http, protocol: HTTP}]}"
	for spec, own := range map[string]bool{
		"{hosts: [metadata.google.internal], " + fmt.Sprintf(ports, "DNS"):                                    true,
		"{hosts: [\"169.254.169.254\"], " + fmt.Sprintf(ports, "NONE"):                                        true,
		"{hosts: [a.example.com], endpoints: [{address: \"fd00:ec2::254\"}], " + fmt.Sprintf(ports, "STATIC"): true,
		"{hosts: [a.localhost], " + fmt.Sprintf(ports, "DNS"):                                                 false,
		"{hosts: [a.example.com], endpoints: [{address: 127.0.0.1}], " + fmt.Sprintf(ports, "STATIC"):         false,
	} {
		_, err := hop.Seal(entry(t, spec), mesh().Gateways[0], mesh())
		var refusals hop.Refusals
		require.ErrorAs(t, err, &refusals, spec)
		assert.Contains(t, refusals[0].Code, "deputy-", spec)
		assert.Equal(t, own, strings.Contains(refusals[0].Fix, "global.proxy.excludeIPRanges"), spec)
	}
}

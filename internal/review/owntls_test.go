package review

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// inEitherOrder reviews a rule beside an entry that is there, and the entry beside the rule.
func inEitherOrder(t *testing.T, mesh *egress.Mesh, capture bool, ruleSpec, entrySpec string) (onRule, onEntry *Outcome) {
	t.Helper()
	view := &egresstest.Cluster{Mesh: mesh, Captures: capture}
	r := &Reviewer{Mesh: mesh, View: view, Policies: &policies{}}
	intent, err := hop.ParseEntry(entry(t, entrySpec))
	require.NoError(t, err)
	known := egresstest.Sealed(intent.Hosts[0], intent.Ports...)
	known.Transport, known.Addresses, known.Resolution, known.Created = mesh.Gateways[0].Transport, intent.Addresses, "DNS_ROUND_ROBIN", time.Unix(1, 0)
	known.Definition = intent.Define()
	// A rule and an entry commonly have one name.
	known.Name = "x"
	view.Known = []*egress.Entry{known}
	onRule, err = r.Review(t.Context(), stored(t, r, create(destinationRule(t, ruleSpec))))
	require.NoError(t, err)

	rule := mesh.ReadRule(destinationRule(t, ruleSpec))
	rule.Namespace, rule.InForce = egresstest.Namespace, hop.RuleInForce(destinationRule(t, ruleSpec))
	view.Known, view.Rules = nil, []*egress.Rule{rule}
	onEntry, err = r.Review(t.Context(), stored(t, r, create(entry(t, entrySpec))))
	require.NoError(t, err)
	return onRule, onEntry
}

// TestATLSPortIsNotEncryptedByARule: authors are told in either order, and refused where calls in clear would leave in clear.
func TestATLSPortIsNotEncryptedByARule(t *testing.T) {
	t.Parallel()
	const rule = `{host: vault.corp.net, trafficPolicy: {tls: {mode: SIMPLE}}}`
	vault := func(protocol, more string) string {
		return fmt.Sprintf(`{hosts: [vault.corp.net], resolution: STATIC, endpoints: [{address: 203.0.113.9}], ports: [{number: 8200, name: vault, protocol: %s}%s`, protocol, more)
	}
	const at = `], addresses: [203.0.113.9]}`
	for name, tc := range map[string]struct {
		rule, entry            string
		capture                bool
		told, refusedByMutual  bool
		settings, atPort, http bool
	}{
		"by name":                  {rule: rule, entry: vault("HTTPS", `]}`), told: true},
		"TLS by name":              {rule: rule, entry: vault("TLS", `]}`), told: true},
		"by address":               {rule: rule, entry: vault("HTTPS", at), told: true, refusedByMutual: true},
		"by capture":               {rule: rule, entry: vault("HTTPS", `]}`), capture: true, told: true, refusedByMutual: true},
		"at the port":              {rule: `{host: vault.corp.net, trafficPolicy: {portLevelSettings: [{port: {number: 8200}, tls: {mode: SIMPLE}}]}}`, entry: vault("TLS", at), told: true, refusedByMutual: true, atPort: true},
		"at another port":          {rule: `{host: vault.corp.net, trafficPolicy: {portLevelSettings: [{port: {number: 443}, tls: {mode: SIMPLE}}]}}`, entry: vault("TLS", at)},
		"DISABLE":                  {rule: `{host: vault.corp.net, trafficPolicy: {tls: {mode: DISABLE}}}`, entry: vault("TLS", at)},
		"HTTP":                     {rule: rule, entry: vault("HTTP", at), settings: true},
		"HTTP beside, led there":   {rule: rule, entry: vault("HTTPS", `, {number: 80, name: http, protocol: HTTP}`+at), told: true, settings: true},
		"a pool, which is applied": {rule: `{host: vault.corp.net, trafficPolicy: {tls: {mode: SIMPLE}, connectionPool: {tcp: {maxConnections: 1}}}}`, entry: vault("HTTPS", `]}`), told: true, settings: true},
	} {
		for _, mesh := range []*egress.Mesh{egresstest.Mesh(), egresstest.MutualTLS()} {
			name := name + " by " + string(mesh.Gateways[0].Transport)
			onRule, onEntry := inEitherOrder(t, mesh, tc.capture, tc.rule, tc.entry)
			var wantRule, wantEntry []string
			if tc.refusedByMutual && mesh.Gateways[0].Transport == egress.MutualTLS {
				field := "spec.trafficPolicy.tls"
				if tc.atPort {
					field = "spec.trafficPolicy.portLevelSettings[0].tls"
				}
				wantRule, wantEntry = []string{"own-tls " + field}, []string{"own-tls spec.ports[0].protocol"}
			}
			assert.Equal(t, wantRule, codes(onRule), name)
			assert.Equal(t, wantEntry, codes(onEntry), name)
			for _, outcome := range []*Outcome{onRule, onEntry} {
				said := strings.Join(outcome.Changes, "\n")
				// Of what is refused nothing else is told.
				assert.Equal(t, tc.told && wantRule == nil, strings.Contains(said, "port 8200 of vault.corp.net is "), "%s: %s", name, said)
				assert.Equal(t, tc.settings, strings.Contains(said, "calls the host under these settings"), "%s: %s", name, said)
			}
		}
	}
}

// TestTheFirstHostBelowAWildcardIsToldOf: there may be hundreds, of each the same.
func TestTheFirstHostBelowAWildcardIsToldOf(t *testing.T) {
	t.Parallel()
	view := &egresstest.Cluster{Mesh: egresstest.Mesh()}
	for _, host := range []string{"c.corp.net", "b.corp.net", "a.corp.net"} {
		view.Known = append(view.Known, egresstest.Sealed(host, egress.Port{Number: 443, Name: "tls", Protocol: "TLS"}))
	}
	r := &Reviewer{Mesh: view.Mesh, View: view, Policies: &policies{}}
	s := subjectOf(t, r, create(destinationRule(t, `{host: "*.corp.net", trafficPolicy: {tls: {mode: SIMPLE}}}`)))
	said := underOwnTLS(s, s.rule())
	require.Len(t, said, 1)
	assert.Contains(t, said[0], "spec.trafficPolicy.tls: port 443 of a.corp.net is TLS")
}

// TestWhatAGatewayHasOfARuleIsToldInEitherOrder: also whose Secret is awaited.
func TestWhatAGatewayHasOfARuleIsToldInEitherOrder(t *testing.T) {
	t.Parallel()
	const (
		rule  = `{host: api.example.com, trafficPolicy: {portLevelSettings: [{port: {number: 443}, tls: {mode: MUTUAL, credentialName: client}}]}}`
		entry = `{hosts: [api.example.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: https, protocol: HTTPS}]}`
	)
	for _, mesh := range []*egress.Mesh{egresstest.Mesh(), egresstest.MutualTLS()} {
		onRule, onEntry := inEitherOrder(t, mesh, false, rule, entry)
		how := map[egress.Transport]string{egress.Plain: "as the app speaks", egress.MutualTLS: "by the mesh's mutual TLS"}[mesh.Gateways[0].Transport]
		for _, outcome := range []*Outcome{onRule, onEntry} {
			assert.Empty(t, codes(outcome))
			said := strings.Join(outcome.Changes, "\n")
			assert.Contains(t, said, "clients call the gateway "+how)
			assert.Contains(t, said, "Secret istio-system/payments.client; until it is there, calls fail")
		}
	}
}

// TestARouteOfCallsThatNobodyReadsIsNotUnencrypted: where a host has no HTTP port no call is led to its TLS port, and a rule's tls would be for none,
// of which its author is told as well.
func TestARouteOfCallsThatNobodyReadsIsNotUnencrypted(t *testing.T) {
	t.Parallel()
	const host, answers = "api.example.com", "the egress gateway answers 503"
	tls, http := egress.Port{Number: 443, Name: "tls", Protocol: "TLS"}, egress.Port{Number: 80, Name: "http", Protocol: "HTTP"}
	for _, mesh := range []*egress.Mesh{egresstest.Mesh(), egresstest.MutualTLS()} {
		for want, ports := range map[bool][]egress.Port{false: {tls}, true: {tls, http}} {
			known := egresstest.Sealed(host, ports...)
			known.Transport = mesh.Gateways[0].Transport
			view := &egresstest.Cluster{Mesh: mesh, Known: []*egress.Entry{known}, Maps: map[egress.Mapping][]*egress.Seen{
				{Host: host, Port: 443, Needs: egress.NeedsRule}: {{Namespace: egresstest.Namespace, Name: "x"}},
			}}
			r := &Reviewer{Mesh: mesh, View: view, Policies: &policies{}}
			for _, object := range []*unstructured.Unstructured{
				routes(t, `{hosts: [api.example.com], exportTo: ["."], http: [{timeout: 3s, route: [{destination: {host: api.example.com, port: {number: 443}}}]}]}`),
				destinationRule(t, `{host: api.example.com, exportTo: ["."], trafficPolicy: {connectionPool: {tcp: {connectTimeout: 5s}}}}`),
			} {
				outcome, err := r.Review(t.Context(), stored(t, r, create(object)))
				require.NoError(t, err)
				said := strings.Join(outcome.Changes, "\n")
				assert.Equal(t, want, strings.Contains(said, answers), "%s by %s, %v: %s", object.GetKind(), mesh.Gateways[0].Transport, ports, said)
			}
		}
	}
}

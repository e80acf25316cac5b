package hop_test

import (
	"encoding/json"
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

func destinationRule(t *testing.T, spec string) *unstructured.Unstructured {
	t.Helper()
	return object(t, "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: r, namespace: payments}\nspec: "+spec)
}

const fullRule = `{host: api.example.com,
	trafficPolicy: {tls: {mode: SIMPLE, sni: api.example.com}, connectionPool: {tcp: {maxConnections: 5}},
		outlierDetection: {consecutive5xxErrors: 3},
		portLevelSettings: [{port: {number: 443}, tls: {mode: MUTUAL}}, {port: {number: 80}, tls: {mode: DISABLE}}]},
	subsets: [{name: a, trafficPolicy: {tls: {mode: SIMPLE}}}]}`

func sealedRule(t *testing.T, rule *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	out, err := hop.RuleIntent(rule)
	require.NoError(t, err)
	require.NoError(t, hop.SealRuleIntent(out, nil, mesh(), cluster()))
	return out
}

// TestARuleKeepsForClientsWhatAGatewayMayBeCalledWith, and the author's own fields come back.
func TestARuleKeepsForClientsWhatAGatewayMayBeCalledWith(t *testing.T) {
	t.Parallel()
	in := destinationRule(t, fullRule)
	sealed := sealedRule(t, in)
	assert.Equal(t, destinationRule(t, `{host: api.example.com,
	trafficPolicy: {tls: {}, connectionPool: {tcp: {maxConnections: 5}},
		outlierDetection: {consecutive5xxErrors: 0},
		portLevelSettings: [{port: {number: 443}, tls: {}}, {port: {number: 80}, tls: {mode: DISABLE}}]},
	subsets: [{name: a, trafficPolicy: {tls: {}}}]}`).Object["spec"], sealed.Object["spec"])
	assert.True(t, hop.RuleSealed(sealed))
	assert.False(t, hop.RuleSealed(in))
	assert.Equal(t, sealed, sealedRule(t, sealed))
	intent, err := hop.RuleIntent(sealed)
	require.NoError(t, err)
	assert.Equal(t, in, intent)
	untouched := destinationRule(t, `{host: api.example.com, trafficPolicy: {connectionPool: {tcp: {maxConnections: 5}}}}`)
	assert.Equal(t, untouched, sealedRule(t, untouched))
	for _, empty := range []string{`{host: a}`, `null`, `{host: a, trafficPolicy: null, subsets: [null]}`} {
		assert.True(t, hop.RuleSealed(sealedRule(t, destinationRule(t, empty))), empty)
	}
}

// TestPatchesOfASealedRule are the author's newer word, corrections to what stands there by our hand among them.
func TestPatchesOfASealedRule(t *testing.T) {
	t.Parallel()
	tls := func(rule *unstructured.Unstructured) map[string]any {
		out, _, _ := unstructured.NestedMap(rule.Object, "spec", "trafficPolicy", "tls")
		return out
	}
	for name, tc := range map[string]struct {
		patch func(*unstructured.Unstructured)
		want  map[string]any
	}{
		"off": {func(rule *unstructured.Unstructured) {
			_ = unstructured.SetNestedField(rule.Object, "DISABLE", "spec", "trafficPolicy", "tls", "mode")
		}, map[string]any{"mode": "DISABLE", "sni": "api.example.com"}},
		"another mode": {func(rule *unstructured.Unstructured) {
			_ = unstructured.SetNestedField(rule.Object, "MUTUAL", "spec", "trafficPolicy", "tls", "mode")
		}, map[string]any{"mode": "MUTUAL", "sni": "api.example.com"}},
		"a part of it": {func(rule *unstructured.Unstructured) {
			_ = unstructured.SetNestedField(rule.Object, "b", "spec", "trafficPolicy", "tls", "sni")
		}, map[string]any{"mode": "SIMPLE", "sni": "b"}},
		"removed": {func(rule *unstructured.Unstructured) {
			unstructured.RemoveNestedField(rule.Object, "spec", "trafficPolicy", "tls")
		}, nil},
		"something else": {func(rule *unstructured.Unstructured) {
			_ = unstructured.SetNestedField(rule.Object, int64(9), "spec", "trafficPolicy", "connectionPool", "tcp", "maxConnections")
		}, map[string]any{"mode": "SIMPLE", "sni": "api.example.com"}},
	} {
		rule := sealedRule(t, destinationRule(t, fullRule))
		tc.patch(rule)
		intent, err := hop.RuleIntent(rule)
		require.NoError(t, err)
		assert.Equal(t, tc.want, tls(intent), name)
	}
	forged := destinationRule(t, `{host: a}`)
	forged.SetAnnotations(map[string]string{hop.IntentAnnotation: `[{"was":"x","now":"a","paths":["spec.host"]}]`})
	intent, err := hop.RuleIntent(forged)
	require.NoError(t, err)
	assert.Equal(t, forged.Object["spec"], intent.Object["spec"], "a record reaches nothing but its slots")
}

func TestWhatAnExitCannotHaveOfARule(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{
		`{host: a, trafficPolicy: {tls: {mode: SIMPLE, sni: b, subjectAltNames: [b]}, connectionPool: {}}}`: "",
		`{host: a, subsets: [{name: v1}]}`:                                                                                                                      "",
		`{host: a, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}`:                                                                                                 "tls-mode spec.trafficPolicy.tls.mode",
		`{host: a, trafficPolicy: {tls: {mode: MUTUAL, credentialName: client-certificate}}}`:                                                                   "",
		`{host: a, trafficPolicy: {tls: {mode: MUTUAL, credentialName: "configmap://other"}}}`:                                                                  "tls-credential spec.trafficPolicy.tls.credentialName",
		`{host: a, trafficPolicy: {portLevelSettings: [{port: {number: 1}, tls: {mode: MUTUAL, clientCertificate: /c, privateKey: /k, caCertificates: /ca}}]}}`: "tls-file spec.trafficPolicy.portLevelSettings[0].tls.caCertificates, tls-file spec.trafficPolicy.portLevelSettings[0].tls.clientCertificate, tls-file spec.trafficPolicy.portLevelSettings[0].tls.privateKey",
		`{host: a, trafficPolicy: {tunnel: {targetHost: b, targetPort: 1}, proxyProtocol: {version: V2}}}`:                                                      "rule-proxy-protocol spec.trafficPolicy.proxyProtocol, rule-tunnel spec.trafficPolicy.tunnel",
		`{host: a, subsets: [{name: v1, labels: {version: v1}}, {name: v2, trafficPolicy: {connectionPool: {tcp: {}}}}]}`:                                       "subset-labels spec.subsets[0].labels, subset-policy spec.subsets[1].trafficPolicy",
		`{host: a, workloadSelector: {matchLabels: {a: b}}, trafficPolicy: {tls: {mode: SIMPLE}}}`:                                                              "rule-selector spec.workloadSelector",
	} {
		var got []string
		for _, refusal := range hop.CheckRule(mesh().ReadRule(destinationRule(t, spec)), egress.Plain) {
			got = append(got, refusal.Code+" "+refusal.Field)
			assert.NotEmpty(t, refusal.Fix)
		}
		assert.Equal(t, want, strings.Join(got, ", "), spec)
	}
}

// TestAClientCertificateIsMendedByASecret: what is said of files of authorities alone, to remove them, would leave the gateway without one.
func TestAClientCertificateIsMendedByASecret(t *testing.T) {
	t.Parallel()
	refusals := hop.CheckRule(mesh().ReadRule(destinationRule(t, `{host: a, trafficPolicy: {tls: {mode: MUTUAL, clientCertificate: /c, privateKey: /k}}}`)), egress.Plain)
	require.Len(t, refusals, 2)
	for _, refusal := range refusals {
		assert.Equal(t, "remove it, and name a Secret with tls.crt, tls.key and ca.crt by credentialName, which beside the gateway is <namespace>.<name>", refusal.Fix)
	}
	assert.Empty(t, hop.CheckRule(mesh().ReadRule(destinationRule(t, `{host: a, trafficPolicy: {tls: {mode: MUTUAL, credentialName: a}}}`)), egress.Plain))
}

// ruled is a cluster with a rule in force.
func ruled(t *testing.T, spec string) *egresstest.Cluster {
	t.Helper()
	out := cluster()
	out.Rules = []*egress.Rule{mesh().ReadRule(destinationRule(t, spec))}
	return out
}

// TestTheExitEncrypts where a rule does, in a subset that calls of apps that speak TLS do not go by.
func TestTheExitEncrypts(t *testing.T) {
	t.Parallel()
	const host = "api.example.com"
	exit := func(view *egresstest.Cluster) []hop.Object {
		return hop.ExitSet(mesh(), view.Exit(host, gateways), view, gateways, host)
	}
	plain := exit(cluster())
	require.Len(t, plain, 2)
	vs := plain[1].(*networkingv1.VirtualService)
	assert.Equal(t, ".*:443", vs.Spec.Http[0].Match[0].Authority.GetRegex())
	assert.Equal(t, uint32(503), vs.Spec.Http[0].DirectResponse.Status, "HTTP that is led to a TLS port never leaves in clear")

	objects := exit(ruled(t, `{host: api.example.com, trafficPolicy: {tls: {mode: SIMPLE}, connectionPool: {tcp: {maxConnections: 5}}}}`))
	require.Len(t, objects, 3)
	rule, vs := ruleOf(t, objects[1]), objects[2].(*networkingv1.VirtualService)
	assert.Equal(t, []string{"."}, rule.Spec.ExportTo)
	require.Len(t, rule.Spec.TrafficPolicy.PortLevelSettings, 2)
	assert.NotNil(t, rule.Spec.TrafficPolicy.PortLevelSettings[0].Tls, "HTTP on 80")
	assert.Nil(t, rule.Spec.TrafficPolicy.PortLevelSettings[1].Tls, "TLS of the app on 443")
	assert.Equal(t, int32(5), rule.Spec.TrafficPolicy.PortLevelSettings[1].ConnectionPool.Tcp.MaxConnections)
	require.Len(t, rule.Spec.Subsets, 2)
	assert.Nil(t, rule.Spec.Subsets[1].TrafficPolicy, "what is said of the host")
	require.Len(t, rule.Spec.Subsets[0].TrafficPolicy.PortLevelSettings, 1)
	assert.Equal(t, uint32(443), rule.Spec.Subsets[0].TrafficPolicy.PortLevelSettings[0].Port.Number)
	assert.Empty(t, vs.Spec.Tls[0].Route[0].Destination.Subset)
	assert.Equal(t, rule.Spec.Subsets[0].Name, vs.Spec.Http[0].Route[0].Destination.Subset)
	assert.Equal(t, rule.Spec.Subsets[1].Name, vs.Spec.Http[1].Route[0].Destination.Subset)
	assert.Equal(t, host, vs.Spec.Http[0].Rewrite.Authority)

	alone := exit(ruled(t, `{host: api.example.com, trafficPolicy: {portLevelSettings: [{port: {number: 443}, tls: {mode: SIMPLE}}]}}`))
	assert.Nil(t, ruleOf(t, alone[1]).Spec.TrafficPolicy, "Istio takes no empty policy")
	wild := ruled(t, `{host: "*.wild.test", trafficPolicy: {tls: {mode: SIMPLE}}}`)
	objects = hop.ExitSet(mesh(), wild.Exit("*.wild.test", gateways), wild, gateways, "*.wild.test")
	assert.Nil(t, objects[2].(*networkingv1.VirtualService).Spec.Http[0].Rewrite, "there is no one host to ask for")
	other := exit(ruled(t, `{host: other.example.com, trafficPolicy: {tls: {mode: SIMPLE}}}`))
	assert.Len(t, other, 2)
}

// TestHTTPCallsAskForTheTLSPortTheyAreLedTo, and the author's headers come back.
func TestHTTPCallsAskForTheTLSPortTheyAreLedTo(t *testing.T) {
	t.Parallel()
	spec := `{hosts: [api.example.com], http: [{match: [{port: 80}],
		route: [{destination: {host: api.example.com, port: {number: 443}}HEADERS}]}]}`
	for headers, want := range map[string]map[string]any{
		``: {"request": map[string]any{"set": map[string]any{"host": "api.example.com:443"}}},
		`, headers: {request: {set: {x-a: b}, remove: [x-c]}}`: {"request": map[string]any{
			"set": map[string]any{"host": "api.example.com:443", "x-a": "b"}, "remove": []any{"x-c"},
		}},
	} {
		in := route(t, strings.Replace(spec, "HEADERS", headers, 1))
		for name, view := range map[string]*egresstest.Cluster{"no rule yet": cluster(), "a rule": ruled(t, `{host: api.example.com, trafficPolicy: {tls: {mode: SIMPLE}}}`)} {
			out, err := hop.Inject(in, mesh().Gateways[0], mesh(), view)
			require.NoError(t, err)
			d := egress.Destinations(out)[0]
			assert.Equal(t, gatewayService, d.Host(), name)
			assert.Equal(t, uint32(80), d.Port(), name)
			assert.Equal(t, want, d.Holder["headers"], name)
			assert.Empty(t, hop.CheckRoutes(egress.Resolve(out, mesh(), view)), name)
			again, err := hop.Inject(out, mesh().Gateways[0], mesh(), view)
			require.NoError(t, err)
			assert.Equal(t, out, again)
			intent, err := hop.RouteIntent(out, mesh())
			require.NoError(t, err)
			assert.Equal(t, in, intent)
		}
	}
	for name, spec := range map[string]string{
		"a gateway's route": `{hosts: [api.example.com], gateways: [out], http: [{route: [{destination: {host: api.example.com, port: {number: 443}}}]}]}`,
		"a wildcard":        `{hosts: ["*.wild.test"], http: [{route: [{destination: {host: "*.wild.test", port: {number: 443}}}]}]}`,
		"another authority": `{hosts: [x.test], http: [{rewrite: {authority: api.example.com}, route: [{destination: {host: api.example.com, port: {number: 443}}}]}]}`,
		"a mirror":          `{hosts: [x.test], http: [{route: [{destination: {host: local}}], mirrors: [{destination: {host: api.example.com, port: {number: 443}}}]}]}`,
	} {
		out, err := hop.Inject(route(t, spec), mesh().Gateways[0], mesh(), cluster())
		require.NoError(t, err)
		var codes []string
		for _, refusal := range hop.CheckRoutes(egress.Resolve(out, mesh(), cluster())) {
			codes = append(codes, refusal.Code)
		}
		assert.Contains(t, codes, "port-mapping", name)
	}
}

// ruleOf returns the rule of an exit as Istio reads it.
func ruleOf(t *testing.T, object hop.Object) (out *networkingv1.DestinationRule) {
	t.Helper()
	raw, err := object.(*unstructured.Unstructured).MarshalJSON()
	require.NoError(t, err)
	out = &networkingv1.DestinationRule{}
	require.NoError(t, json.Unmarshal(raw, out))
	return out
}

// TestAnExitsRuleHasTheNumbersOfItsAuthors, as the API server takes them: Istio's types would write some as strings.
func TestAnExitsRuleHasTheNumbersOfItsAuthors(t *testing.T) {
	t.Parallel()
	view := ruled(t, `{host: api.example.com, trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true, ringHash: {minimumRingSize: 1024}}}}}`)
	objects := hop.ExitSet(mesh(), view.Exit("api.example.com", gateways), view, gateways, "api.example.com")
	levels, _, err := unstructured.NestedSlice(objects[1].(*unstructured.Unstructured).Object, "spec", "trafficPolicy", "portLevelSettings")
	require.NoError(t, err)
	size, _, err := unstructured.NestedFieldNoCopy(levels[0].(map[string]any), "loadBalancer", "consistentHash", "ringHash", "minimumRingSize")
	require.NoError(t, err)
	assert.Equal(t, int64(1024), size)
}

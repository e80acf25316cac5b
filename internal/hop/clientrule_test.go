package hop_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

const (
	gatewayNames = `subjectAltNames: [spiffe://cluster.local/ns/istio-system/sa/istio-egressgateway]`
	sniOfTLS     = `{mode: ISTIO_MUTUAL, ` + gatewayNames + `, sni: p443.db.example.com.port.egress-governor.internal}`
	sniOfDB      = `{mode: ISTIO_MUTUAL, ` + gatewayNames + `, sni: p5432.db.example.com.port.egress-governor.internal}`
)

func TestClientRule(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ host, rule, want string }{
		"a name for each port": {host: "db.example.com", want: `{host: db.example.com, exportTo: [payments], trafficPolicy: {portLevelSettings: [
			{port: {number: 443}, tls: ` + sniOfTLS + `}, {port: {number: 5432}, tls: ` + sniOfDB + `}]}}`},
		"HTTP needs none": {host: "two.example.com"},
		"of nobody":       {host: "unknown.example.com"},
		"an author's settings, without what is the exit's": {
			host: "db.example.com",
			rule: `{host: db.example.com, trafficPolicy: {tls: {mode: SIMPLE}, outlierDetection: {consecutive5xxErrors: 1}, connectionPool: {tcp: {maxConnections: 1}},
				portLevelSettings: [{port: {number: 5432}, loadBalancer: {simple: RANDOM}}]}}`,
			want: `{host: db.example.com, exportTo: [payments], trafficPolicy: {tls: {mode: ISTIO_MUTUAL, ` + gatewayNames + `},
				outlierDetection: {consecutive5xxErrors: 0}, connectionPool: {tcp: {maxConnections: 1}}, portLevelSettings: [
				{port: {number: 5432}, loadBalancer: {simple: RANDOM}, tls: ` + sniOfDB + `},
				{port: {number: 443}, outlierDetection: {consecutive5xxErrors: 0}, connectionPool: {tcp: {maxConnections: 1}}, tls: ` + sniOfTLS + `}]}}`,
		},
		"subsets that are names, each once": {
			host: "db.example.com",
			rule: `{host: db.example.com, subsets: [{name: v1}, {name: V2}, {name: v1}, {name: "no label"}, {name: labels, labels: {a: b}}, {name: policy, trafficPolicy: {}}, {}]}`,
			want: `{host: db.example.com, exportTo: [payments], subsets: [{name: v1}, {name: V2}], trafficPolicy: {portLevelSettings: [
				{port: {number: 443}, tls: ` + sniOfTLS + `}, {port: {number: 5432}, tls: ` + sniOfDB + `}]}}`,
		},
		"before a wildcard, with its subsets": {
			host: "two.example.com", rule: `{host: "*.example.com", trafficPolicy: {tls: {mode: DISABLE}}, subsets: [{name: v1}]}`,
			want: `{host: two.example.com, subsets: [{name: v1}], trafficPolicy: {tls: {mode: ISTIO_MUTUAL, ` + gatewayNames + `}}}`,
		},
		"before a wildcard": {
			host: "two.example.com", rule: `{host: "*.example.com", trafficPolicy: {tls: {mode: DISABLE}}}`,
			want: `{host: two.example.com, trafficPolicy: {tls: {mode: ISTIO_MUTUAL, ` + gatewayNames + `}}}`,
		},
	} {
		mesh, view := mutual(t, []string{"."}, nil)
		if tc.rule != "" {
			rule := mesh.ReadRule(object(t, "kind: DestinationRule\nmetadata: {name: r, namespace: payments}\nspec: "+tc.rule))
			view.Rules = append(view.Rules, rule)
		}
		spec, _ := hop.ClientRuleSpec(mesh, view, egresstest.Namespace, tc.host)
		if tc.want == "" {
			assert.Nil(t, spec, name)
			assert.Nil(t, hop.ClientRule(egresstest.Namespace, tc.host, spec, ""), name)
			continue
		}
		assert.Equal(t, object(t, "kind: DestinationRule\nspec: "+tc.want).Object["spec"], spec, name)
		assert.NotNil(t, hop.ClientRule(egresstest.Namespace, tc.host, spec, "default"), name)
		other, _ := hop.ClientRuleSpec(mesh, view, "shop", tc.host)
		assert.Nil(t, other, "another namespace sees the one of the entry's")
	}
}

// TestPatchesOfOnePortOfASealedRule: whoever edits the settings of one port of a rule as it is stored, his own or one that has them by a rewrite alone,
// has changed those, and all others are as they were written.
func TestPatchesOfOnePortOfASealedRule(t *testing.T) {
	t.Parallel()
	mesh, view := mutual(t, []string{"."}, nil)
	serving := view.Entries("db.example.com")[0]
	const pool = `connectionPool: {tcp: {maxConnections: 9}}`
	for name, want := range map[string][2]string{
		"his own":        {`[{port: {number: 5432}, tls: {mode: SIMPLE}, ` + pool + `}]`, `[{port: {number: 5432}, tls: {mode: SIMPLE}}]`},
		"of the rewrite": {`[{port: {number: 5432}, tls: {mode: SIMPLE}}, {port: {number: 443}, ` + pool + `}]`, `[{port: {number: 5432}, tls: {mode: SIMPLE}}]`},
	} {
		rule := object(t, `{kind: DestinationRule, metadata: {name: r, namespace: payments}, spec: {host: db.example.com, trafficPolicy: {portLevelSettings: `+want[1]+`}}}`)
		require.NoError(t, hop.SealRuleIntent(rule, serving, mesh, view))
		levels, _, _ := unstructured.NestedSlice(rule.Object, "spec", "trafficPolicy", "portLevelSettings")
		require.Len(t, levels, 2)
		levels[map[string]int{"his own": 0, "of the rewrite": 1}[name]].(map[string]any)["connectionPool"] = map[string]any{"tcp": map[string]any{"maxConnections": int64(9)}}
		require.NoError(t, unstructured.SetNestedSlice(rule.Object, levels, "spec", "trafficPolicy", "portLevelSettings"))
		intent, err := hop.RuleIntent(rule)
		require.NoError(t, err)
		assert.Equal(t, object(t, `{kind: DestinationRule, spec: {host: db.example.com, trafficPolicy: {portLevelSettings: `+want[0]+`}}}`).Object["spec"], intent.Object["spec"], name)
	}
}

// TestARuleSealedByMutualTLS is the same in form, and gives back what its author wrote.
func TestARuleSealedByMutualTLS(t *testing.T) {
	t.Parallel()
	mesh, view := mutual(t, []string{"."}, nil)
	serving := view.Entries("db.example.com")[0]
	in := object(t, `
kind: DestinationRule
metadata: {name: r, namespace: payments}
spec: {host: db.example.com, trafficPolicy: {tls: {mode: SIMPLE}, portLevelSettings: [{port: {number: 5432}, tls: {mode: SIMPLE, sni: x}}]}}`)
	sealed := in.DeepCopy()
	require.NoError(t, hop.SealRuleIntent(sealed, serving, mesh, view))
	assert.Equal(t, object(t, `{kind: DestinationRule, spec: {host: db.example.com, trafficPolicy: {tls: {mode: ISTIO_MUTUAL, `+gatewayNames+`}, portLevelSettings: [
		{port: {number: 5432}, tls: `+sniOfDB+`}, {port: {number: 443}, tls: `+sniOfTLS+`}]}}}`).Object["spec"], sealed.Object["spec"])
	assert.True(t, hop.RuleByMutualTLS(sealed))
	intent, err := hop.RuleIntent(sealed)
	require.NoError(t, err)
	assert.Equal(t, in.Object, intent.Object)

	// An author who takes the encryption back is understood.
	policy, _, _ := unstructured.NestedMap(sealed.Object, "spec", "trafficPolicy")
	delete(policy, "tls")
	require.NoError(t, unstructured.SetNestedMap(sealed.Object, policy, "spec", "trafficPolicy"))
	intent, err = hop.RuleIntent(sealed)
	require.NoError(t, err)
	_, still, _ := unstructured.NestedMap(intent.Object, "spec", "trafficPolicy", "tls")
	assert.False(t, still)
}

// TestWhoSeesAClientRule: whoever may see an entry; it does not name its namespace and others, since Istio would hide it from those whom an older rule does not name.
func TestWhoSeesAClientRule(t *testing.T) {
	t.Parallel()
	for exportTo, want := range map[string]any{
		".": []any{"payments"}, "payments": []any{"payments"}, "shop": []any{"shop"}, ".,shop": nil, "*": nil, "": nil,
	} {
		var written []string
		if exportTo != "" {
			written = strings.Split(exportTo, ",")
		}
		mesh, view := mutual(t, written, nil)
		spec, _ := hop.ClientRuleSpec(mesh, view, egresstest.Namespace, "db.example.com")
		assert.Equal(t, want, spec["exportTo"], exportTo)
	}
}

// TestARuleWithoutAPolicyIsSealedToo, where ports have names: Istio may go by it in the place of ours. What its author adds to it by a patch
// of what is stored is the author's.
func TestARuleWithoutAPolicyIsSealedToo(t *testing.T) {
	t.Parallel()
	mesh, view := mutual(t, []string{"."}, nil)
	serving := view.Entries("db.example.com")[0]
	in := object(t, "kind: DestinationRule\nmetadata: {name: r, namespace: payments}\nspec: {host: db.example.com, subsets: [{name: a}]}")
	sealed := in.DeepCopy()
	require.NoError(t, hop.SealRuleIntent(sealed, serving, mesh, view))
	named := `[{port: {number: 443}, tls: ` + sniOfTLS + `}, {port: {number: 5432}, tls: ` + sniOfDB + `}]`
	assert.Equal(t, object(t, `{kind: DestinationRule, spec: {host: db.example.com, subsets: [{name: a}], trafficPolicy: {portLevelSettings: `+named+`}}}`).Object["spec"], sealed.Object["spec"])
	assert.True(t, hop.RuleByMutualTLS(sealed))
	assert.True(t, hop.SealedByMutualTLS(sealed, in, mesh))
	intent, err := hop.RuleIntent(sealed)
	require.NoError(t, err)
	assert.Equal(t, in.Object, intent.Object)

	pool := map[string]any{"tcp": map[string]any{"maxConnections": int64(1)}}
	require.NoError(t, unstructured.SetNestedMap(sealed.Object, pool, "spec", "trafficPolicy", "connectionPool"))
	intent, err = hop.RuleIntent(sealed)
	require.NoError(t, err)
	policy, _, _ := unstructured.NestedMap(intent.Object, "spec", "trafficPolicy")
	assert.Equal(t, map[string]any{"connectionPool": pool}, policy)

	serving.Passing = true
	passing := in.DeepCopy()
	require.NoError(t, hop.SealRuleIntent(passing, serving, mesh, view))
	assert.Equal(t, in.Object, passing.Object, "no port has a name")

	http := object(t, "kind: DestinationRule\nmetadata: {name: r, namespace: payments}\nspec: {host: two.example.com, subsets: [{name: a}]}")
	written := http.DeepCopy()
	require.NoError(t, hop.SealRuleIntent(http, view.Entries("two.example.com")[0], mesh, view))
	assert.Equal(t, written.Object, http.Object)
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]map[string][]string{
		"default":                   {"payments": {"default"}},
		"b, a ,shop/till,shop/till": {"payments": {"a", "b"}, "shop": {"till"}},
		"":                          nil, "a,": nil, "a/b/c": nil, "A": nil, "a b": nil, "*": nil, strings.Repeat("a,", 100) + "a": nil,
	} {
		in := entry(t, "{}")
		in.SetAnnotations(map[string]string{hop.AccountsAnnotation: raw})
		got, refusals := hop.Accounts(in)
		assert.Equal(t, want == nil, len(refusals) > 0, raw)
		if want != nil {
			assert.Equal(t, want, got, raw)
		}
	}
	got, refusals := hop.Accounts(entry(t, "{}"))
	assert.Nil(t, got)
	assert.Empty(t, refusals)
}

// TestAClientsOwnRuleHidesNoPort: Istio looks for no rule of the entry's namespace where a client has one of its own.
func TestAClientsOwnRuleHidesNoPort(t *testing.T) {
	t.Parallel()
	named := `portLevelSettings: [{port: {number: 443}, tls: ` + sniOfTLS + `}, {port: {number: 5432}, tls: ` + sniOfDB + `}]`
	for rule, want := range map[string]string{
		`{host: db.example.com, subsets: [{name: a}]}`:  named,
		`{host: db.example.com}`:                        named,
		`{host: db.example.com, trafficPolicy: {}}`:     "", // It is sealed itself.
		`{host: "*.example.com", subsets: [{name: a}]}`: "",
		`{host: other.example.com}`:                     "",
	} {
		mesh, view := mutual(t, []string{"*"}, nil)
		view.Rules = append(view.Rules, mesh.ReadRule(object(t, "kind: DestinationRule\nmetadata: {name: r, namespace: shop}\nspec: "+rule)))
		spec, gateway := hop.ClientRuleSpec(mesh, view, "shop", "db.example.com")
		if want == "" {
			assert.Nil(t, spec, rule)
			continue
		}
		subsets := ""
		if strings.Contains(rule, "subsets") {
			subsets = "subsets: [{name: a}], "
		}
		assert.Equal(t, object(t, `{kind: DestinationRule, spec: {host: db.example.com, exportTo: ["."], `+subsets+`trafficPolicy: {`+want+`}}}`).Object["spec"], spec, rule)
		assert.Equal(t, "default", gateway, rule)
		delete(view.Leaving, "shop")
		spec, _ = hop.ClientRuleSpec(mesh, view, "shop", "db.example.com")
		assert.Nil(t, spec, "nothing is written into a namespace that is not governed")
	}
}

// TestNoClientRuleStandsWhileEntriesPass, for those who see another's entry neither; but before a wildcard with a policy. An author's own has no
// names for its ports then.
func TestNoClientRuleStandsWhileEntriesPass(t *testing.T) {
	t.Parallel()
	mesh, view := mutual(t, []string{"*"}, nil)
	serving := view.Entries("db.example.com")[0]
	serving.Passing = true
	put := func(namespace, rule string) {
		view.Rules = append(view.Rules, mesh.ReadRule(object(t, "kind: DestinationRule\nmetadata: {name: r, namespace: "+namespace+"}\nspec: "+rule)))
	}
	none := func(namespace string) {
		spec, _ := hop.ClientRuleSpec(mesh, view, namespace, "db.example.com")
		assert.Nil(t, spec, namespace)
	}
	put("shop", `{host: db.example.com, subsets: [{name: a}]}`)
	none(egresstest.Namespace)
	none("shop")

	written := `{host: db.example.com, trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}}}`
	own := object(t, "kind: DestinationRule\nmetadata: {name: r, namespace: payments}\nspec: "+written)
	require.NoError(t, hop.SealRuleIntent(own, serving, mesh, view))
	assert.Equal(t, object(t, "{kind: DestinationRule, spec: "+written+"}").Object["spec"], own.Object["spec"])
	serving.Passing = false
	require.NoError(t, hop.SealRuleIntent(own, serving, mesh, view))
	assert.True(t, hop.RuleByMutualTLS(own))

	serving.Passing = true
	put(egresstest.Namespace, `{host: "*.example.com", trafficPolicy: {tls: {mode: DISABLE}}}`)
	spec, _ := hop.ClientRuleSpec(mesh, view, egresstest.Namespace, "db.example.com")
	assert.NotNil(t, spec)
}

// TestARuleIsOfBothGateways between which its entry moves, and is known as such by a replica that knows of neither.
func TestARuleIsOfBothGateways(t *testing.T) {
	t.Parallel()
	mesh, view := mutual(t, []string{"."}, nil)
	other := mesh.Gateways[0]
	other.Name, other.ServiceAccount = "other", "another"
	mesh.Gateways = append(mesh.Gateways, other)
	serving := view.Entries("db.example.com")[0]
	serving.Moving = egress.Leg{Gateway: "other", Transport: egress.MutualTLS}
	names := []any{"spiffe://cluster.local/ns/istio-system/sa/another", "spiffe://cluster.local/ns/istio-system/sa/istio-egressgateway"}
	spec, _ := hop.ClientRuleSpec(mesh, view, egresstest.Namespace, "db.example.com")
	levels, _, err := unstructured.NestedSlice(spec, "trafficPolicy", "portLevelSettings")
	require.NoError(t, err)
	for _, level := range levels {
		assert.Equal(t, names, level.(map[string]any)["tls"].(map[string]any)["subjectAltNames"])
	}

	in := object(t, "kind: DestinationRule\nmetadata: {name: r, namespace: payments}\nspec: {host: db.example.com, trafficPolicy: {tls: {mode: SIMPLE}}}")
	sealed := in.DeepCopy()
	require.NoError(t, hop.SealRuleIntent(sealed, serving, mesh, view))
	assert.True(t, hop.SealedByMutualTLS(sealed, in, mesh))
	require.NoError(t, unstructured.SetNestedField(sealed.Object, []any{names[0], "spiffe://cluster.local/ns/evil/sa/evil"}, "spec", "trafficPolicy", "tls", "subjectAltNames"))
	assert.False(t, hop.SealedByMutualTLS(sealed, in, mesh))
	nameless := object(t, "kind: DestinationRule\nmetadata: {name: r, namespace: payments}\nspec: {host: db.example.com, trafficPolicy: {tls: {mode: ISTIO_MUTUAL, subjectAltNames: []}}}")
	assert.False(t, hop.SealedByMutualTLS(nameless, in, mesh), "whoever answers would be the gateway")
}

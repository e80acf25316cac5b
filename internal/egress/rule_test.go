package egress_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

type object = map[string]any

func tlsMode(mode string) object { return object{"tls": object{"mode": mode}} }

func atPort(number int64, settings object) object {
	out := object{"port": object{"number": number}}
	for key, value := range settings {
		out[key] = value
	}
	return out
}

// ruling is the rule of the shared host in a namespace.
func ruling(namespace string, policy object) *egress.Rule {
	return &egress.Rule{Namespace: namespace, Name: "rule", Host: shared, Policy: policy}
}

// TestASettingOfAPortStandsInThePlaceOfAllGeneralOnes, as Istio has it.
func TestASettingOfAPortStandsInThePlaceOfAllGeneralOnes(t *testing.T) {
	t.Parallel()
	rule := ruling("apps", object{
		"tls": object{"mode": "SIMPLE"}, "outlierDetection": object{"interval": "1s"},
		"portLevelSettings": []any{atPort(443, object{"connectionPool": object{"tcp": object{}}}), atPort(8443, tlsMode("DISABLE"))},
	})
	assert.Equal(t, object{"mode": "SIMPLE"}, rule.TLS(80))
	assert.Equal(t, object{"outlierDetection": object{"interval": "1s"}}, rule.Beyond(80))
	assert.Nil(t, rule.TLS(443))
	assert.Equal(t, object{"connectionPool": object{"tcp": object{}}}, rule.Beyond(443))
	assert.Nil(t, rule.TLS(8443))
	secret := ruling("apps", object{"tls": object{"mode": "MUTUAL", "credentialName": "client"}})
	assert.Equal(t, object{"mode": "MUTUAL", "credentialName": "apps.client"}, secret.TLS(80), "nobody names another namespace's")
	var none *egress.Rule
	assert.Nil(t, none.TLS(80))
	assert.Empty(t, none.Beyond(80))
	assert.False(t, none.HasPolicy())
}

// TestWhatIsEncryptedIsSoForAll: a port that some entry's rule encrypts never leaves in clear, whoever came first; an app
// that speaks TLS itself is no contradiction.
func TestWhatIsEncryptedIsSoForAll(t *testing.T) {
	t.Parallel()
	http, tls := ported(on("80", "HTTP")), ported(on("443", "TLS"))
	simple, other := ruling("", tlsMode("SIMPLE")), ruling("", object{"tls": object{"mode": "SIMPLE", "sni": "b"}})
	for name, tc := range map[string]struct {
		first, second           egress.ServiceEntry
		firstRule, secondRule   *egress.Rule
		encrypted               bool
		outside, reason, member string
	}{
		"both":                           {http, http, simple, simple, true, "", "", "first"},
		"the first alone":                {http, http, simple, nil, true, "second", "port 80 is called by TLS SIMPLE there and in clear here", "first"},
		"the second alone":               {http, http, nil, simple, true, "first", "port 80 is called by TLS SIMPLE there and in clear here", "second"},
		"in two ways":                    {http, http, simple, other, true, "second", "port 80 is called by TLS SIMPLE there and by TLS SIMPLE with other settings here", "first"},
		"neither":                        {http, http, nil, ruling("", tlsMode("DISABLE")), false, "", "", "first"},
		"an app that speaks TLS":         {tls, tls, nil, simple, true, "", "", "first"},
		"calls led to TLS, in two ways":  {tls, tls, simple, other, true, "second", "port 443 is called by TLS SIMPLE there and by TLS SIMPLE with other settings here", "first"},
		"on a port of the second's only": {tls, http, nil, simple, true, "", "", "first"},
	} {
		first, second := defines(1, "first", tc.first), defines(2, "second", tc.second)
		second.Namespace = "others"
		rules := map[string]*egress.Rule{"apps": tc.firstRule, "others": tc.secondRule}
		exit := egresstest.Mesh().ExitOf([]*egress.Entry{first, second}, "istio-system", func(namespace string) *egress.Rule { return rules[namespace] })
		require.NotNil(t, exit, name)
		assert.Equal(t, tc.encrypted, len(exit.Definition.TLS) > 0, name)
		assert.Equal(t, tc.member, exit.Members[0].Name, name)
		for _, entry := range []*egress.Entry{first, second} {
			want := ""
			if entry.Name == tc.outside {
				want = tc.reason
			}
			assert.Equal(t, want, exit.Against(entry.Definition.Under(rules[entry.Namespace])).Reason, name)
		}
	}
}

// TestARuleIsLeftToAnExitThatEncryptsAsItDoes, and to no other: clients then fail rather than speak in clear.
func TestARuleIsLeftToAnExitThatEncryptsAsItDoes(t *testing.T) {
	t.Parallel()
	simple := ruling("apps", tlsMode("SIMPLE"))
	entry := defines(1, "e", ported(on("80", "HTTP")))
	view := &egresstest.Cluster{Mesh: egresstest.Mesh(), Known: []*egress.Entry{entry}, Rules: []*egress.Rule{simple}}
	assert.True(t, view.Mesh.Seals(simple, view))
	elsewhere := ruling("others", tlsMode("SIMPLE"))
	assert.True(t, view.Mesh.Seals(elsewhere, view))
	assert.False(t, view.Mesh.Seals(ruling("others", tlsMode("MUTUAL")), view))
	view.Rules = nil
	assert.False(t, view.Mesh.Seals(elsewhere, view), "the exit is in clear")
	assert.True(t, view.Mesh.Seals(ruling("others", object{"connectionPool": object{}}), view))
	entry.Gateway = ""
	assert.False(t, view.Mesh.Seals(simple, view), "it is not sealed")
	view.Known = nil
	assert.False(t, view.Mesh.Seals(simple, view))
}

// TestARuleOfAnEntryForOthers is left to its exit as any is; not so while its own namespace goes by another's that is not encrypted as the rule
// says.
func TestARuleOfAnEntryForOthers(t *testing.T) {
	t.Parallel()
	simple := ruling("apps", tlsMode("SIMPLE"))
	entry := defines(1, "e", ported(on("80", "HTTP")))
	entry.ExportTo = []string{"b"}
	view := &egresstest.Cluster{Mesh: egresstest.Mesh(), Known: []*egress.Entry{entry}, Rules: []*egress.Rule{simple}}
	assert.Same(t, entry, view.Mesh.Governing(simple, view))
	assert.True(t, view.Mesh.Seals(simple, view))
	entry.ExportTo = []string{"~"}
	assert.Nil(t, view.Mesh.Governing(simple, view), "nobody calls by it")
	entry.ExportTo = []string{"b"}
	theirs := *entry
	theirs.Namespace, theirs.ExportTo = "z", []string{"apps"}
	view.Known = append(view.Known, &theirs)
	assert.Same(t, entry, view.Mesh.Governing(simple, view))
	assert.Same(t, &theirs, view.Mesh.Beside(simple, view))
	assert.True(t, view.Mesh.Seals(simple, view), "they share its exit")
	theirs.Gateway = "elsewhere"
	view.Mesh.Gateways = append(view.Mesh.Gateways, egress.Gateway{Name: "elsewhere", Service: "elsewhere.elsewhere.svc.cluster.local", HTTPPort: 80})
	assert.False(t, view.Mesh.Seals(simple, view), "theirs leave in clear")
}

// TestARuleStandsBeforeAWildcard for those who see both and call the host.
func TestARuleStandsBeforeAWildcard(t *testing.T) {
	t.Parallel()
	own, b, bc, all := []string{"."}, []string{".", "b"}, []string{"b", "c"}, []string(nil)
	for _, tc := range []struct {
		closer, wildcard, entry []string
		selects, want           bool
	}{
		{all, all, all, false, true}, {all, all, all, true, false}, {own, all, all, false, false}, {own, all, own, true, true},
		{own, own, all, false, true}, {own, own, all, true, true}, {b, b, all, false, true}, {b, bc, all, false, false},
		{b, all, b, false, true}, {b, all, bc, false, false}, {b, bc, b, false, true}, {own, b, bc, false, false},
	} {
		closer := &egress.Rule{Namespace: "a", ExportTo: tc.closer, Selects: tc.selects}
		wildcard := &egress.Rule{Namespace: "a", ExportTo: tc.wildcard}
		assert.Equal(t, tc.want, closer.Before(wildcard, &egress.Entry{Namespace: "a", ExportTo: tc.entry}), "%+v", tc)
		assert.True(t, closer.Before(wildcard, &egress.Entry{Namespace: "z"}), "clients of another's entry look at its rules")
	}
}

package adopt_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/adopt"
	"github.com/egress-governor/egress-governor/internal/manifest"
)

// crossings says which they are, a line each.
func crossings(of []adopt.Crossing) (out []string) {
	for _, each := range of {
		out = append(out, fmt.Sprintf("%s of %s: %s", each.Namespace, each.Of, strings.Join(each.Hosts(), " ")))
	}
	return out
}

func inNamespace(name string) string { return strings.ReplaceAll(governed, "name: b", "name: "+name) }

func encrypting(namespace, host, exportTo string) string {
	return object("DestinationRule", namespace, "r", fmt.Sprintf(`{host: %q, exportTo: [%q], trafficPolicy: {tls: {mode: SIMPLE}}}`, host, exportTo))
}

func exported(host, to string) string {
	return object("ServiceEntry", "b", "api", fmt.Sprintf(`{hosts: [%s], exportTo: [%s], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP, targetPort: 443}]}`, host, to))
}

// TestWhoCrosses: each namespace whose proxies call by entries that are to be sealed, under a rule that encrypts: their own, or that of the
// entries' namespace, as far as they see it.
func TestWhoCrosses(t *testing.T) {
	t.Parallel()
	const host = "api.example.com"
	for name, each := range map[string]struct {
		stored []string
		want   []string
	}{
		"the namespace itself":       {[]string{exported(host, `"."`), encrypting("b", host, ".")}, []string{"b of b: api.example.com:80"}},
		"without a rule":             {[]string{exported(host, `"."`)}, nil},
		"another host's":             {[]string{exported(host, `"."`), encrypting("b", "www.example.com", ".")}, nil},
		"who sees both":              {[]string{exported(host, `".", c`), encrypting("b", host, "*")}, []string{"b of b: api.example.com:80", "c of b: api.example.com:80"}},
		"who sees the entry alone":   {[]string{exported(host, `".", c`), encrypting("b", host, ".")}, []string{"b of b: api.example.com:80"}},
		"who has a rule of his own":  {[]string{exported(host, `".", c`), encrypting("c", host, ".")}, []string{"c of b: api.example.com:80"}},
		"who has an entry of his":    {[]string{exported(host, `"*"`), encrypting("b", host, "*"), entry("c", "api", host, http)}, []string{"b of b: api.example.com:80", "d of b: api.example.com:80"}},
		"none in a gateway's own":    {[]string{exported(host, `"*"`), encrypting("b", host, "*"), inNamespace("istio-system")}, []string{"b of b: api.example.com:80", "c of b: api.example.com:80", "d of b: api.example.com:80"}},
		"none that cannot be sealed": {[]string{object("ServiceEntry", "b", "api", `{hosts: [api.example.com], exportTo: ["."], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}, {number: 81, name: udp, protocol: UDP}]}`), encrypting("b", host, ".")}, nil},
	} {
		of := plan(t, objects(t, append([]string{governed, inNamespace("c"), inNamespace("d")}, each.stored...)...), "b")
		assert.Equal(t, each.want, crossings(of.Namespaces[0].Crossings), name)
	}
}

// TestARuleThatWasLeftBehindCrosses: an adoption that was interrupted between the two goes on under a crossing, and what is done needs none; and
// whatever is sealed goes back under one.
func TestARuleThatWasLeftBehindCrosses(t *testing.T) {
	t.Parallel()
	const host = "api.example.com"
	session, mesh := rehearsed(t)
	rule := objects(t, encrypting("b", host, "."))[0]
	var stored []manifest.Object
	for _, object := range append(objects(t, governed, exported(host, `"."`)), rule) {
		answer, err := session.Answer(t.Context(), object)
		require.NoError(t, err)
		require.True(t, answer.Allowed())
	}
	all, err := session.Objects()
	require.NoError(t, err)
	for _, object := range all {
		stored = append(stored, manifest.Object{Unstructured: object})
	}
	assert.Empty(t, plan(t, stored, "b").Namespaces[0].Crossings, "it is done")
	another, _ := rehearsed(t)
	back, err := adopt.Unseal(another, stored, nil, func(string) bool { return false })
	require.NoError(t, err)
	found, err := adopt.Crossings(mesh, stored, back)
	require.NoError(t, err)
	assert.Equal(t, []string{"b of b: api.example.com:80"}, crossings(found))
	assert.Equal(t, "egress-governor-crossing-b", found[0].Object(mesh).GetName())

	for i, object := range stored {
		if object.GetKind() == "DestinationRule" && object.GetNamespace() == "b" {
			stored[i] = rule
		}
	}
	of := plan(t, stored, "b")
	assert.ElementsMatch(t, []string{"DestinationRule b/r: rewrite", "ServiceEntry b/api: sealed"}, states(of))
	assert.Equal(t, []string{"b of b: api.example.com:80"}, crossings(of.Namespaces[0].Crossings))

	plain := objects(t, exported(host, `"."`))[0]
	found, err = adopt.Crossings(mesh, stored, []adopt.Return{{Object: plain}, {Object: rule, Intent: &unstructured.Unstructured{}}})
	require.NoError(t, err)
	assert.Empty(t, found, "it went back")
}

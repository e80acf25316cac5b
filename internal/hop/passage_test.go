package hop_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
)

// TestAPassage has the doors of TLS and TCP ports take the SNI that proxies use by themselves, by subsets that routes may name, and
// stands while an entry passes alone.
func TestAPassage(t *testing.T) {
	t.Parallel()
	mesh, view := mutual(t, []string{"."}, nil)
	const host = "db.example.com"
	passage := func() (out []*unstructured.Unstructured) {
		set := hop.ExitSet(mesh, view.Exit(host, "istio-system"), view, "istio-system", host)
		for _, object := range set {
			if filter, is := object.(*unstructured.Unstructured); is && filter.GetKind() == "EnvoyFilter" {
				out = append(out, filter)
			}
		}
		return out
	}
	require.Empty(t, passage())
	view.Entries(host)[0].Passing = true
	view.Rules = append(view.Rules, mesh.ReadRule(object(t, `
kind: DestinationRule
metadata: {name: r, namespace: payments}
spec: {host: db.example.com, subsets: [{name: V1}, {name: "*"}, {name: a_b}, {name: a.b}, {name: v1}, {}]}`)))
	found := passage()
	require.Len(t, found, 1)
	assert.Equal(t, hop.PassageName(mesh.Gateways[0], host), found[0].GetName())
	assert.Equal(t, host, found[0].GetAnnotations()[hop.HostAnnotation])
	door := func(sni, names string) string {
		return `{applyTo: FILTER_CHAIN, match: {context: GATEWAY, listener: {filterChain: {sni: ` + sni + `}}}, patch: {operation: MERGE, value: {filter_chain_match: {server_names: [` + names + `]}}}}`
	}
	assert.Equal(t, object(t, `{kind: EnvoyFilter, spec: {priority: 10, workloadSelector: {labels: {istio: egressgateway}}, configPatches: [`+
		door("p443.db.example.com.port.egress-governor.internal", "outbound_.443_._.db.example.com, outbound_.443_.v1_.db.example.com")+`, `+
		door("p5432.db.example.com.port.egress-governor.internal", "outbound_.5432_._.db.example.com, outbound_.5432_.v1_.db.example.com")+`]}}`).Object["spec"], found[0].Object["spec"])
	view.Entries(host)[0].ExportTo = []string{".", "shop"}
	for _, of := range []string{"shop", "elsewhere"} {
		view.Rules = append(view.Rules, mesh.ReadRule(object(t, `
kind: DestinationRule
metadata: {name: r, namespace: `+of+`}
spec: {host: db.example.com, subsets: [{name: of-`+of+`}]}`)))
	}
	assert.Contains(t, fmt.Sprint(passage()[0].Object), "outbound_.443_.of-shop_.db.example.com", "it has found the host by the entry, and routes of its own")
	assert.NotContains(t, fmt.Sprint(passage()[0].Object), "of-elsewhere")
	for i := range 100 {
		view.Rules[1].Subsets = append(view.Rules[1].Subsets, map[string]any{"name": fmt.Sprint("v", i)})
	}
	assert.Contains(t, fmt.Sprint(passage()[0].Object), "_.of-shop_.")
	assert.NotContains(t, fmt.Sprint(passage()[0].Object), "_.v50_.", "nobody has a gateway compare any number of names")
	assert.True(t, hop.Passing(view, egresstest.Namespace, host))
	assert.False(t, hop.Passing(view, "shop", host))
}

// TestWhatARuleSaysOfPorts by mutual TLS: one that sets tls itself calls the gateway so whatever passes, and none names ports while they pass, or
// where its host is encrypted otherwise.
func TestWhatARuleSaysOfPorts(t *testing.T) {
	t.Parallel()
	mesh, view := mutual(t, []string{"."}, nil)
	entry := view.Entries("db.example.com")[0]
	rule := func(policy string) *egress.Rule {
		of := mesh.ReadRule(object(t, `{kind: DestinationRule, metadata: {name: r, namespace: payments}, spec: {host: db.example.com, trafficPolicy: `+policy+`}}`))
		view.Rules = []*egress.Rule{of}
		return of
	}
	pool := rule(`{connectionPool: {tcp: {maxConnections: 1}}, portLevelSettings: [{port: {number: 443}}]}`)
	assert.False(t, hop.EncryptsItself(pool))
	assert.True(t, hop.NamesPorts(mesh, view, pool))
	entry.Passing = true
	assert.False(t, hop.NamesPorts(mesh, view, pool))
	entry.Passing = false
	byPort := rule(`{portLevelSettings: [{port: {number: 443}, tls: {mode: DISABLE}}]}`)
	assert.True(t, hop.EncryptsItself(byPort))
	assert.True(t, hop.EncryptsItself(rule(`{tls: {mode: SIMPLE}}`)))
	entry.Transport = egress.Plain
	assert.False(t, hop.NamesPorts(mesh, view, pool))
}

package review

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/api/v1alpha1"
	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
	"github.com/egress-governor/egress-governor/internal/hop"
	"github.com/egress-governor/egress-governor/internal/policy"
)

// TestTheTypesNameTheKindsOfTheTable: all of them, and those that are governed without being asked for.
func TestTheTypesNameTheKindsOfTheTable(t *testing.T) {
	t.Parallel()
	var all, always []v1alpha1.Kind
	for _, kind := range Kinds() {
		all = append(all, v1alpha1.Kind(kind))
		resource, known := ResourceOf(kind)
		require.True(t, known)
		assert.NotEmpty(t, resource.Versions, kind)
		if !resource.Asked {
			always = append(always, v1alpha1.Kind(kind))
		}
	}
	assert.Equal(t, all, v1alpha1.Kinds)
	assert.Equal(t, always, v1alpha1.DefaultKinds)
}

// TestAJudgedKindIsStoredAsWritten, and policies see it and decide.
func TestAJudgedKindIsStoredAsWritten(t *testing.T) {
	t.Parallel()
	for _, kind := range Kinds() {
		resource, _ := ResourceOf(kind)
		if !resource.Asked {
			continue
		}
		in := object(t, fmt.Sprintf("apiVersion: %s/%s\nkind: %s\nmetadata: {name: x, namespace: payments}\nspec: {any: [1]}", resource.Group, resource.Versions[0], kind))
		asked := &policies{decision: policy.Decision{Denied: []policy.Violation{{Policy: "p", Message: "no"}}}}
		r := newReviewer()
		r.Policies = asked
		out, err := r.Rewrite(create(in.DeepCopy()))
		require.NoError(t, err)
		assert.Equal(t, in, out, kind)
		outcome, err := r.Review(t.Context(), create(in.DeepCopy()))
		require.NoError(t, err)
		assert.Equal(t, Denied, outcome.Verdict, kind)
		require.Len(t, asked.asked, 1)
		assert.Equal(t, kind, asked.asked[0].Kind)
		assert.Equal(t, in.Object, asked.asked[0].Document["object"])
	}
}

// TestAJudgedKindIsBounded before policies see it.
func TestAJudgedKindIsBounded(t *testing.T) {
	t.Parallel()
	in := object(t, "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: x, namespace: payments}\nspec: {egress: [{hosts: ["+strings.Repeat("a,", maxPairs)+"]}]}")
	outcome, err := newReviewer().Review(t.Context(), create(in))
	require.NoError(t, err)
	require.Equal(t, Refused, outcome.Verdict)
	assert.Equal(t, "too-large", outcome.Findings[0].Code)
}

// TestACrossingIsNobodysToDeny, whoever writes it: it leads calls of hosts that have entries to their gateway. What has its marks and does anything
// besides, or is for what no entry leads there, is judged as any other.
func TestACrossingIsNobodysToDeny(t *testing.T) {
	t.Parallel()
	r := newReviewer()
	gw := r.Mesh.Gateways[0]
	entry := func(gateway string) *egress.Entry {
		return &egress.Entry{Namespace: egresstest.Namespace, Name: "api", Hosts: []string{"api.example.com"}, External: true, Gateway: gateway,
			Transport: map[bool]egress.Transport{true: egress.Plain}[gateway != ""], Ports: []egress.Port{{Number: 80, Protocol: "HTTP"}}}
	}
	held, sealed := entry(""), entry(gw.Name)
	held.Moving = gw.Leg()
	crossing := func(host string, number uint32) *unstructured.Unstructured {
		return hop.Crossing(r.Mesh, egresstest.Namespace, egresstest.Namespace, []hop.Crossed{{Gateway: gw, Host: host, Port: egress.Port{Number: number, Protocol: "HTTP"}, Subsets: []string{"v1"}}})
	}
	led := func(gw egress.Gateway) *unstructured.Unstructured {
		return hop.Crossing(r.Mesh, egresstest.Namespace, egresstest.Namespace, []hop.Crossed{{Gateway: gw, Host: "api.example.com", Port: egress.Port{Number: 80, Protocol: "HTTP"}, Led: true}})
	}
	another := hop.Crossing(r.Mesh, egresstest.Namespace, "victim", []hop.Crossed{{Gateway: gw, Host: "api.example.com", Port: egress.Port{Number: 80, Protocol: "HTTP"}}})
	changed := func(change func(patches []any) []any) *unstructured.Unstructured {
		out := crossing("api.example.com", 80)
		spec := out.Object["spec"].(map[string]any)
		spec["configPatches"] = change(spec["configPatches"].([]any))
		return out
	}
	elsewhere := changed(func(patches []any) []any {
		require.NoError(t, unstructured.SetNestedField(patches[1].(map[string]any), "tcp", "patch", "value", "alt_stat_name"))
		return patches
	})
	for name, each := range map[string]struct {
		entry  *egress.Entry
		filter *unstructured.Unstructured
		want   Verdict
	}{
		"led, by Plain":     {held, led(gw), Denied},
		"held":              {held, crossing("api.example.com", 80), Allowed},
		"sealed":            {sealed, crossing("api.example.com", 80), Allowed},
		"a second entry":    {held, crossing("api.example.com", 8080), Allowed},
		"straight":          {entry(""), crossing("api.example.com", 80), Denied},
		"to another":        {entry("pci"), crossing("api.example.com", 80), Denied},
		"as another's":      {held, another, Denied},
		"another host":      {held, crossing("db.example.com", 80), Denied},
		"another port":      {held, crossing("api.example.com", 81), Denied},
		"more than a patch": {held, changed(func(patches []any) []any { return patches[:3] }), Denied},
		"other patches": {held, changed(func(patches []any) []any {
			return append(patches, map[string]any{"applyTo": "LISTENER"}, map[string]any{"applyTo": "LISTENER"})
		}), Denied},
		"another cluster": {held, elsewhere, Denied},
		"none at all":     {held, changed(func([]any) []any { return nil }), Denied},
	} {
		cluster := egresstest.NewCluster()
		second := *each.entry
		second.Name, second.Ports = "second", []egress.Port{{Number: 8080, Protocol: "HTTP"}}
		cluster.Known = []*egress.Entry{each.entry, &second}
		of := newReviewer()
		of.View = cluster
		of.Policies = &policies{decision: policy.Decision{Denied: []policy.Violation{{Policy: "p", Message: "no"}}}}
		outcome, err := of.Review(t.Context(), create(each.filter.DeepCopy()))
		require.NoError(t, err, name)
		assert.Equal(t, each.want, outcome.Verdict, name)
		if each.want == Allowed {
			other := each.filter.DeepCopy()
			other.SetName("crossing")
			outcome, err = of.Review(t.Context(), create(other))
			require.NoError(t, err, name)
			assert.Equal(t, Denied, outcome.Verdict, "%s, under another name", name)
		}
	}
}

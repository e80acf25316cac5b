package review

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

const (
	twoLocalities = `endpoints: [{address: a.example.net, locality: east}, {address: b.example.net, locality: west}], ports: [{number: 80, name: http, protocol: HTTP}]}`
	sorting       = `outlierDetection: {}, loadBalancer: {localityLbSetting: {failoverPriority: [topology.istio.io/network]}}`
)

// known is an entry as the registry has it, sealed or as it was written.
func known(t *testing.T, spec string, sealed bool) *egress.Entry {
	t.Helper()
	parsed, err := egress.ParseIntent(entry(t, spec))
	require.NoError(t, err)
	out := &egress.Entry{Namespace: "payments", Name: "known", Hosts: parsed.Hosts, External: parsed.External(), ExportTo: parsed.ExportTo, Ports: parsed.Ports, Resolution: parsed.Resolution, Definition: parsed.Define()}
	if sealed {
		out.Gateway, out.Resolution = "default", "DNS"
	}
	return out
}

// TestNoRuleHasIstiodPanic: neither for the gateway that calls a sealed host, nor for sidecars that call one of the mesh's own. What was
// stored before stays, and its author is told.
func TestNoRuleHasIstiodPanic(t *testing.T) {
	t.Parallel()
	const at = "spec.trafficPolicy.loadBalancer.localityLbSetting.failoverPriority"
	for name, tc := range map[string]struct {
		entry  string
		sealed bool
		policy string
		want   []string
	}{
		"sealed":                  {`{hosts: [x.test], resolution: DNS, ` + twoLocalities, true, sorting, []string{"costly-setting " + at}},
		"for others, of the mesh": {`{hosts: [x.test], exportTo: [web], location: MESH_INTERNAL, resolution: DNS, ` + twoLocalities, false, sorting, []string{"costly-setting " + at}},
		"of the mesh":             {`{hosts: [x.test], location: MESH_INTERNAL, resolution: DNS, ` + twoLocalities, false, sorting, []string{"costly-setting " + at}},
		"of a port":               {`{hosts: [x.test], resolution: DNS, ` + twoLocalities, true, `portLevelSettings: [{port: {number: 80}, ` + sorting + `}]`, []string{"costly-setting spec.trafficPolicy.portLevelSettings[0].loadBalancer.localityLbSetting.failoverPriority"}},
		"of a port that is none":  {`{hosts: [x.test], resolution: DNS, ` + twoLocalities, true, `portLevelSettings: [{port: {number: 81}, ` + sorting + `}]`, nil},
		"addresses":               {`{hosts: [x.test], location: MESH_INTERNAL, resolution: STATIC, ` + twoLocalities, false, sorting, nil},
		"another's host":          {`{hosts: [y.test], resolution: DNS, ` + twoLocalities, true, sorting, nil},
	} {
		r := newReviewer()
		r.View.(*egresstest.Cluster).Known = []*egress.Entry{known(t, tc.entry, tc.sealed)}
		written := create(object(t, "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: x, namespace: payments}\nspec: {host: x.test, trafficPolicy: {"+tc.policy+"}}"))
		outcome, err := r.Review(t.Context(), stored(t, r, written))
		require.NoError(t, err, name)
		assert.Equal(t, tc.want, codes(outcome), name)
		if name != "sealed" {
			continue
		}
		written.Operation, written.Old = Update, written.Object
		outcome, err = reviewed(t, r, written)
		require.NoError(t, err)
		assert.Empty(t, codes(outcome))
		assert.Contains(t, strings.Join(outcome.Changes, "\n"), at+": the egress gateway calls the host without it")
	}
}

// TestNoEntryHasIstiodPanic under a rule that is there already, of whichever namespace whose sidecars call by the entry.
func TestNoEntryHasIstiodPanic(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		entry      string
		of         string
		annotation string
		want       []string
	}{
		"its own":                  {`{hosts: [x.test], resolution: DNS, ` + twoLocalities, "payments", "", []string{"costly-setting spec.endpoints[1].locality"}},
		"another's, at a gateway":  {`{hosts: [x.test], resolution: DNS, ` + twoLocalities, "other", "", nil},
		"another's, in the mesh":   {`{hosts: [x.test], location: MESH_INTERNAL, resolution: DNS, ` + twoLocalities, "other", "", []string{"costly-setting spec.endpoints[1].locality"}},
		"its own, for another":     {`{hosts: [x.test], exportTo: [other], location: MESH_INTERNAL, resolution: DNS, ` + twoLocalities, "payments", "", []string{"costly-setting spec.endpoints[1].locality"}},
		"one that does not see it": {`{hosts: [x.test], exportTo: ["."], location: MESH_INTERNAL, resolution: DNS, ` + twoLocalities, "other", "", nil},
		"annotated":                {`{hosts: [x.test], location: MESH_INTERNAL, resolution: DNS, ` + twoLocalities, "", "PreferClose", []string{"costly-setting spec.endpoints[1].locality"}},
		"annotated, at a gateway":  {`{hosts: [x.test], resolution: DNS, ` + twoLocalities, "", "PreferClose", nil},
	} {
		r := newReviewer()
		view := r.View.(*egresstest.Cluster)
		view.Known = nil
		if strings.Contains(tc.entry, "MESH_INTERNAL") {
			view.Services["a.example.net"], view.Services["b.example.net"] = &egress.Service{}, &egress.Service{}
		}
		if tc.of != "" {
			rule := object(t, "metadata: {name: x, namespace: "+tc.of+"}\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nspec: {host: x.test, trafficPolicy: {"+sorting+"}}")
			view.Rules = append(view.Rules, r.Mesh.ReadRule(rule))
		}
		object := entry(t, tc.entry)
		if tc.annotation != "" {
			require.NoError(t, unstructured.SetNestedField(object.Object, tc.annotation, "metadata", "annotations", "networking.istio.io/traffic-distribution"))
		}
		outcome, err := r.Review(t.Context(), stored(t, r, create(object)))
		require.NoError(t, err, name)
		assert.Equal(t, tc.want, codes(outcome), name)
	}
}

package egress_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// TestTheOnlyAddressIsTheEndpoint of an entry whose clients choose the address, and of no other.
func TestTheOnlyAddressIsTheEndpoint(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{
		`{hosts: [a.test], addresses: [203.0.113.7]}`:                                                          "203.0.113.7",
		`{hosts: [a.test], addresses: [203.0.113.7/32], resolution: NONE}`:                                     "203.0.113.7",
		`{hosts: [a.test], addresses: ["2001:db8:0::7/128"], location: MESH_EXTERNAL}`:                         "2001:db8::7",
		`{hosts: [a.test], addresses: [203.0.113.0/24]}`:                                                       "",
		`{hosts: [a.test], addresses: [203.0.113.7, 203.0.113.8]}`:                                             "",
		`{hosts: [a.test], addresses: [example]}`:                                                              "",
		`{hosts: ["*.test"], addresses: [203.0.113.7]}`:                                                        "",
		`{hosts: [a.test], addresses: [203.0.113.7], resolution: DNS}`:                                         "",
		`{hosts: [a.test], addresses: [203.0.113.7], location: MESH_INTERNAL}`:                                 "",
		`{hosts: [a.test], addresses: [203.0.113.7], workloadSelector: {labels: {app: a}}}`:                    "",
		`{hosts: [a.test], addresses: [203.0.113.7], endpoints: [{address: 203.0.113.8}], "-": true}`:          "",
		`{hosts: [a.test], addresses: [203.0.113.7], endpoints: [{address: 203.0.113.7}], resolution: STATIC}`: "",
	} {
		var of map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(spec), &of))
		parsed, err := egress.ParseIntent(&unstructured.Unstructured{Object: map[string]any{"spec": of}})
		require.NoError(t, err)
		if assert.Equal(t, want != "", parsed.AtAddress, spec); want == "" {
			continue
		}
		assert.Equal(t, []egress.Endpoint{{Address: want}}, parsed.Endpoints, spec)
		assert.Equal(t, "spec.addresses[0]", parsed.EndpointPath(0).String(), spec)
		written := &egress.ServiceEntry{Resolution: "STATIC", Endpoints: parsed.Endpoints}
		assert.True(t, written.Define().Equal(parsed.Define()), "%s: as it would be written out", spec)
	}
}

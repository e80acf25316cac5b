package egress_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
	"github.com/egress-governor/egress-governor/internal/egress/egresstest"
)

// TestDestinationsAreCountedAsTheyAreRead, whatever else stands in their place.
func TestDestinationsAreCountedAsTheyAreRead(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string][]string{
		`{}`:                        {},
		`{http: none, tls: [none]}`: {},
		`{http: [{route: [{destination: {host: a}}, {destination: none}, none], mirror: {host: b}, mirrors: [{destination: {host: c}}, {}]}, {mirror: none}],
			tls: [{route: [{destination: {host: d}}]}], tcp: [{route: none}, {route: [{destination: {}}]}]}`: {
			"spec.http[0].route[0].destination", "spec.http[0].mirror", "spec.http[0].mirrors[0].destination", "spec.tls[0].route[0].destination", "spec.tcp[1].route[0].destination",
		},
	} {
		vs := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte("kind: VirtualService\nspec: "+spec), &vs.Object))
		got := []string{}
		for _, d := range egress.Destinations(vs) {
			got = append(got, d.Path.String())
		}
		assert.Equal(t, want, got)
		assert.Equal(t, len(want), egress.CountDestinations(vs))
	}
}

// TestInside: whatever has a host outside, or leads to an entry or an egress gateway, by any kind of destination, is looked at further.
func TestInside(t *testing.T) {
	t.Parallel()
	for spec, inside := range map[string]bool{
		`{hosts: [local], http: [{rewrite: {authority: api.example.com}, route: [{destination: {host: local}}, {destination: {host: local.payments.svc.cluster.local}}]}]}`: true,
		`{http: [{route: [{destination: {host: local}}]}]}`:                                                        true,
		`{hosts: ["*"], http: [{route: [{destination: {host: local}}]}]}`:                                          false,
		`{hosts: [local, new.example.com], http: [{route: [{destination: {host: local}}]}]}`:                       false,
		`{http: [{route: [{destination: {host: API.example.com.}}]}]}`:                                             false,
		`{hosts: [local], http: [{route: [{destination: {host: local}}], mirror: {host: api.example.com}}]}`:       false,
		`{hosts: [local], tcp: [{route: [{destination: {host: local}}, {destination: {host: api.example.com}}]}]}`: false,
		`{hosts: [local], http: [{route: [{destination: {host: ` + egresstest.GatewayService + `, subset: s}}]}]}`: false,
	} {
		vs := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte("kind: VirtualService\nmetadata: {namespace: payments}\nspec: "+spec), &vs.Object))
		assert.Equal(t, inside, egress.Inside(vs, egresstest.Mesh(), egresstest.NewCluster()), spec)
	}
}

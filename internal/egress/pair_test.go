package egress_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/egress-governor/egress-governor/internal/egress"
)

// TestNoTwoPairsHaveOneName, wherever the word between two hosts is a label of one of them.
func TestNoTwoPairsHaveOneName(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "a.com.at.b.com.egress-governor.internal", egress.Pair{Asked: "a.com", Led: "b.com"}.Host())
	for _, two := range [][2]egress.Pair{
		{{Asked: "www.shop.at", Led: "edge.com"}, {Asked: "www.shop", Led: "at.edge.com"}},
		{{Asked: "a.com", Led: "b.at.c.com"}, {Asked: "a.com.at.b", Led: "c.com"}},
	} {
		assert.NotEqual(t, two[0].Host(), two[1].Host())
		assert.True(t, egress.IsReserved(two[0].Host()))
	}
}

// TestThePairOfAHostWithItself is of routes that ask for the host that they lead to and leave out its port, where what they ask for can be
// written anew for their calls alone.
func TestThePairOfAHostWithItself(t *testing.T) {
	t.Parallel()
	to := func(port string) string {
		return `route: [{destination: {host: b.test, port: {number: ` + port + `}}}]`
	}
	two := `{destination: {host: b.test, port: {number: 8080}}, headers: {request: {set: {host: b.test}}}}`
	for spec, makes := range map[string]bool{
		`{hosts: [a.test], http: [{rewrite: {authority: b.test}, ` + to("8080") + `}]}`:                                                                                                true,
		`{hosts: [a.test], http: [{headers: {request: {set: {Host: b.test}}}, ` + to("8080") + `}]}`:                                                                                   true,
		`{hosts: [a.test], http: [{route: [` + two + `, ` + two + `]}]}`:                                                                                                               true,
		`{hosts: [a.test], http: [{rewrite: {authority: b.test}, ` + to("80") + `}]}`:                                                                                                  false,
		`{hosts: [b.test], http: [{` + to("8080") + `}]}`:                                                                                                                              false,
		`{hosts: [a.test], http: [{rewrite: {authority: "b.test:8080"}, ` + to("8080") + `}]}`:                                                                                         false,
		`{hosts: [a.test], http: [{rewrite: {authority: b.test}, headers: {request: {set: {host: c.test}}}, ` + to("8080") + `}]}`:                                                     false,
		`{hosts: [a.test], http: [{headers: {request: {add: {host: b.test}}}, ` + to("8080") + `}]}`:                                                                                   false,
		`{hosts: [a.test], http: [{rewrite: {authority: b.test}, route: [{destination: {host: b.test, port: {number: 8080}}, weight: 1}, {destination: {host: c.test}, weight: 1}]}]}`: false,
		`{hosts: [a.test], http: [{rewrite: {authority: b.test}, mirrors: [{destination: {host: c.test}}], ` + to("8080") + `}]}`:                                                      false,
		`{hosts: [a.test], gateways: [in], http: [{rewrite: {authority: b.test}, ` + to("8080") + `}]}`:                                                                                false,
		`{hosts: [a.test], http: [{rewrite: {authority: b.test}, route: [{destination: {host: b.test, subset: v1, port: {number: 8080}}}]}]}`:                                          false,
	} {
		object := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte("metadata: {namespace: app}\nspec: "+spec), &object.Object))
		var want []egress.Pair
		if makes {
			want = []egress.Pair{{Asked: "b.test", Led: "b.test"}}
		}
		assert.Equal(t, want, egress.Portless(object, mesh()), spec)
	}
}
